"""What the pages of the site show, from rows of the database. Pure."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from farm.results.values import Change, RunRow, Series, VerdictRow

# Class in the style sheet, and the sign that says the same without colours.
SIGNS: Mapping[Change, tuple[str, str]] = {
    Change.PASSES: ("pass", "·"), Change.NEW: ("new", "N"), Change.STILL: ("still", "F"), Change.FIXED: ("fixed", "✓"),
    Change.FLAKY: ("flaky", "~"), Change.NEVER: ("none", "?"), Change.UNKNOWN: ("none", "-"),
}


def slug(text: str) -> str:
    """A file name for whatever a console said."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def run_page(run: RunRow) -> str:
    return f"run-{run.number}.html"


def signature_page(signature: str) -> str:
    return f"signature-{slug(signature)}.html"


def testcase_page(series: Series) -> str:
    return f"testcase-{slug(series.testcase)}.html"


testcase_page.__test__ = False  # type: ignore[attr-defined] # pytest would take it for a test


@dataclass(frozen=True)
class Square:
    """One night of one series in the heat map."""

    style: str
    sign: str
    label: str
    # Where it leads; "" for what needs no look.
    link: str = ""


@dataclass(frozen=True)
class HeatRow:
    """One series in the heat map, oldest night first."""

    series: Series
    link: str
    squares: tuple[Square, ...]
    # Gravest first.
    weight: int


@dataclass(frozen=True)
class Group:
    """The series of one place in the matrix."""

    place: str
    rows: tuple[HeatRow, ...]


_NOTHING = Square("void", "", "not in this run")
_WEIGHT = {Change.NEW: 0, Change.STILL: 1, Change.FLAKY: 2, Change.FIXED: 3}


def heat_map(runs: Sequence[RunRow], verdicts: Mapping[int, Iterable[VerdictRow]]) -> tuple[Group, ...]:
    """All series of these runs (oldest first), by their place; those that fail now come first in it."""
    found: dict[Series, dict[int, VerdictRow]] = {}
    for run in runs:
        for verdict in verdicts.get(run.number, ()):
            found.setdefault(verdict.series, {})[run.number] = verdict
    groups: dict[str, list[HeatRow]] = {}
    for series, by_run in found.items():
        latest = by_run.get(runs[-1].number)
        squares = tuple(square(run, by_run[run.number]) if run.number in by_run else _NOTHING for run in runs)
        weight = _WEIGHT.get(latest.change, 9) if latest else 9
        groups.setdefault(series.place, []).append(HeatRow(series, testcase_page(series), squares, weight))
    return tuple(Group(place, tuple(sorted(rows, key=lambda row: (row.weight, row.series.testcase))))
                 for place, rows in sorted(groups.items()))


def square(run: RunRow, verdict: VerdictRow) -> Square:
    """A verdict as a square that leads to its failure."""
    style, sign = SIGNS[verdict.change]
    label = f"{run.name}: {verdict.change.value}" + (f", {verdict.title}" if verdict.title else "")
    if verdict.slower:
        style, sign = f"{style} slower", "s" if verdict.change is Change.PASSES else sign
        label += f", slower by {verdict.slower - 1:.0%}"
    told = verdict.change is not Change.PASSES and verdict.signature
    return Square(style, sign, label, signature_page(verdict.signature) if told else "")
