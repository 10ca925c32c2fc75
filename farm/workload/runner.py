"""Ongoing a workload in the guest: supervised there, watched here, on its own or beside others."""

import base64
import binascii
import logging
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import count
from typing import Any, Generic, Protocol, TypeVar

from farm.deadline import Deadline, Pace
from farm.errors import UserError
from farm.guest.shell import Ongoing, StreamingShell
from farm.textform import Kind, Registry
from farm.workload.result import WorkloadResult

log = logging.getLogger(__name__)

# Base seconds that a workload may take beyond its duration: its start, a pass begun just before the end, its report.
SLACK_SECONDS = 60.0
# Base seconds to wait for a workload that was told to end.
STOP_SECONDS = 2.0
_NUMBERS = count(1)


class Subject(Protocol):
    """What a workload works on; a stack's assembly is one."""

    @property
    def device(self) -> str: ...
    @property
    def mountpoint(self) -> str: ...
    @property
    def zone_bytes(self) -> int: ...


@dataclass(frozen=True)
class Directory:
    """A directory of the guest as a subject, e.g. a tmpfs whose pages can be swapped out."""

    mountpoint: str
    device: str = ""
    zone_bytes: int = 0


WORKLOADS: Registry[Kind] = Registry("workload")


@dataclass(frozen=True)
class Job:
    """What is started in the guest."""

    argv: tuple[str, ...]
    # What counts as finished I/O: paths of block devices, or `vm` for paging.
    counted: tuple[str, ...]


# Called with a workload's text when it starts; the block gets the function that takes the finished I/O.
Watch = Callable[[str], AbstractContextManager[Callable[[int], None]]]


def unwatched(_: str) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda _: None)


def script(name: str) -> str:
    """A shell script of this package."""
    return (files("farm.workload") / "scripts" / name).read_text()


SpecT = TypeVar("SpecT", bound=Kind)


