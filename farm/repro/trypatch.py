"""Does a patch mend it: the same runs without and with it, side by side. Pure but for the runs themselves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from farm import trial
from farm.bisect.shown import Meant, Shown, classify
from farm.bisect.values import Seen, Symptom
from farm.errors import BuildError, UserError
from farm.model import REQUEST_REFUSED, Outcome, Verdict
from farm.trial import CellResult
from farm.verdict import Cause

Say = Callable[[str], None]

# Runs that say something of the failure, and those of them that failed.
_FAILED = frozenset({Seen.BUG, Seen.OTHER, Seen.NO_BOOT})
_JUDGED = _FAILED | {Seen.NO_BUG}
OUTCOMES: Mapping[Seen, Outcome] = {
    **dict.fromkeys(_FAILED, Outcome.FAIL), Seen.NO_BUG: Outcome.PASS, Seen.NO_BUILD: Outcome.SKIP,
    Seen.UNASKED: Outcome.SKIP, Seen.HOST: Outcome.ERROR}


@dataclass(frozen=True)
class Try:
    """One run."""

    cells: tuple[CellResult, ...] = ()
    # What was said when it came to no cell, and what that means.
    said: str = ""
    without_cells: Seen = Seen.HOST

    def shows(self, meant: Meant) -> Shown:
        """What it shows of the failure that is meant."""
        return classify(self.cells, meant) if self.cells else Shown(self.without_cells, None, self.said)


@dataclass(frozen=True)
class Comparison:
    """Runs without the patch and with it."""

    without: tuple[Shown, ...]
    patched: tuple[Shown, ...]

    @property
    def rate(self) -> float:
        """Share of the runs without the patch that showed the failure."""
        judged = _judged(self.without)
        return _reproduced(self.without) / len(judged) if judged else 0.0

    @property
    def chance(self) -> float:
        """Probability that as many runs with the patch would pass though it mends nothing, at the rate seen."""
        return (1 - self.rate) ** len(_judged(self.patched))

    @property
    def symptoms(self) -> tuple[Cause, ...]:
        """The failures by which it showed without the patch."""
        return tuple(dict.fromkeys(one.cause for one in self.without if one.seen is Seen.BUG and one.cause))

    @property
    def verdict(self) -> Verdict:
        """GOOD: it showed without the patch, and with it all runs passed. BAD: a run with the patch failed, somehow.

        SKIP: it did not show without the patch, or nothing was run with it, so nobody knows. STOP: the host failed.
        """
        if any(one.seen in _FAILED for one in self.patched):
            return Verdict.BAD
        if any(one.seen is Seen.HOST for one in (*self.without, *self.patched)):
            return Verdict.STOP
        return Verdict.GOOD if self.rate and _judged(self.patched) else Verdict.SKIP


def compare(without: Sequence[Try], patched: Sequence[Try], meant: Meant) -> Comparison:
    """Both sides, each run judged by whether it shows the failure that is meant."""
    return Comparison(tuple(one.shows(meant) for one in without), tuple(one.shows(meant) for one in patched))


def _judged(runs: Sequence[Shown]) -> list[Shown]:
    return [one for one in runs if one.seen in _JUDGED]


def _reproduced(runs: Sequence[Shown]) -> int:
    return sum(one.seen is Seen.BUG for one in runs)


def symptom_of(tries: Sequence[Try]) -> Symptom | None:
    """The failure that is meant where nobody says which: of those that ended a run, the one that most runs show."""
    failed = [cell for one in tries for cell in one.cells if cell.failures]
    ended = [Symptom(first.kind, first.title, first.function, first.signature)
             for first in (cell.failures[0] for cell in failed)]
    return max(ended, default=None, key=lambda symptom: sum(
        one.shows(symptom.covers).seen is Seen.BUG for one in tries))


def run(arguments: Sequence[str], count: int, seed: int, directory: Path) -> Iterator[Try]:
    """Run `farm run` so often, each time with a seed of its own; the same seeds on both sides.

    After the first, which tells how large the guests are, as many go on at the same time as the host has room for.
    Logs lie in `directory`. Raises UserError for what it refuses.
    """
    commands = trial.Commands(directory)

    def once(number: int) -> Try:
        ended = commands.run("run", ["run", "--json", f"--seed={seed + number}", *arguments])
        if ended is None:
            return Try(said="ended with the others")
        if ended.status == REQUEST_REFUSED:
            raise UserError(ended.said)
        return Try(trial.cells(ended), ended.said.partition("\n")[0],
                   Seen.NO_BUILD if ended.status == Verdict.SKIP else Seen.HOST)

    first = once(0)
    yield first
    room = trial.room(max((cell.cpus for cell in first.cells), default=0))
    for begin in range(1, count, room):
        numbers = range(begin, min(begin + room, count))
        yield from trial.together([partial(once, number) for number in numbers], commands.close)


def describe(one: Shown) -> str:
    """A run in a line."""
    title = one.title.partition("\n")[0]
    return f"{one.seen.value}: {title}" if title and one.seen is not Seen.NO_BUG else one.seen.value


def table(compared: Comparison) -> list[str]:
    """Both sides beside each other, a line each run, and below them the counts."""
    rows: list[tuple[str, ...]] = [("", "without the patch", "with the patch")]
    for number in range(max(len(compared.without), len(compared.patched))):
        cells = [describe(side[number])[:60] if number < len(side) else "" for side in (
            compared.without, compared.patched)]
        rows.append((str(number + 1), *cells))
    rows.append(("", *(f"{_reproduced(side)} of {len(_judged(side))} reproduced"
                       for side in (compared.without, compared.patched))))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def not_built(error: BuildError) -> Comparison:
    """What a kernel that does not build with the patch says of it: nothing."""
    return Comparison((), (Shown(Seen.NO_BUILD, None, str(error)),))


def sentence(compared: Comparison) -> str:
    """The verdict, and why."""
    reason = {
        Verdict.GOOD: "it showed without the patch, and with it every run passed",
        Verdict.BAD: "it showed with the patch" if _reproduced(compared.patched) else
                     "it did not show with the patch, but a run failed in another way",
        Verdict.SKIP: "the kernel does not build with the patch"
                      if any(one.seen is Seen.NO_BUILD for one in compared.patched) else
                      "no run with the patch said anything of it" if compared.rate else
                      "it did not show without the patch, so the patch cannot be judged",
        Verdict.STOP: "the host failed in some runs"}[compared.verdict]
    return f"{compared.verdict.name.lower()}: {reason}"


def name_of(failure: Cause | Symptom) -> str:
    """Kind and place of a failure."""
    return f"{failure.kind} in {failure.function}" if failure.function else failure.kind


def credits_of(compared: Comparison, who: str, testcase: str, kernel: str) -> list[str]:
    """What a mail about the patch can quote; nothing unless it helped."""
    if compared.verdict is not Verdict.GOOD:
        return []
    names = ", ".join(dict.fromkeys(map(name_of, compared.symptoms)))
    shown, without, patched = _reproduced(compared.without), len(_judged(compared.without)), len(
        _judged(compared.patched))
    return [f"Reproduced in {shown} of {without} runs without the patch ({names}), in 0 of {patched} runs with it,",
            f"on {kernel} in QEMU: {testcase}", "", f"Tested-by: {who}"]
