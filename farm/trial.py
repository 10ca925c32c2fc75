"""A farm command as a process of its own: `farm build` and `farm run`, and what they left behind.

Whoever judges many kernels (bisection, qualification) runs each in a fresh process: what one revision does to it
never touches the next, and it can be stopped from another thread.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from farm.deadline import Deadline
from farm.errors import InfrastructureError
from farm.host import process
from farm.host.capacity import measure
from farm.model import Finding, Frame, Outcome
from farm.results.directory import RESULT
from farm.verdict import Cause, cause_from_json

# Beyond the longest build or run; each has deadlines of its own within.
SECONDS = 24 * 3600.0

_Result = TypeVar("_Result")


class Command:
    """A farm command that is running; standard error goes to `log`, standard output is one JSON object or nothing."""

    def __init__(self, arguments: Sequence[str], log: Path, *, nice: int = 0) -> None:
        self._log = log
        self._began = time.monotonic()
        self._stopped = False
        with log.open("ab") as errors:
            self._log_begins = errors.tell()
            self._child = process.spawn(
                [sys.executable, "-m", "farm", *arguments], stdout=subprocess.PIPE, stderr=errors, nice=nice)

    def stop(self) -> None:
        """End it from another thread; `wait` then returns."""
        self._stopped = True
        process.stop(self._child)

    @property
    def is_running(self) -> bool:
        """Whether it has yet to end."""
        return self._child.poll() is None

    def wait(self) -> "Ended":
        """Wait for its end. Raises InfrastructureError when it never comes."""
        with process.running(self._child):
            try:
                out, _ = self._child.communicate(timeout=Deadline(SECONDS).remaining())
            except subprocess.TimeoutExpired as error:
                raise InfrastructureError(
                    f"a command of the farm did not end in {SECONDS:.0f} s; what it said is in {self._log}") from error
        answer = None
        with suppress(ValueError, IndexError):
            answer = json.loads(out.splitlines()[-1])
        return Ended(self._child.returncode, answer, self._log, time.monotonic() - self._began, self._stopped,
                     self._log_begins)


class Commands:
    """Farm commands that may go on at the same time, each with a log of its own below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        # Those of one name that go on at the same time have numbers.
        self._running: dict[tuple[str, int], Command] = {}
        self._closed = False

    def run(self, name: str, arguments: Sequence[str], *, nice: int = 0) -> "Ended | None":
        """Carry one out under that name, which is its log's; None when nothing may begin any more.

        Raises InfrastructureError when it does not end.
        """
        with self._lock:
            if self._closed:
                return None
            number = next(one for one in count(1) if (name, one) not in self._running)
            # What a command said last must be its own words.
            log = self._directory / f"{name}{f'-{number}' if number > 1 else ''}.log"
            command = self._running[name, number] = Command(arguments, log, nice=nice)
        try:
            return command.wait()
        finally:
            with self._lock:
                del self._running[name, number]

    def stop(self, name: str) -> None:
        """End those of a name."""
        with self._lock:
            commands = [command for key, command in self._running.items() if key[0] == name]
        for command in commands:
            command.stop()

    def close(self) -> None:
        """End all, and let none begin."""
        with self._lock:
            self._closed = True
            commands = list(self._running.values())
        for command in commands:
            command.stop()


@dataclass(frozen=True)
class Ended:
    """A farm command that has ended."""

    # Exit status; negative is the signal that ended it.
    status: int
    # What it printed as JSON; None when it printed none.
    answer: Any
    log: Path
    # Wall time.
    seconds: float
    # We ended it.
    stopped: bool
    # Where in the log its own words begin: earlier commands may have written to the same one.
    log_begins: int = 0

    @property
    def said(self) -> str:
        """What it said last for its user, without the prefix: the line that begins with `farm: ` and all below."""
        with self.log.open("rb") as log:
            log.seek(self.log_begins)
            lines = log.read().decode(errors="replace").splitlines()
        first = max((number for number, line in enumerate(lines) if line.startswith("farm: ")), default=len(lines) - 1)
        return "\n".join(lines[max(first, 0):]).removeprefix("farm: ").strip()


