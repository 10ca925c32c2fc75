"""What tonight says of a series, given the nights before it. Pure.

    state      tonight                         verdict
    -          nothing was judged              never ran, or not run this time
    fine       no failure                      passes
    fine       failures, likelier if broken    new failure
    fine       failures, as ever               flaky
    failing    the same failure                still failing
    failing    another one                     new failure when likelier if something broke, else still failing
    failing    passes, too many for chance     fixed, else still failing

The state is failing from a new failure until it is fixed. Where the runs of the night do not decide, more are asked
for (`Judgement.undecided`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice

from farm.model import Outcome
from farm.nightly import statistics
from farm.results.values import CellRow, Change, Series, VerdictRow


@dataclass(frozen=True)
class Tally:
    """How runs ended."""

    # Signature -> how many failed with it.
    failures: Mapping[str, int]
    passes: int
    # All of them.
    runs: int

    @classmethod
    def of(cls, cells: Sequence[CellRow]) -> "Tally":
        outcomes = Counter((cell.outcome, cell.signature) for cell in cells)
        failures = {signature: count for (outcome, signature), count in outcomes.items() if outcome is Outcome.FAIL}
        return cls(failures, sum(count for (outcome, _), count in outcomes.items() if outcome is Outcome.PASS),
                   len(cells))

    def by(self, signature: str) -> tuple[int, int]:
        """Failures with a signature, and passes; other failures say nothing of this one."""
        return self.failures.get(signature, 0), self.passes


_NOTHING = Tally({}, 0, 0)


@dataclass(frozen=True)
class Past:
    """What is known of a series from the runs before."""

    # With the numbers of their runs, newest first.
    cells: tuple[tuple[int, CellRow], ...] = ()
    # The last verdict that said anything.
    last: VerdictRow | None = None
    # Numbers of the last runs that found it newly failing, and fixed; 0 for none.
    broke: int = 0
    fixed: int = 0

    @property
    def failing(self) -> bool:
        return self.last is not None and self.last.change.failing

    @cached_property
    def baseline(self) -> Tally:
        """Judged runs while nothing was broken: since the last fix, until it broke again."""
        until = self.broke if self.failing else None
        return Tally.of([cell for run, cell in self.cells
                         if cell.judged and run >= self.fixed and (until is None or run < until)])

    @cached_property
    def since_broken(self) -> Tally:
        """Judged runs since it is failing."""
        return Tally.of([cell for run, cell in self.cells if cell.judged and run >= self.broke])


@dataclass(frozen=True)
class Judgement:
    """A verdict, and whether another run would make it surer."""

    verdict: VerdictRow
    undecided: bool = False


def judge(series: Series, tonight: Sequence[CellRow], past: Past, *, most: int, absent: str = "") -> Judgement:
    """The verdict on a series.

    `tonight` are its runs so far in the order in which they were made, `most` how many may be made after the first
    failure (or pass of what is failing), and `absent` says why it was not run.
    """
    judged = [cell for cell in tonight if cell.judged]
    if not judged:
        return Judgement(_unjudged(series, tonight, past, absent))
    failed = [cell for cell in judged if cell.outcome is Outcome.FAIL]
    if failed:
        made = _failed(series, judged, failed, past, most)
    elif past.failing:
        made = _passed_though_failing(series, judged, past, most)
    else:
        made = Judgement(_verdict(series, Change.PASSES, judged, ""))
    return replace(made, verdict=replace(made.verdict, slower=_slower(judged, past)))


def judge_build(series: Series, tonight: Sequence[CellRow], past: Past, *, most: int, absent: str = "") -> Judgement:
    """The verdict on a kernel's build, where one time is enough; `most` is for the likeness with `judge`."""
    judged = [cell for cell in tonight if cell.judged]
    if not judged:
        return Judgement(_unjudged(series, tonight, past, absent))
    signature, known = judged[-1].signature, past.last.signature if past.last and past.failing else ""
    if judged[-1].outcome is Outcome.FAIL:
        return Judgement(_verdict(series, Change.STILL if signature == known else Change.NEW, judged, signature))
    return Judgement(_verdict(series, Change.FIXED if past.failing else Change.PASSES, judged, known))


