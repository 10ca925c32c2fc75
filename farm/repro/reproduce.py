"""From the proposals for a report to its failure, and from there to the smallest setup that still shows it.

    reproductions/mail-3f2a9c1e/
        request.json        what was asked; the same request goes on in the same place
        attempts.jsonl      every run, in order
        runs/               the run directory of every run
        logs/               what they said
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from farm import trial
from farm.bisect.shown import classify
from farm.bisect.strategy import HOST_FAILURES
from farm.bisect.values import Seen
from farm.errors import BuildError, InfrastructureError, UserError
from farm.model import REQUEST_REFUSED, Verdict
from farm.options import as_arguments
from farm.repro.attempts import Attempt, Journal, Purpose, tallies
from farm.repro.likeness import Likeness
from farm.repro.recorded import load
from farm.repro.shrink import Setup, setup_of, smallest
from farm.results.alone import alone_in
from farm.results.directory import write_json

REQUEST = "request.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is tried, and how."""

    # Testcases as `farm run` takes them, each with its flavor, in the order in which they are tried.
    candidates: tuple[tuple[str, str], ...]
    # Options of `farm run` by name.
    options: Mapping[str, Any]
    # What counts as the failure.
    likeness: Likeness
    # Runs of each candidate.
    tries: int
    # Runs of the smallest setup.
    runs: int
    # Wall seconds of runs after which no new one begins, but for those that count the rate.
    budget: float

    def request(self, report: str) -> dict[str, Any]:
        """What makes two reproductions the same; `report` is the digest of the report."""
        options = {name: value for name, value in self.options.items() if name != "runs_dir"}
        return {"report": report, "candidates": [list(one) for one in self.candidates], "tries": self.tries,
                "options": json.loads(json.dumps(options, default=str))}


@dataclass(frozen=True)
class Result:
    """How it ended; a reproduction that showed nothing has no setups."""

    attempts: tuple[Attempt, ...]
    # The run that showed it first.
    first: Attempt | None
    # The smallest setup that shows it, and the run of it to look at.
    smallest: Setup | None
    shown: Attempt | None
    # Runs for the rate of the smallest setup, and how many of those showed it.
    seen: int
    runs: int
    # The budget ended before everything was tried.
    cut: bool

    @property
    def verdict(self) -> Verdict:
        """GOOD: reproduced. BAD: every candidate was run and none showed it. SKIP: some could not be judged."""
        if self.first is not None:
            return Verdict.GOOD
        judged = {(one.testcase, one.flavor) for one in self.attempts if one.seen in (
            Seen.NO_BUG, Seen.OTHER, Seen.NO_BOOT)}
        every = {(one.testcase, one.flavor) for one in self.attempts}
        return Verdict.SKIP if self.cut or every - judged or not every else Verdict.BAD