@dataclass(frozen=True)
class CellResult:
    """What a cell's result.json says."""

    testcase: str
    outcome: Outcome
    title: str
    # Its directory; None for a testcase that never became a cell.
    directory: Path | None = None
    # The guest reached its ready line.
    ready: bool = False
    # What ended it, when it did not pass.
    cause: Cause | None = None
    # Every crash report that is not suppressed, earliest first.
    findings: tuple[Finding, ...] = ()
    # Seconds from the start of the load until the failure was known; None where it did not fail under one.
    latency: float | None = None
    # Virtual CPUs of its guest; 0 for a testcase that never became a cell.
    cpus: int = 0

    @property
    def failures(self) -> tuple[Finding, ...]:
        """What it failed by: what ended it, then all its other crash reports; nothing unless it failed."""
        if self.outcome is not Outcome.FAIL:
            return ()
        # A testcase that failed outside of any cell: pytest's own words are all there is.
        ended = self.cause or Cause("assertion", self.title)
        first = next((one for one in self.findings if (one.kind, one.title) == (ended.kind, ended.title)),
                     Finding(ended.kind, ended.title, ended.function, signature=ended.signature))
        return (first, *(one for one in self.findings if one is not first))


def together(calls: Sequence[Callable[[], _Result]], stop: Callable[[], None]) -> list[_Result]:
    """What these returned, called at the same time.

    All are waited for, also when one shows the bug: to end the others early would be to leave out more runs that miss
    it than runs that show it, and the reproduction rate would be wrong. When one raises, or is interrupted, `stop` has
    to end the others.
    """
    if len(calls) == 1:
        return [calls[0]()]
    with ThreadPoolExecutor(len(calls)) as pool:
        pending = list(map(pool.submit, calls))
        try:
            return [one.result() for one in pending]
        except BaseException:
            stop()  # or the pool would wait for them to the end
            raise


def room(cpus: int) -> int:
    """How many guests of so many CPUs run at the same time on this host without one waiting for the other.

    One where nobody knows how many they have (0).
    """
    return max(1, measure().cpus // cpus) if cpus else 1


def cells(run: Ended) -> tuple[CellResult, ...]:
    """The cells of a `farm run --json`, with what their directories say; none when it ran none."""
    return tuple(_cell(row, _about(row["directory"])) for row in (run.answer or {}).get("cells", ()))


def cells_in(run: Path) -> tuple[CellResult, ...]:
    """The cells of a run directory, as far as they can be read."""
    found = []
    for path in sorted(run.glob(f"*/{RESULT}")):
        with suppress(KeyError, TypeError, ValueError):
            about = _about(str(path.parent))
            row = {"testcase": about["cell"]["testcase"], "outcome": about["outcome"], "title": about["title"]}
            found.append(_cell({**row, "directory": path.parent}, about))
    return tuple(found)


def _about(directory: str) -> dict[str, Any]:
    """What a cell's directory says; nothing when there is none, or it cannot be read."""
    with suppress(OSError, ValueError):
        if directory:
            return dict(json.loads(Path(directory, RESULT).read_bytes()))
    return {}


def _cell(row: dict[str, Any], about: dict[str, Any]) -> CellResult:
    directory = Path(row["directory"]) if row["directory"] else None
    return CellResult(
        testcase=row["testcase"], outcome=Outcome(row["outcome"]), title=row["title"], directory=directory,
        ready=bool(about.get("ready")), cause=cause_from_json(about.get("cause")),
        findings=tuple(_finding(one) for one in about.get("findings", ()) if not one["suppressed"]),
        latency=about.get("durations", {}).get("detection"),
        cpus=about.get("cell", {}).get("machine", {}).get("cpus", 0))


def _finding(value: dict[str, Any]) -> Finding:
    """A crash report as result.json has it."""
    return Finding(**{**value, "frames": tuple(Frame(**one) for one in value["frames"]),
                      "alt_titles": tuple(value["alt_titles"])})
