"""The plot of a testcase's durations, as numbers for an SVG. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from farm.model import Outcome
from farm.results.values import CellRow

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 200, 48, 24, 12


@dataclass(frozen=True)
class Point:
    """One run of the testcase."""

    x: float
    y: float
    failed: bool
    # What it says when it is pointed at.
    label: str


@dataclass(frozen=True)
class Plot:
    """Durations, oldest first."""

    points: tuple[Point, ...]
    # Height and text of each line of the grid.
    grid: tuple[tuple[float, str], ...]


def plot(cells: Sequence[tuple[str, CellRow]]) -> Plot | None:
    """Of cells with the names of their runs, oldest first; None when nothing was judged."""
    judged = [(name, cell) for name, cell in cells if cell.judged]
    if not judged:
        return None
    top = _round_up(max(cell.seconds for _, cell in judged))
    step = (WIDTH - LEFT - 12) / max(1, len(judged) - 1)

    def height(seconds: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - seconds / top), 1)

    points = tuple(Point(round(LEFT + 6 + number * step, 1), height(cell.seconds), cell.outcome is Outcome.FAIL,
                         f"{name}: {cell.outcome.value}, {cell.seconds:.1f} s")
                   for number, (name, cell) in enumerate(judged))
    return Plot(points, tuple((height(top * part / 4), f"{top * part / 4:g} s") for part in range(5)))


def _round_up(seconds: float) -> float:
    """To a round figure that divides by four."""
    size = 4.0
    while size < seconds:
        size *= 2 if str(size)[0] != "4" else 2.5
    return size
