"""Carrying a qualification out: every run is a `farm run` of its own, and is recorded before the next one begins."""

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from farm import trial
from farm.errors import InfrastructureError, UserError
from farm.host.workdir import data_directory
from farm.model import Outcome, Verdict, json_digest
from farm.options import BUILD_OPTIONS, as_arguments
from farm.qualify.ahead import Ahead
from farm.qualify.journal import Journal, Record
from farm.qualify.mutant import Mutant
from farm.qualify.plan import Step, differences, request, steps
from farm.qualify.table import Row, rows, verdict_on
from farm.results.alone import alone_in
from farm.results.directory import new_run_directory, write_json

# What a run directory of a qualification is known by.
ABOUT = "qualify.json"
# Takes nothing from a guest whose speed is part of what is measured.
LEAST_NICE = 19
# An error of the host is tried again so often.
RETRIES = 1

# How a run is told of. Of several cells, one for each parameter of a testcase, the first of these is the outcome.
_WORDS = {Outcome.FAIL: "failed", Outcome.ERROR: "could not be asked", Outcome.PASS: "passed",
          Outcome.SKIP: "said nothing"}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Qualification:
    """Mutants, how often each is run, and how."""

    mutants: tuple[Mutant, ...]
    # Runs of every mutant, and of every testcase on the unmodified kernel.
    runs: int
    # Options of `farm run` by name, without patch, flavor, seed and runs directory.
    options: Mapping[str, object]
    # Run directory.
    directory: Path
    # Seeds of the runs follow from it.
    seed: int

    def carry_out(self, say: Say) -> tuple[tuple[Row, ...], Verdict]:
        """Make the runs that are not recorded yet, and those again in which the host failed.

        Raises UserError when another process does so already, InfrastructureError when the record cannot be written.
        """
        with alone_in(self.directory, "qualifies"):
            return self._carry_out(say)

    def _carry_out(self, say: Say) -> tuple[tuple[Row, ...], Verdict]:
        journal = Journal(self.directory)
        records = journal.read()
        todo = list(steps(self.mutants, self.runs))
        known = {step for step, record in records.items() if record.outcome is not Outcome.ERROR}
        with Ahead(self._build) as ahead:
            for place, step in enumerate(todo, 1):
                if step in known:
                    continue
                ahead.before(step, [one for one in todo[place:] if one not in known])
                record = self._run(step)
                for _ in range(RETRIES):
                    if record.outcome is Outcome.ERROR:
                        say(f"{step.kernel}, run {step.number}: {record.title}; once more")
                        record = self._run(step)
                records[step] = record
                journal.append(record)
                say(f"[{place}/{len(todo)}] {describe(record)}")
        table = rows(self.mutants, self.runs, records)
        verdict = verdict_on(table, [records[step] for step in todo])
        write_json(self.directory / ABOUT, {**_about(self.directory), "verdict": verdict.name.lower()})
        return table, verdict

    def _build(self, step: Step) -> trial.Command:
        """Build a kernel with what a guest leaves of the host; the run of the step tells when that fails."""
        arguments = as_arguments(self._options(step), BUILD_OPTIONS)
        return trial.Command(["build", *arguments], self._place(step) / "build.log", nice=LEAST_NICE)

    def _place(self, step: Step) -> Path:
        directory = self.directory / step.kernel
        directory.mkdir(exist_ok=True)
        return directory

    def _options(self, step: Step) -> dict[str, object]:
        patches = [mutant.path for mutant in self.mutants if mutant.name == step.mutant]
        return {**self.options, "patch": patches, "flavor": step.flavor, "runs_dir": str(self._place(step)),
                "seed": self.seed + step.number}

    def _run(self, step: Step) -> Record:
        testcase = str(data_directory("testcases") / step.testcase)
        arguments = as_arguments(self._options(step))
        ended = trial.Command(["run", testcase, "--json", *arguments], self._place(step) / "log").wait()
        cells = trial.cells(ended)
        if not cells:
            by = Outcome.SKIP if ended.status == Verdict.SKIP else Outcome.ERROR
            return Record(step, by, title=ended.said.splitlines()[0] if ended.said else "farm run said nothing",
                          seconds=ended.seconds)
        cell = min(cells, key=lambda one: tuple(_WORDS).index(one.outcome))
        record = Record(step, cell.outcome, title=cell.title, seconds=round(ended.seconds, 1))
        if cell.directory is not None:
            record = replace(record, directory=str(cell.directory.relative_to(self.directory)))
        if cell.latency is not None:
            record = replace(record, latency=cell.latency)
        if cell.cause is None:
            return record
        return replace(record, kind=cell.cause.kind, function=cell.cause.function, title=cell.cause.title)


def describe(record: Record) -> str:
    """A record in a line."""
    what = _WORDS[record.outcome]
    named = f": {record.title}" if record.title else ""
    after = f" after {record.latency:.1f} s of load" if record.outcome is Outcome.FAIL and record.latency >= 0 else ""
    return f"{record.step.kernel}, run {record.step.number}: {what}{after}{named}"


def begin(
    mutants: Sequence[Mutant], runs: int, options: Mapping[str, object], runs_dir: Path, *, kernel: str,
    resume: Path | None = None,
) -> Qualification:
    """A qualification, in the run directory `resume` or, without one, in the newest unfinished one below `runs_dir`
    that asked for the same; when there is none of these, in a new one.

    `kernel` is the key of the unmodified kernel's build: a branch may have moved since. Raises UserError when
    `resume` is not the run directory of the same request.
    """
    files = {mutant.testcase.partition("::")[0] for mutant in mutants}
    digests = {name: hashlib.sha256((data_directory("testcases") / name).read_bytes()).hexdigest() for name in files}
    asked = request(mutants, runs, {**options, "kernel": kernel}, digests)
    digest = json_digest(asked)
    if resume is not None:
        require_qualification(resume)
        about = _about(resume)
        if about.get("digest") != digest:
            changed = "; ".join(differences(about["request"], asked))
            raise UserError(f"--resume {resume} was not begun with these mutants, testcases and options ({changed}). "
                            "Give the same command line, or begin anew without --resume.")
        found = [resume]
    else:
        abouts = {path.parent: _about(path.parent) for path in sorted(runs_dir.glob(f"*/{ABOUT}"))}
        found = [path for path, about in abouts.items() if about.get("digest") == digest and "verdict" not in about]
    if found:
        return Qualification(tuple(mutants), runs, options, found[-1].absolute(), _about(found[-1])["seed"])
    directory = new_run_directory(runs_dir)
    seed = secrets.randbelow(1 << 30)
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise InfrastructureError(f"cannot make the run directory {directory} ({error.strerror})") from error
    write_json(directory / ABOUT, {"request": asked, "digest": digest, "seed": seed})
    return Qualification(tuple(mutants), runs, options, directory, seed)


def require_qualification(directory: Path) -> None:
    """Raises UserError for a directory that is not the run directory of a qualification."""
    if "request" not in _about(directory):
        raise UserError(f"--resume {directory} is not the run directory of a farm qualify.")


def _about(directory: Path) -> dict[str, Any]:
    """What is known of a run directory; nothing when it is none of a qualification."""
    with suppress(OSError, ValueError):
        value = json.loads((directory / ABOUT).read_bytes())
        if isinstance(value, dict):
            return value
    return {}
