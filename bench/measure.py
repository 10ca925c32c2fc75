"""Running a command and measuring it from outside."""

import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm import trial
from farm.deadline import Deadline
from farm.host import process

_SAMPLE_SECONDS = 0.05


class BenchError(Exception):
    """A measured command failed; says which, and the end of what it said."""


@dataclass(frozen=True)
class Measured:
    """A command that has ended well."""

    # When it started, in seconds since the epoch.
    started: float
    # Wall time in seconds.
    seconds: float
    # User and system time in seconds, of it and of every descendant that it waited for.
    cpu_seconds: float
    # Largest resident memory in MiB of the process itself: neither QEMU's nor a compiler's.
    peak_mib: float
    # The last line that it printed to standard output, as JSON.
    said: Any


@dataclass(frozen=True)
class Figure:
    """One measured quantity."""

    name: str
    unit: str
    # The values, one a run.
    values: tuple[float, ...]
    # At most this, or with `at_least` at least; None for a figure that only informs.
    target: float | None
    # The command that measured it, as one can paste it.
    command: str
    at_least: bool = False
    # How it came about, e.g. `173 of 175`.
    detail: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        """How much of what the target allows is used: 1 or less is good. None without a target, or with one of 0."""
        if not self.target:
            return None
        return self.target / max(self.median, 1e-9) if self.at_least else self.median / self.target

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.median >= self.target if self.at_least else self.median <= self.target

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "unit": self.unit, "median": round(self.median, 3),
            "values": [round(value, 3) for value in self.values], "target": self.target, "at_least": self.at_least,
            "ratio": None if self.ratio is None else round(self.ratio, 3), "met": self.met, "detail": self.detail,
            "command": self.command,
        }


def pasteable(argv: Sequence[str], env: Mapping[str, str]) -> str:
    return process.as_typed([*(["env"] if env else []), *(f"{name}={value}" for name, value in env.items()), *argv])


def carry_out(argv: Sequence[str], env: Mapping[str, str | None] | None = None) -> process.Completed:
    """Run a command that may take hours, and that ends with us, however we do."""
    return process.run(argv, deadline=Deadline(trial.SECONDS), env=env, check=False)


def measure(argv: Sequence[str], env: Mapping[str, str] | None = None, good: Sequence[int] = (0,)) -> Measured:
    """Run a command that ends with one line of JSON. Raises BenchError when its status is not among the good ones."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started, began = time.time(), time.monotonic()
        child = process.spawn(argv, env=env, stdout=out, stderr=err)
        with process.running(child):
            peak = _Peak(child.pid)
            try:
                _, status, usage = os.wait4(child.pid, 0)
            finally:
                peak_mib = peak.end()
            seconds = time.monotonic() - began
            # Popen did not see it end and would wait for a process that is gone.
            child.returncode = os.waitstatus_to_exitcode(status)
        text, errors = (_read(stream) for stream in (out, err))
    if child.returncode not in good:
        raise BenchError(process.failure(process.Completed(tuple(argv), child.returncode, text, errors)))
    return Measured(started, seconds, usage.ru_utime + usage.ru_stime, peak_mib, _last_json(argv, text))


def _read(stream: Any) -> str:
    stream.seek(0)
    return str(stream.read().decode(errors="replace"))


def _last_json(argv: Sequence[str], text: str) -> Any:
    lines = text.strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise BenchError(f"`{process.as_typed(argv)}` did not end with a line of JSON: {lines[-1:]}") from error


class _Peak:
    """Samples the high-water mark of a process's memory until it ends (/proc/PID/status, VmHWM).

    The kernel's own figure for a dead child (wait4, ru_maxrss) includes the child's children, QEMU among them.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._mib = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            with suppress(OSError):
                for line in self._status.read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        self._mib = max(self._mib, int(line.split()[1]) / 1024)

    def end(self) -> float:
        self._ended.set()
        self._thread.join()
        return self._mib


def qemu_version() -> str:
    with suppress(OSError):
        done = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=False)
        return (done.stdout.splitlines() or [""])[0]
    return ""