def _unjudged(series: Series, tonight: Sequence[CellRow], past: Past, absent: str) -> VerdictRow:
    known = past.last is not None or any(cell.judged for _, cell in past.cells)
    why = next((cell.title for cell in reversed(tonight) if cell.title), absent or "no run of it said anything")
    # What it failed by goes on in a verdict that says nothing.
    return VerdictRow(series, Change.UNKNOWN if known else Change.NEVER, why=why)


def _failed(series: Series, judged: Sequence[CellRow], failed: Sequence[CellRow], past: Past, most: int) -> Judgement:
    signature, failures = Counter(cell.signature for cell in failed).most_common(1)[0]
    known = past.since_broken.failures if past.failing else {}
    if same := next((cell.signature for cell in failed if cell.signature in known), ""):
        return Judgement(_verdict(series, Change.STILL, judged, same, earlier=past.since_broken))
    passes = sum(cell.outcome is Outcome.PASS for cell in judged)
    earlier = past.baseline.by(signature)
    weight = statistics.weigh(failures - 1, passes, *earlier)
    usual = _verdict(series, Change.FLAKY, judged, signature, earlier=past.baseline)
    if past.failing:
        usual = replace(usual, change=Change.STILL, why=f"{usual.why}; it failed in another way before")
    if weight.new:
        return Judgement(_verdict(series, Change.NEW, judged, signature, than=past.baseline))
    if weight.usual:
        return Judgement(usual)
    # Nothing speaks for flakiness but that there were too few runs to tell: say so rather than hide it.
    always = not passes and not earlier[0]
    hidden = not past.failing and (always or weight.rather_new)
    doubtful = _verdict(series, Change.NEW, judged, signature, than=past.baseline) if hidden else usual
    doubtful = replace(doubtful, why=f"{doubtful.why}; too few runs to be sure")
    return Judgement(doubtful, undecided=failures + passes - 1 < most)


def _passed_though_failing(series: Series, judged: Sequence[CellRow], past: Past, most: int) -> Judgement:
    assert past.last is not None
    signature = past.last.signature
    earlier = past.since_broken.by(signature)
    doubt = statistics.still_there(len(judged), *earlier)
    if doubt <= statistics.FIXED:
        fixed = _verdict(series, Change.FIXED, judged, signature, than=past.since_broken)
        return Judgement(replace(fixed, title=past.last.title))
    still = _verdict(series, Change.STILL, judged, signature, earlier=past.since_broken)
    why = f"{still.why}; it would pass that often by chance in {doubt:.0%}"
    return Judgement(replace(still, title=past.last.title, why=why), undecided=len(judged) - 1 < most)


def _verdict(
    series: Series, change: Change, judged: Sequence[CellRow], signature: str, *, earlier: Tally = _NOTHING,
    than: Tally | None = None,
) -> VerdictRow:
    """The rate is that of tonight and `earlier` together; `than` is only told of."""
    failed, passed = Tally.of(judged).by(signature)
    failed_before, passed_before = earlier.by(signature)
    failures, passes = failed + failed_before, passed + passed_before
    title = next((cell.title for cell in judged if cell.outcome is Outcome.FAIL and cell.signature == signature), "")
    before = than if than is not None else earlier
    why = f"failed {failed} of {len(judged)} runs" if signature else ""
    if signature:
        why += f", {before.by(signature)[0]} of {before.runs} before" if before.runs else ", none before"
    low, high = statistics.interval(failures, failures + passes)
    return VerdictRow(
        series, change, signature, title, failures=failures, runs=failures + passes,
        rate=failures / (failures + passes) if failures + passes else 0.0, low=low, high=high, why=why)


def _slower(judged: Sequence[CellRow], past: Past) -> float:
    """By how much it is slower than on the same host before."""
    host, accelerator = judged[-1].host, judged[-1].accelerator
    if judged[-1].outcome is not Outcome.PASS:
        return 0.0
    cells = chain(reversed(judged), (cell for _, cell in past.cells))
    comparable = (cell.seconds for cell in cells
                  if cell.outcome is Outcome.PASS and (cell.host, cell.accelerator) == (host, accelerator))
    seconds = list(islice(comparable, statistics.LATEST + statistics.EARLIER))
    return round(statistics.slower(seconds[:statistics.LATEST], seconds[statistics.LATEST:]), 2)
