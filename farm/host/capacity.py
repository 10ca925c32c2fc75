"""How many CPUs and how much memory this process may use: the host's, or less inside a container."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Controller -> names of the files that hold the limit and the use, control groups version 2 first, then version 1.
_MEMORY_FILES = {"": ("memory.max", "memory.current"), "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes")}
_MIB = 1 << 20


@dataclass(frozen=True)
class Capacity:
    """What this process may use at most, and what of it is free right now."""

    cpus: int
    # MiB this host, or the control group around this process, has in all.
    memory_mib: int
    # MiB that can be taken without swapping (page cache counts as free).
    available_mib: int


def measure(root: Path = Path("/")) -> Capacity:
    """Read it from /proc and /sys below `root`; limits that cannot be read do not count."""
    total, available = _meminfo((root / "proc/meminfo").read_text())
    cpus = len(os.sched_getaffinity(0))
    for controller, group in _groups(root):
        cpus = min(cpus, _quota(group, controller, cpus))
        for most, room in _room(group, controller):
            total, available = min(total, most), min(available, room)
    return Capacity(max(1, cpus), total // _MIB, max(0, available) // _MIB)


def _meminfo(text: str) -> tuple[int, int]:
    values = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isdigit():
            values[name] = int(words[0]) * 1024
    return values.get("MemTotal", 0), values.get("MemAvailable", values.get("MemFree", 0))


def _groups(root: Path) -> Iterator[tuple[str, Path]]:
    """Controller ("" in version 2) and directory of every control group around this process, innermost first."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                mount = root / "sys/fs/cgroup" / controller
                place = mount / path.lstrip("/")
                while place.is_relative_to(mount):
                    yield controller, place
                    place = place.parent


def _quota(group: Path, controller: str, cpus: int) -> int:
    """Whole CPUs that the group's quota allows, `cpus` where it has none (Documentation/scheduler/sched-bwc.rst)."""
    with suppress(OSError, ValueError):
        if controller == "":
            quota, period = (int(word) for word in (group / "cpu.max").read_text().split())
            return quota // period
        if controller == "cpu":
            quota = int((group / "cpu.cfs_quota_us").read_text())
            return quota // int((group / "cpu.cfs_period_us").read_text()) if quota > 0 else cpus
    return cpus


def _room(group: Path, controller: str) -> Iterator[tuple[int, int]]:
    """The group's memory limit and what is left of it, in bytes; nothing where there is no limit."""
    with suppress(OSError, ValueError):
        limit, used = _MEMORY_FILES.get(controller, ("", ""))
        if limit:
            most = int((group / limit).read_text())  # "max" is no number
            fields = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            # Page cache that nobody has touched lately is given back on demand, as MemAvailable counts it.
            yield most, most - int((group / used).read_text()) + int(fields.get("inactive_file", 0))
