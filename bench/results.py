"""How quickly a database of 100,000 results answers, and the overview of its site is written."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.measure import Figure
from farm.host import lease
from farm.model import Outcome
from farm.report.site import Site
from farm.results import queries
from farm.results.database import Database
from farm.results.values import CellRow, Change, RunRow, Series, VerdictRow

RUNS, SERIES = 100, 1000
# Figure -> unit and target.
TARGETS = {"history of 100,000 results": ("ms", 100.0), "overview of 100,000 results": ("s", 5.0)}
COMMAND = "python -m bench.main --quick"


def fill(database: Database) -> list[Series]:
    """As many nights with a verdict on each of their cells; some fail."""
    series = [Series(f"6.{number % 4}", "base", f"test_{number // 40}.py::test_{number}") for number in range(SERIES)]
    for night in range(RUNS):
        number = database.begin(RunRow(f"run-{night}", "bench", "d", "/runs", started=night * 86400.0))
        fails = [(place + night) % 50 == 0 for place in range(SERIES)]
        database.record(number, [
            CellRow(one, Outcome.FAIL if failed else Outcome.PASS, signature="oops:f" if failed else "", seconds=20.0,
                    title="oops in f" if failed else "")
            for one, failed in zip(series, fails, strict=True)])
        database.decide(number, [
            VerdictRow(one, Change.FLAKY if failed else Change.PASSES, "oops:f" if failed else "")
            for one, failed in zip(series, fails, strict=True)])
    return series


def figures(repeats: int) -> Iterator[Figure]:
    """One row for each target; the history is that of a series and that of a signature, the slower of both."""
    directory = Path(lease.scratch_directory("bench-results"))
    with Database(f"sqlite:///{directory / 'results.db'}") as database:
        series = fill(database)
        asked, written = [], []
        for number in range(repeats):
            one = series[number * 37 % SERIES]
            asked.append(1000 * max(_seconds(partial(queries.history, database, one.key)),
                                    _seconds(partial(queries.cells_of_signature, database, "oops:f"))))
            written.append(_seconds(lambda: Site(directory / "site", database, "bench", 30).overview()))
    for name, values in zip(TARGETS, (asked, written), strict=True):
        unit, target = TARGETS[name]
        yield Figure(name, unit, tuple(values), target, COMMAND)


def _seconds(what: Callable[[], object]) -> float:
    began = time.monotonic()
    what()
    return time.monotonic() - began
