"""Two runs beside each other. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from farm.model import Outcome
from farm.results.values import CellRow, Series


@dataclass(frozen=True)
class Side:
    """What one run saw of a series."""

    failures: int
    runs: int
    # Titles of the failures, each once.
    titles: tuple[str, ...]
    # Median of the runs that passed; 0 without.
    seconds: float

    def __str__(self) -> str:
        if not self.runs:
            return "not judged"
        said = "passed" if not self.failures else "failed" if self.failures == self.runs else \
            f"failed {self.failures} of {self.runs}"
        return f"{said} ({'; '.join(self.titles)})" if self.titles else said


@dataclass(frozen=True)
class Difference:
    """A series that two runs do not agree on."""

    series: Series
    old: Side
    new: Side


def compare(old: Iterable[CellRow], new: Iterable[CellRow]) -> Iterator[Difference]:
    """The series that failed more or less often, or by something else, or ran in one of them only."""
    sides = [_by_series(old), _by_series(new)]
    for series in sorted({*sides[0], *sides[1]}, key=str):
        first, second = (_side(cells.get(series, ())) for cells in sides)
        if (first.failures > 0, first.runs > 0, first.titles) != (second.failures > 0, second.runs > 0, second.titles) \
                or first.failures * second.runs != second.failures * first.runs:
            yield Difference(series, first, second)


def _by_series(cells: Iterable[CellRow]) -> dict[Series, list[CellRow]]:
    found: dict[Series, list[CellRow]] = defaultdict(list)
    for cell in cells:
        found[cell.series].append(cell)
    return found


def _side(cells: Iterable[CellRow]) -> Side:
    judged = [cell for cell in cells if cell.judged]
    failed = [cell for cell in judged if cell.outcome is Outcome.FAIL]
    seconds = [cell.seconds for cell in judged if cell.outcome is Outcome.PASS]
    return Side(len(failed), len(judged), tuple(dict.fromkeys(cell.title for cell in failed)),
                round(median(seconds), 1) if seconds else 0.0)