class Runner(ABC, Generic[SpecT]):
    """Starts one kind of workload, as often as it is called; every call has a seed of its own."""

    spec_type: type[SpecT]

    def __init__(
        self, shell: StreamingShell, *, seed: int, duration: float, watch: Watch = unwatched, pace: Pace | None = None
    ) -> None:
        """`duration` is in seconds on the guest's clock."""
        self._shell = shell
        self._seed = seed
        self._duration = duration
        self._watch = watch
        self._pace = pace or Pace()
        self._calls = count()

    def __call__(
        self, subject: Subject | str, *, duration: float | None = None, check: bool = True, **options: Any
    ) -> WorkloadResult:
        """Run it to its end on a stack or in a directory of the guest; options are those of its text form.

        Raises UserError for an unknown option, VerificationError for wrong data, WorkloadError when it fails
        otherwise (both only with `check`), and what the shell raises when the guest is in trouble.
        """
        return self._call(subject, lambda _: None, duration=duration, check=check, **options)

    @contextmanager
    def running(self, subject: Subject | str, **options: Any) -> Iterator[None]:
        """Run it in the background of a block; the block's end waits for it, and raises what it raised.

        A block that fails ends it. What it had raised by then stands below the block's error, as a note.
        """
        raised: list[BaseException] = []
        begun: list[Ongoing] = []
        over = threading.Event()

        def started(running: Ongoing) -> None:
            begun.append(running)
            if over.is_set():
                running.stop(self._pace.deadline(STOP_SECONDS))

        def work() -> None:
            try:
                self._call(subject, started, **options)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=work, name=f"farm-{self.spec_type.kind}", daemon=True)
        thread.start()
        try:
            yield
        except BaseException as error:
            for other in raised[:1]:
                error.add_note(f"{self.spec_type.kind} in the background: {other}")
            over.set()
            for running in begun:
                running.stop(self._pace.deadline(STOP_SECONDS))
            thread.join(self._pace.seconds(STOP_SECONDS))
            raise
        thread.join()
        if raised:
            raise raised[0]

    def _call(
        self, subject: Subject | str, started: Callable[[Ongoing], None], *, duration: float | None = None,
        check: bool = True, **options: Any,
    ) -> WorkloadResult:
        """`__call__`; what runs is handed to `started`."""
        spec = self.spec(**options)
        place = Directory(subject) if isinstance(subject, str) else subject
        result = self._run(spec, place, self._duration if duration is None else duration, started)
        return result.checked() if check else result

    def spec(self, **options: Any) -> SpecT:
        """The workload that these options describe, checked as its text form is. Raises UserError."""
        words = [name if value is True else f"{name}={value}"
                 for name, value in options.items() if value is not False and value is not None]
        written = f"{self.spec_type.kind}:{','.join(words)}"
        spec = WORKLOADS.parse(written, f"The workload {written!r}")
        assert isinstance(spec, self.spec_type)
        return spec

    @abstractmethod
    def job(self, spec: SpecT, subject: Subject, seed: int, seconds: float) -> Job:
        """What to start. Raises UserError when the subject does not fit."""

    @abstractmethod
    def judge(self, spec: SpecT, result: WorkloadResult, stdout: str, subject: Subject) -> WorkloadResult:
        """Fill in counts and errors from what it printed; `said` is its standard error."""

    def _run(
        self, spec: SpecT, subject: Subject, seconds: float, started: Callable[[Ongoing], None],
    ) -> WorkloadResult:
        seed = (self._seed + 1000 * next(self._calls)) % (1 << 31)
        text = WORKLOADS.render(spec)
        job = self.job(spec, subject, seed, seconds)
        began = time.monotonic()
        heard = Listener()
        with self._watch(text) as progress:
            heard.progress = progress
            running = self._shell.stream(supervised(job), on_line=heard)
            started(running)
            try:
                running.wait(Deadline(2 * seconds + self._pace.seconds(SLACK_SECONDS)), check=False)
            except BaseException:
                running.stop(self._pace.deadline(STOP_SECONDS))
                raise
        log.info("%s with seed %d ended with status %d", text, seed, heard.status)
        result = WorkloadResult(text, seed, heard.status == 0, status=heard.status,
                                said=heard.outputs.get("stderr", ""), seconds=time.monotonic() - began)
        result = self.judge(spec, result, heard.outputs.get("stdout", ""), subject)
        return replace(result, ok=result.ok and not result.errors and not result.verify_errors)


class Listener:
    """Takes the lines of scripts/supervise.sh."""

    _LINE = re.compile(r"farm-(progress|status|output) ([a-z0-9]{1,20})(?: ([A-Za-z0-9+/=]*))?", re.ASCII)

    def __init__(self) -> None:
        self.progress: Callable[[int], None] = lambda _: None
        # Exit status; 255 until it was said.
        self.status = 255
        self.outputs: dict[str, str] = {}

    def __call__(self, line: str) -> None:
        match = self._LINE.fullmatch(line.strip())
        if match is None:
            return
        word, value, data = match.groups()
        if word == "output":
            try:
                self.outputs[value] = base64.b64decode(data or "", validate=True).decode(errors="replace")
            except (binascii.Error, ValueError):
                self.outputs[value] = ""
        elif value.isdecimal():
            number = int(value)
            if word == "progress":
                self.progress(number)
            else:
                self.status = number


def supervised(job: Job, directory: str = "") -> list[str]:
    """The command that runs a job under scripts/supervise.sh, in a directory of its own."""
    return [
        "bash", "-c", script("supervise.sh"), "farm-supervise", directory or f"/run/farm/workload-{next(_NUMBERS)}",
        " ".join(job.counted), *job.argv,
    ]


def need_directory(subject: Subject, what: str) -> str:
    """The subject's directory. Raises UserError when it has none."""
    if not subject.mountpoint:
        raise UserError(f"{what} works on files, but {subject.device} carries no file system. Put xfs or ext4 on top.")
    return subject.mountpoint
