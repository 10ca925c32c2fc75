"""Judging one revision: its kernel is built and run in processes of their own, and what they left is read."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from farm import trial
from farm.bisect.builds import Builder
from farm.bisect.shown import told
from farm.bisect.values import Build, Run, Seen, Symptom
from farm.errors import BuildError, UserError
from farm.model import REQUEST_REFUSED, UNFIT, Verdict
from farm.verdict import cause_of

# Exit status of `farm build` for a kernel that does not compile.
_DOES_NOT_COMPILE = Verdict.BAD
# Building what may never be asked for must not slow the guest that is being judged.
_NICE = 15
# The kind that `cause_of` gives a kernel that does not compile.
BUILD_KIND = "build"


class Judge(Builder, Protocol):
    """Whoever can say what a revision shows."""

    @property
    def at_once(self) -> int:
        """How many runs of a revision go on at the same time without one waiting for the other."""

    def run(self, commit: str, build: Build, symptom: Symptom | None) -> Run:
        """Run the testcases once. Before the failure that is searched is known, every failure is it."""

    def stop_run(self, commit: str) -> None:
        """End the runs of that revision."""

    def close(self) -> None:
        """End whatever runs; nothing starts any more."""


def of_build(name: str, build: Build, symptom: Symptom | None) -> Run | None:
    """What a build tells by itself; None when the kernel has to be run.

    Where the failure that is searched is one of compiling, only what fails so has it, and what compiles is free of it
    whatever it does then.
    """
    if build.seen is not Seen.NO_BUG:
        bug = symptom and symptom.kind == BUILD_KIND and build.cause and symptom.covers(build.cause)
        return Run(name, Seen.BUG if bug else build.seen, build.error, build.cause, build_seconds=build.seconds)
    if symptom is not None and symptom.kind == BUILD_KIND:
        return Run(name, Seen.NO_BUG, digest=build.digest, build_seconds=build.seconds)
    return None


class Kernels(Protocol):
    """What is judged: testcases on kernels that go by a name."""

    @property
    def testcases(self) -> Sequence[str]:
        """As `farm run` takes them."""

    @property
    def run_options(self) -> Sequence[str]:
        """Options of `farm run` alone."""

    def kernel(self, name: str) -> list[str]:
        """The options of `farm build` and `farm run` that name a kernel."""


@dataclass(frozen=True)
class Subject:
    """Revisions of a tree: what `farm build` and `farm run` are given apart from the revision."""

    # The user's tree.
    tree: Path
    # Testcases as `farm run` takes them.
    testcases: tuple[str, ...]
    # Options that both understand: flavor, patches, configuration.
    build_options: tuple[str, ...] = ()
    # Options of `farm run` alone.
    run_options: tuple[str, ...] = ()

    def kernel(self, name: str) -> list[str]:
        """The options that name the kernel of a revision."""
        return ["--tree", str(self.tree), "--rev", name, *self.build_options]


class FarmJudge:
    """Judges by `farm build` and `farm run`; logs and run directories lie below `directory`."""

    def __init__(self, subject: Kernels, directory: Path, *, boots: bool = False) -> None:
        """With `boots`, a kernel that does not boot has no bug unless that is the failure that is searched."""
        self._subject, self._directory, self._boots = subject, directory, boots
        self._commands = trial.Commands(directory / "logs")
        # Of the largest guest of a run; 0 until one has ended.
        self._guest_cpus = 0
        (directory / "runs").mkdir(exist_ok=True)

    @property
    def at_once(self) -> int:
        """As many as the host has CPUs for; the first run has to tell how large its guests are."""
        return trial.room(self._guest_cpus)

    def build(self, commit: str, *, ahead: bool = False) -> Build:
        kernel = self._subject.kernel(commit)
        ended = self._commands.run(_name("build", commit), ["build", "--json", *kernel], nice=_NICE if ahead else 0)
        if ended is None or ended.stopped:
            return Build(seen=Seen.STOPPED)
        if ended.status == 0 and ended.answer:
            return Build(_digest(ended.answer), seconds=ended.seconds)
        if ended.status == REQUEST_REFUSED and UNFIT not in (ended.answer or {}):
            raise UserError(ended.said)
        if ended.status in (_DOES_NOT_COMPILE, REQUEST_REFUSED):
            cause = cause_of(BuildError(ended.said))
            return Build(error=cause.title, seconds=ended.seconds, seen=Seen.NO_BUILD,
                         cause=cause if ended.status == _DOES_NOT_COMPILE else None)
        return Build(error=ended.said or f"farm build ended with status {ended.status}", seen=Seen.HOST)

    def run(self, commit: str, build: Build, symptom: Symptom | None) -> Run:
        runs = self._directory / "runs"
        ended = self._commands.run(_name("run", commit), [
            "run", *self._subject.testcases, "--json", *self._subject.kernel(commit),
            *self._subject.run_options, "--runs-dir", str(runs)])
        if ended is None or ended.stopped:
            return Run(commit, Seen.STOPPED)
        if ended.status == REQUEST_REFUSED:
            raise UserError(ended.said)
        # Before the failure that is searched is known, every failure is it.
        cells = trial.cells(ended)
        self._guest_cpus = max([self._guest_cpus, *(cell.cpus for cell in cells)])
        shown = told(ended, cells, symptom.covers if symptom else lambda _: True,
                     booted=self._boots and symptom is None)
        where = next((cell.directory for cell in cells if cell.directory), None)
        relative = str(where.parent.relative_to(self._directory.absolute())) if where else ""
        return Run(commit, shown.seen, shown.title, shown.cause, build.digest, build.seconds, ended.seconds, relative)

    def stop_build(self, commit: str) -> None:
        self._commands.stop(_name("build", commit))

    def stop_run(self, commit: str) -> None:
        self._commands.stop(_name("run", commit))

    def close(self) -> None:
        self._commands.close()


def _name(what: str, commit: str) -> str:
    return f"{what}-{commit[:12]}"


def _digest(answer: dict[str, str | None]) -> str:
    """Of all that a guest gets of a build: equal when a change never reached the binary; "" when unknown."""
    whole = hashlib.sha256()
    try:
        for path in filter(None, map(answer.get, ("image", "modules"))):
            with Path(path).open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    except OSError:  # pruned from the cache in this very moment
        return ""
    return whole.hexdigest()
