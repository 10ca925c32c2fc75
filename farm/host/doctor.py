"""What this host has and lacks to run the farm."""

import os
import re
import select
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm.deadline import Deadline
from farm.errors import FarmError, InfrastructureError
from farm.host import accel, process
from farm.host.capacity import Capacity, measure
from farm.host.tools import TOOLS, Need, Tool, apt_line, missing, packages_of
from farm.host.workdir import Workdir
from farm.textform import printable

# A program that takes longer to say its version does not work.
VERSION_SECONDS = 5.0
# What the first run takes in the cache: sources, one object directory, one kernel and the image, in MiB.
FIRST_DISK_MIB = 6 * 1024
# What a later run takes: overlays and disks of its guests, and rebuilt objects.
LATER_DISK_MIB = 1024
# The smallest host that runs a guest of the default size beside everything else, in MiB.
NEEDED_MEMORY_MIB = 2 * 1024
# Bytes of a program's answer that are looked at.
_MAX_SAID = 10_000
# Long enough for any version, short enough for a table.
_MAX_VERSION = 40


@dataclass(frozen=True)
class Examined:
    """One tool as it was found."""

    tool: Tool
    # Where it is, or None.
    path: Path | None
    # As it says itself; "" when it could not be told.
    version: str
    # Why it cannot be used although it is there, or "".
    problem: str = ""

    @property
    def usable(self) -> bool:
        return self.path is not None and not self.problem


@dataclass(frozen=True)
class Report:
    """The state of this host."""

    tools: tuple[Examined, ...]
    # The line that installs all that is missing, or "".
    apt: str
    # The cache directory and the free space on its file system in MiB.
    cache: Path
    disk_mib: int
    # What a run needs there: less once the cache is filled.
    needed_disk_mib: int
    capacity: Capacity
    # The accelerator in use and the reason; the name is "" while it is not decided.
    accelerator: str
    accelerator_reason: str

    @property
    def problems(self) -> tuple[str, ...]:
        """What makes a run impossible, one sentence each."""
        found = [
            f"{one.tool.name} {one.problem or 'is missing'}: needed for {one.tool.purpose}."
            for one in self.tools if one.tool.need is Need.REQUIRED and not one.usable
        ]
        if self.disk_mib < self.needed_disk_mib:
            found.append(
                f"{self.cache} has {self.disk_mib} MiB of disk left and a run needs {self.needed_disk_mib}: make room, "
                "by `farm cache prune` perhaps, or set FARM_CACHE to another place."
            )
        if self.capacity.memory_mib < NEEDED_MEMORY_MIB:
            found.append(f"the host has {self.capacity.memory_mib} MiB of memory and needs {NEEDED_MEMORY_MIB}.")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        return {
            "possible": not self.problems,
            "problems": list(self.problems),
            "apt": self.apt,
            "tools": [
                {"name": one.tool.name, "path": str(one.path) if one.path else None, "version": one.version,
                 "problem": one.problem, "package": one.tool.package, "need": one.tool.need.value,
                 "purpose": one.tool.purpose}
                for one in self.tools
            ],
            "disk": {"cache": str(self.cache), "free_mib": self.disk_mib, "needed_mib": self.needed_disk_mib},
            "memory": {"total_mib": self.capacity.memory_mib, "available_mib": self.capacity.available_mib},
            "cpus": self.capacity.cpus,
            "accelerator": {"name": self.accelerator or None, "reason": self.accelerator_reason},
        }


def report(workdir: Workdir, tools: Iterable[Tool] = TOOLS, *, root: bool | None = None) -> Report:
    """Look at everything; takes as long as the slowest tool needs to say its version, and changes nothing."""
    privileged = os.geteuid() == 0 if root is None else root
    asked = [tool for tool in tools if not (tool.unprivileged and privileged)]
    lacking = missing(asked, root=privileged)
    known = accel.recall(workdir)
    return Report(
        tools=tuple(examine(tool) for tool in asked),
        apt=shlex.join(apt_line(packages_of(lacking), root=privileged)) if lacking else "",
        cache=workdir.root,
        disk_mib=free_mib(workdir.root),
        needed_disk_mib=LATER_DISK_MIB if any(workdir.root.glob("store/kernel/*")) else FIRST_DISK_MIB,
        capacity=measure(),
        accelerator=known.name if known else "",
        accelerator_reason=known.reason if known else
        "Not decided yet: the first run boots its kernel and remembers which accelerator got it to userspace.",
    )


def examine(tool: Tool, seconds: float = VERSION_SECONDS) -> Examined:
    """Find a tool and ask for its version. Never raises: a tool that misbehaves has a `problem`."""
    path = tool.find()
    if path is None:
        return Examined(tool, None, "")
    if tool.files:
        return Examined(tool, path, _package_version(tool.package, seconds))
    if not tool.version:
        return Examined(tool, path, "")
    try:
        status, said = _ask([str(path), *tool.version], Deadline(seconds))
    except FarmError as error:
        return Examined(tool, path, "", f"does not work ({_first_line(str(error))})")
    found = re.search(tool.pattern, said)
    version = _short(found.group(1)) if found else ""
    if status != 0 and not version:
        why = _short(_first_line(said), 200) or f"exit status {status}"
        return Examined(tool, path, "", f"does not work ({why})")
    return Examined(tool, path, version)


def _ask(argv: list[str], deadline: Deadline) -> tuple[int, str]:
    """Exit status and the beginning of what a program says on either stream.

    Unlike process.run it does not collect what a program gone mad prints without end; such a one is stopped like
    any other that does not finish. Raises InfrastructureError when the deadline passes.
    """
    said = b""
    with process.running(process.spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)) as child:
        assert child.stdout is not None
        while select.select([child.stdout], [], [], deadline.remaining())[0] and not deadline.expired:
            piece = os.read(child.stdout.fileno(), 65536)
            said += piece[: _MAX_SAID - len(said)]
            if not piece:
                with suppress(subprocess.TimeoutExpired):
                    return child.wait(deadline.remaining()), said.decode(errors="replace")
                break
    raise InfrastructureError(f"`{process.as_typed(argv)}` did not end within {deadline.seconds:.3g} s")


def _package_version(package: str, seconds: float) -> str:
    """Headers and sources do not say their version; the package they came in does, where there is one."""
    try:
        done = process.run(
            ["dpkg-query", "--show", "--showformat", "${Version}\n", package], deadline=Deadline(seconds), check=False
        )
    except FarmError:
        return ""
    return _short(_first_line(done.stdout)) if done.returncode == 0 else ""


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0]


def _short(text: str, most: int = _MAX_VERSION) -> str:
    """The beginning of what a program said of itself."""
    return printable(text.replace("\t", " "))[:most].rstrip(",;")


def free_mib(directory: Path) -> int:
    """Free space on the file system that the directory is on, or will be on when it is made."""
    existing = next(place for place in (directory, *directory.parents) if place.is_dir())
    return shutil.disk_usage(existing).free >> 20
