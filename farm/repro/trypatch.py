"""Does a patch mend it: the same runs without and with it, side by side. Pure but for the runs themselves."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from farm import trial
from farm.model import Finding, Outcome, Verdict
from farm.verdict import Cause

Say = Callable[[str], None]


@dataclass(frozen=True)
class Try:
    """One run."""

    outcome: Outcome
    # What ended it, when it did not pass.
    cause: Cause | None = None
    # What was said when it came to no cell.
    said: str = ""


@dataclass(frozen=True)
class Comparison:
    """Runs without the patch and with it."""

    without: tuple[Try, ...]
    patched: tuple[Try, ...]
    # The failure that is meant, by kind and, where there is one, function; None when nothing failed without the patch.
    symptom: Cause | None

    def shows(self, one: Try) -> bool:
        """True when a run failed in the way that is meant."""
        return one.outcome is Outcome.FAIL and one.cause is not None and self.symptom is not None and (
            (one.cause.kind, one.cause.function) == (self.symptom.kind, self.symptom.function))

    @property
    def rate(self) -> float:
        """Share of the runs without the patch that showed the failure."""
        judged = _judged(self.without)
        return sum(map(self.shows, judged)) / len(judged) if judged else 0.0

    @property
    def chance(self) -> float:
        """Probability that as many runs with the patch would pass though it mends nothing, at the rate seen."""
        return (1 - self.rate) ** len(_judged(self.patched))

    @property
    def verdict(self) -> Verdict:
        """GOOD: it showed without the patch, and with it all runs passed. BAD: a run with the patch failed.

        SKIP: it did not show without the patch, so nobody knows. STOP: the host failed.
        """
        if any(one.outcome is Outcome.FAIL for one in self.patched):
            return Verdict.BAD
        if any(one.outcome is Outcome.ERROR for one in (*self.without, *self.patched)):
            return Verdict.STOP
        return Verdict.GOOD if self.rate and _judged(self.patched) else Verdict.SKIP


def _judged(tries: Sequence[Try]) -> list[Try]:
    return [one for one in tries if one.outcome in (Outcome.PASS, Outcome.FAIL)]


def symptom_of(tries: Sequence[Try], reported: Sequence[Finding] = ()) -> Cause | None:
    """The failure that is meant: one that a report names, else the most frequent one of the runs without the patch."""
    causes = [one.cause for one in tries if one.outcome is Outcome.FAIL and one.cause is not None]
    for finding in reported:
        functions = {finding.function, *(frame.function for frame in finding.frames)}
        for cause in causes:
            if cause.kind == finding.kind and (not cause.function or cause.function in functions):
                return cause
    if reported or not causes:
        return None
    return Counter(causes).most_common(1)[0][0]


def run(arguments: Sequence[str], count: int, seed: int, log: Path, say: Say) -> Iterator[Try]:
    """Run `farm run` so often, each time with a seed of its own; the same seeds on both sides."""
    for number in range(count):
        ended = trial.Command(["run", "--json", f"--seed={seed + number}", *arguments], log).wait()
        cells = trial.cells(ended)
        failed = [cell for cell in cells if cell.outcome is Outcome.FAIL]
        chosen = next(iter(failed or cells), None)
        if chosen is None:
            one = Try(Outcome.SKIP if ended.status == Verdict.SKIP else Outcome.ERROR, said=ended.said)
        else:
            one = Try(chosen.outcome, chosen.cause, chosen.title)
        say(f"  run {number + 1} of {count}: {describe(one)}")
        yield one


def describe(one: Try) -> str:
    """A run in a line."""
    return f"{one.outcome.value}  {one.said}".partition("\n")[0].rstrip()


def table(compared: Comparison) -> list[str]:
    """Both sides beside each other, a line each run, and below them the counts."""
    rows: list[tuple[str, ...]] = [("", "without the patch", "with the patch")]
    for number in range(max(len(compared.without), len(compared.patched))):
        cells = [describe(side[number])[:60] if number < len(side) else "" for side in (
            compared.without, compared.patched)]
        rows.append((str(number + 1), *cells))
    rows.append(("", *(f"{sum(map(compared.shows, side))} of {len(_judged(side))} reproduced"
                       for side in (compared.without, compared.patched))))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def credits_of(compared: Comparison, who: str, testcase: str, kernel: str) -> list[str]:
    """What a mail about the patch can quote; nothing unless it helped."""
    if compared.verdict is not Verdict.GOOD or compared.symptom is None:
        return []
    name = f"{compared.symptom.kind}" + (f" in {compared.symptom.function}" if compared.symptom.function else "")
    shown, without, patched = (sum(map(compared.shows, compared.without)), len(_judged(compared.without)),
                               len(_judged(compared.patched)))
    return [f"Reproduced in {shown} of {without} runs without the patch ({name}), in 0 of {patched} runs with it,",
            f"on {kernel} in QEMU: {testcase}", "", f"Tested-by: {who}"]
