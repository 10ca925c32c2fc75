"""Running make: progress while it runs, the whole log in a file, and the first error when it fails."""

import hashlib
import json
import os
import selectors
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import BuildError, InfrastructureError
from farm.host import process
from farm.kernel import buildlog
from farm.kernel.git import Repository
from farm.kernel.make import Make
from farm.kernel.values import Progress, Report

# Far beyond the slowest flavor on a slow host.
BUILD_SECONDS = 4 * 3600.0
# Objects of the base flavor, until a build in the O= directory has told how many there are.
_FIRST_GUESS = 2210
# What the last build that succeeded in this O= directory was of.
_NOTE = ".farm-built"


@dataclass(frozen=True)
class State:
    """What objects depend on."""

    # Id of the commit in the work tree.
    commit: str
    # Digest of the configuration and of the way make is called.
    basis: str

    @classmethod
    def of(cls, make: Make, commit: str) -> "State":
        config = (make.output / ".config").read_text(encoding="utf-8")
        return cls(commit, hashlib.sha256("\n".join([config, *make.argv([])]).encode()).hexdigest())


def is_small(old: State | None, new: State, repository: Repository) -> bool:
    """Whether going from one state to another compiles few objects: then those already there count as done."""
    if old is None or old.basis != new.basis:
        return False
    changed = repository.run("diff-tree", "-r", "-z", "--name-only", old.commit, new.commit, check=False)
    return changed.returncode == 0 and not any(
        name.startswith("include/") or "/include/" in name or "Kconfig" in name for name in changed.stdout.split("\0"))


class _Counter:
    """Share of objects done."""

    def __init__(self, output: Path, state: State, repository: Repository, report: Report) -> None:
        self._report, self._state, self._note = report, state, output / _NOTE
        self._total, self._kept, self._made, self._shown = _FIRST_GUESS, 0, 0, 0
        with suppress(OSError, ValueError, TypeError, KeyError):
            last = json.loads(self._note.read_bytes())
            self._total = max(1, int(last["objects"]))
            if is_small(State(last["commit"], last["basis"]), state, repository):
                self._kept = self._total
        self._note.unlink(missing_ok=True)

    def step(self, step: buildlog.Step) -> None:
        self._made += step.is_object
        # Never 100 % before the end: the guess may be low.
        self._shown = max(self._shown, min(self._total - 1, max(self._made, self._kept)))
        self._report(Progress(self._shown, self._total, f"{step.tool} {step.file}"))

    def finished(self) -> None:
        objects = max(self._made, self._kept)
        self._note.write_text(json.dumps({**asdict(self._state), "objects": objects}), encoding="utf-8")
        self._report(Progress(self._total, self._total, "done"))


def compile_kernel(
    make: Make, targets: Sequence[str], commit: str, repository: Repository, *, log: Path, report: Report,
) -> None:
    """Run make for the targets, all output into `log`; call it under `trees.compiling`, with `commit` checked out.

    Raises BuildError with the first error, or InfrastructureError when the host ran out of disk or memory, or
    make did not end in time.
    """
    counter = _Counter(make.output, State.of(make, commit), repository, report)
    deadline = Deadline(BUILD_SECONDS)
    with log.open("wb", buffering=0) as file:  # whoever follows it sees each line at once
        child = process.spawn(make.argv(targets), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with process.running(child):
            for line in _lines(child, deadline):
                file.write(line)
                if step := buildlog.step(line.decode(errors="replace").rstrip("\n")):
                    counter.step(step)
            status = child.wait(deadline.remaining() + process.GRACE_SECONDS)
    if status != 0:
        raise _failure(make, log, status)
    counter.finished()


def _lines(child: "subprocess.Popen[bytes]", deadline: Deadline) -> Iterator[bytes]:
    """Lines of the child's output as they come. Raises InfrastructureError when the deadline passes."""
    assert child.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(deadline.remaining()):
                raise InfrastructureError(f"make did not end within {deadline.seconds:.0f} s and was stopped")
            data = os.read(child.stdout.fileno(), 1 << 16)
            if not data:
                break
            *whole, rest = (rest + data).split(b"\n")
            yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


def _failure(make: Make, log: Path, status: int) -> BuildError | InfrastructureError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    out_of = buildlog.host_failure(lines)
    if out_of == "disk":
        free = shutil.disk_usage(make.output).free >> 20
        return InfrastructureError(
            f"No space left below {make.output} during the build ({free} MiB free now). Make room, or let "
            f"`farm cache prune --max-size 5G` do it, or set FARM_CACHE to a larger disk. The log is {log}."
        )
    if out_of == "memory":
        return InfrastructureError(
            f"The compiler was killed for lack of memory; fewer --jobs than {make.jobs} need less. The log is {log}."
        )
    prefixes = (f"{make.source}/", f"{os.path.relpath(make.source, make.output)}/", "./")
    first = buildlog.first_error(lines, prefixes)
    what = first or f"make ended with status {status} and no error line that the farm knows"
    return BuildError(f"The kernel does not compile: {what}\nThe whole log is {log}.", first=first, log=log)