class Reproduction:
    """One reproduction and its directory; one process at a time."""

    def __init__(self, plan: Plan, directory: Path, say: Say, build: Callable[[Mapping[str, Any]], None]) -> None:
        """`build` makes the kernel that options of `farm run` name; it is called once for each flavor that is run."""
        self._plan, self._directory, self._say, self._build = plan, directory.absolute(), say, build
        self._built: set[str] = set()

    def carry_out(self, report: str) -> Result:
        """Run what is not recorded yet. Raises UserError, and InfrastructureError when the host fails again and again.

        Whatever was raised, the same call goes on from there.
        """
        with alone_in(self._directory, "reproduces"):
            self._claim(self._plan.request(report))
            self._journal = Journal(self._directory)
            self._commands = trial.Commands(self._directory / "logs")
            self._find()
            if self._journal.shown is not None:
                self._shrink(self._journal.shown)
            return self._result()

    def _claim(self, asked: Mapping[str, Any]) -> None:
        """Write down what is asked, or see that it is what was asked before. Raises UserError."""
        path, known = self._directory / REQUEST, None
        with suppress(ValueError):
            known = json.loads(path.read_bytes()) if path.exists() else asked
        if known != asked:
            raise UserError(f"{self._directory} holds the reproduction of something else. Choose another --dir.")
        write_json(path, asked)

    # -- finding

    def _find(self) -> None:
        for candidate in self._left():
            if self._journal.shown is not None or self._spent:
                return
            testcase, flavor = candidate
            self._say(f"trying {testcase}" + (f" with flavor {flavor}" if flavor != "base" else ""))
            self._observe(Purpose.FIND, testcase, {"flavor": flavor}, None)

    def _left(self) -> Iterator[tuple[str, str]]:
        """Candidates that still want a run; a kernel that does not compile is not tried again."""
        for number in range(self._plan.tries):
            for testcase, flavor in self._plan.candidates:
                made = [one for one in self._journal.attempts
                        if (one.testcase, one.flavor) == (testcase, flavor) and one.seen is not Seen.HOST]
                broken = any(one.flavor == flavor and one.seen is Seen.NO_BUILD for one in self._journal.attempts)
                if len(made) <= number and not broken:
                    yield testcase, flavor

    @property
    def _spent(self) -> bool:
        return self._journal.seconds >= self._plan.budget

    # -- shrinking

    def _shrink(self, first: Attempt) -> None:
        start = first.setup
        assert start is not None
        while True:
            known = tallies(self._journal.attempts)
            current, step = smallest(start, known, self._plan.runs)
            if step is not None and not self._spent:
                self._say(f"smaller: {', '.join(step.smaller_than(current))}")
                self._observe(Purpose.SHRINK, step.testcase, self._options(step, start, first), step)
            elif known[current].rated < self._plan.runs:
                self._rate(current, known[current].rated, self._options(current, start, first))
            else:
                return

    def _rate(self, setup: Setup, made: int, options: Mapping[str, Any]) -> None:
        """Runs that count how often the smallest setup shows it, as many at once as the host has room for."""
        count = min(trial.room(setup.cpus), self._plan.runs - made)
        which = f"runs {made + 1} to {made + count}" if count > 1 else f"run {made + 1}"
        self._say(f"rate: {which} of {self._plan.runs}")
        once = partial(self._observe, Purpose.RATE, setup.testcase, options, setup)
        trial.together([once] * count, self._commands.close)

    @staticmethod
    def _options(setup: Setup, start: Setup, first: Attempt) -> dict[str, Any]:
        return {"flavor": first.flavor, **setup.changes(start)}

    # -- one run

    def arguments(self, testcase: str, options: Mapping[str, Any]) -> list[str]:
        """Of `farm run`, with changed options."""
        return ["run", testcase, *as_arguments({**self._plan.options, **options})]

    def _observe(self, purpose: Purpose, testcase: str, options: Mapping[str, Any], setup: Setup | None) -> None:
        """Run once, and write down what was seen. Raises UserError and, in the end, InfrastructureError."""
        flavor, runs = str(options["flavor"]), str(self._directory / "runs")
        try:
            if flavor not in self._built:  # before the clock of the first run, and where its progress is seen
                self._build({**self._plan.options, "flavor": flavor})
            self._built.add(flavor)
        except BuildError as error:
            self._note(Attempt(purpose, testcase, flavor, Seen.NO_BUILD, str(error).partition("\n")[0], setup=setup))
            return
        for attempt in range(1, HOST_FAILURES + 1):
            command = self.arguments(testcase, {**options, "runs_dir": runs})
            ended = self._commands.run("run", [*command, "--json"])
            if ended is None:
                return
            if ended.status == REQUEST_REFUSED and purpose is Purpose.FIND:
                raise UserError(ended.said)
            made = self._judged(purpose, testcase, flavor, ended, setup)
            self._note(made)
            if made.seen is not Seen.HOST:
                return
            self._say(f"    the host failed (attempt {attempt})")
        raise InfrastructureError(
            f"the host failed {HOST_FAILURES} times: {made.title}\n"
            "Nothing is lost: the same command goes on from here.")

    def _note(self, made: Attempt) -> None:
        self._journal.add(made)
        self._say(f"    {made.seen.value}" + (f": {made.title}" if made.title else "") + f" ({made.seconds:.0f} s)")

    def _judged(self, purpose: Purpose, testcase: str, flavor: str, ended: trial.Ended, setup: Setup | None) -> Attempt:
        cells = trial.cells(ended)
        shown = classify(cells, self._plan.likeness.covers)
        cell = shown.cell
        if cell is None or cell.directory is None:
            seen = Seen.NO_BUILD if ended.status == Verdict.SKIP and not cells else (
                Seen.UNASKED if cell is not None or ended.status == REQUEST_REFUSED else Seen.HOST)
            title = cell.title if cell is not None else ended.said.partition("\n")[0]
            return Attempt(purpose, testcase, flavor, seen, title, seconds=round(ended.seconds, 1), setup=setup)
        run = load(cell.directory)
        # A busy host lets cells wait for room: that is no time of theirs.
        seconds = round(max(0.0, ended.seconds - float(run.facts.get("durations", {}).get("admission", 0.0))), 1)
        seen = shown.seen
        if purpose is Purpose.RATE and seen is Seen.NO_BOOT:
            seen = Seen.HOST  # it has booted before, with the same kernel and machine: the host was too slow for it
        return Attempt(
            purpose, testcase, flavor, seen, shown.title, shown.cause,
            str(cell.directory.relative_to(self._directory)), seconds, setup or setup_of(run, testcase))

    def _result(self) -> Result:
        journal = self._journal
        first = journal.shown
        if first is None or first.setup is None:
            return Result(tuple(journal.attempts), None, None, None, 0, 0, any(True for _ in self._left()))
        known = tallies(journal.attempts)
        current, step = smallest(first.setup, known, self._plan.runs)
        shown = next(one for one in reversed(journal.attempts) if one.seen is Seen.BUG and one.setup == current)
        return Result(tuple(journal.attempts), first, current, shown, known[current].rated_seen, known[current].rated,
                      step is not None)
