"""The search among configurations: asks `minimal` for a set of options and has it examined, until nothing can go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from farm.bisect import statistics, strategy
from farm.bisect.config import minimal
from farm.bisect.config.candidates import Candidate, Candidates
from farm.bisect.config.minimal import Options
from farm.bisect.examiner import Examiner
from farm.bisect.judge import Judge
from farm.bisect.progress import Progress
from farm.bisect.proof import TOLERANCE, Proof
from farm.bisect.state import Journal
from farm.bisect.statistics import Rate
from farm.bisect.values import Answer, Seen, Settings


@dataclass(frozen=True)
class Result:
    """How the search ended."""

    # The smallest set of options that was found to show the bug.
    options: tuple[str, ...]
    # Their configuration.
    candidate: Candidate
    # Probability that none of them can be left out, as far as that could be judged.
    confidence: float
    # Those of them without which nothing can be judged.
    unsure: tuple[str, ...]
    # What the bad configuration showed with those options as in the good one.
    proof: Proof


class ConfigProgress(Progress):
    """Among configurations."""

    what = "configuration"

    def __init__(self, candidates: Candidates, journal: Journal, settings: Settings, say: Callable[[str], None],
                 ends: Sequence[str]) -> None:
        super().__init__(journal, settings, say, ends)
        self._candidates = candidates

    def left(self, count: int) -> None:
        """How many options may still matter."""
        rounds = statistics.steps(count)
        self._say(f"{count} options left, at least {rounds} step{'s' if rounds != 1 else ''}{self.time(rounds)}")

    def asking(self, candidate: Candidate) -> None:
        """What is asked next, and what became of it."""
        options = candidate.options
        self._say(f"  {candidate.name[:12]}: {len(options)} options as in the bad one"
                  + (f" ({', '.join(options)})" if len(options) <= 4 else ""))
        for what, names in (("dropped, what they depend on is off:", candidate.dropped),
                            ("changed with them:", [f"{one}={value}" for one, value in candidate.dragged])):
            if names:
                self._say(f"      {what} {', '.join(names[:8])}" + (f" and {len(names) - 8} more" if names[8:] else ""))

    def doubt(self, confidence: float, name: str) -> None:
        """Why something is run again."""
        self._say(f"that none of them can go is sure with {confidence:.1%}; {name[:12]} is run again")


class ConfigDriver:
    """One search, from the first run of an end to the result. Going on after an interruption is the same call."""

    def __init__(self, judge: Judge, candidates: Candidates, journal: Journal, *, settings: Settings,
                 say: Callable[[str], None]) -> None:
        self._candidates, self._journal, self._settings = candidates, journal, settings
        self._bad, self._good = (candidates.get(frozenset(options)).name for options in (candidates.options, ()))
        ends = {self._bad: "--bad-config", self._good: "--good-config"}
        self._progress = ConfigProgress(candidates, journal, settings, say, tuple(ends))
        self._examiner = Examiner(
            judge, journal, settings, self._progress, buggy=self._bad, ends=ends, rate=lambda: self.rate)

    @property
    def rate(self) -> Rate:
        """How often the bug shows, from the runs of configurations that have it: it was seen there, or with fewer
        options. Those alone where it was seen would make it look more frequent than it is."""
        runs = [run for run in self._journal.runs if not run.copy]
        options = {name: frozenset(self._candidates.named(name).options) for name in {run.commit for run in runs}}
        seen = {options[run.commit] for run in runs if run.seen is Seen.BUG}
        buggy = {name for name, mine in options.items() if any(one <= mine for one in seen)}
        known = [run.seen for run in runs if run.commit in buggy]
        return Rate(known.count(Seen.BUG), known.count(Seen.NO_BUG))

    def run(self) -> Result:
        """Raises UserError for ends that do not behave, InfrastructureError when the host fails again and again."""
        with self._examiner as examiner:
            examiner.coming = [self._good]
            examiner.verify_buggy_end()
            examiner.verify_free_end()
            return self._search()

    def _search(self) -> Result:
        left = 0
        while True:
            step = minimal.step(self._candidates.options, self._known)
            if len(step.left) != left:
                left = len(step.left)
                self._progress.left(left)
            if step.ask is not None:
                self._ask(step.ask)
            elif doubtful := self._doubtful(step.left):
                self._progress.doubt(self._confidence(step.left), doubtful)
                self._examiner.again(doubtful)
            else:
                break
        unsure = tuple(option for option, guard in zip(step.left, minimal.guards(step.left), strict=True)
                       if self._known(guard) is Answer.SKIP)
        return Result(step.left, self._candidates.get(frozenset(step.left)), self._confidence(step.left), unsure,
                      self._prove(step.left))

    def _known(self, options: Options) -> Answer | None:
        candidate = self._candidates.known(options)
        return self._answer(candidate.name) if candidate else None

    def _answer(self, name: str) -> Answer | None:
        """What a configuration got; a sight of the bug counts also where the process was killed before it said so."""
        found = self._journal.steps.get(name)
        if found is None:
            return None
        return Answer.BUG if any(run.seen is Seen.BUG for run in self._examiner.runs_of(name)) else found.answer

    def _ask(self, options: Options) -> Answer:
        candidate = self._candidates.get(options)
        known = self._answer(candidate.name)
        if known is None:
            self._progress.asking(candidate)
            self._examiner.settle(candidate.name)
        return known or self._journal.steps[candidate.name].answer

    # -- how sure the result is

    def _misses(self, options: Sequence[str]) -> dict[str, float]:
        """For each configuration that says that an option cannot be left out: how probably that was luck."""
        names = {self._candidates.get(guard).name for guard in minimal.guards(options)}
        return {name: self.rate.miss(self._clean_runs(name)) for name in names
                if self._answer(name) is Answer.NO_BUG}

    def _clean_runs(self, name: str) -> int:
        return sum(run.seen is Seen.NO_BUG for run in self._examiner.runs_of(name))

    def _confidence(self, options: Sequence[str]) -> float:
        return prod(1.0 - miss for miss in self._misses(options).values())

    def _doubtful(self, options: Sequence[str]) -> str:
        """The configuration whose further run would tell most; "" when the result is sure enough."""
        misses = {name: miss for name, miss in self._misses(options).items()
                  if self._clean_runs(name) < statistics.MOST}
        if self._settings.runs or self._confidence(options) >= self._settings.confidence:
            return ""
        return max(misses, key=lambda name: misses[name], default="")

    def _prove(self, options: Sequence[str]) -> Proof:
        """The bad configuration without what was found."""
        rest = frozenset(self._candidates.options) - set(options)
        what = f"The bad configuration with {', '.join(options)} as in the good one"
        self._ask(rest)
        name = self._candidates.get(rest).name
        needed = self._settings.runs or self.rate.runs(TOLERANCE)
        # More runs than a step takes: this one is no step that a later one would mend.
        while self._answer(name) is Answer.NO_BUG and self._clean_runs(name) < needed:
            self._examiner.again(name, needed - self._clean_runs(name))
        answer, runs = self._answer(name), strategy.tally(self._examiner.runs_of(name))
        if answer is Answer.NO_BUG:
            luck = self.rate.miss(self._clean_runs(name))
            return Proof(True, f"{what} is free of the bug: {runs} (by luck: {luck:.1%}).")
        if answer is Answer.BUG:
            return Proof(False, f"{what} has the bug all the same, so that other options bring it too: {runs}.")
        return Proof(None, f"{what} cannot be judged: {runs}.")
