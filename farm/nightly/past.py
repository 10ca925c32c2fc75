"""What the database knows of the series of a run, read once when it begins: the database may be gone later."""

from collections.abc import Iterable, Mapping
from statistics import median

from farm.model import Outcome
from farm.nightly.judgement import Past
from farm.nightly.matrix import Expectation
from farm.results import queries
from farm.results.database import Database
from farm.results.values import Change, Series

# Cells of a series that are looked at: a month of nights with some reruns.
MOST = 100
# Seconds that are expected of what never ran.
CELL_SECONDS, BUILD_SECONDS = 60.0, 600.0


def read_pasts(database: Database, series: Iterable[Series], before: int) -> dict[str, Past]:
    """By the key of the series. Raises InfrastructureError."""
    keys = [one.key for one in series]
    last = queries.last_changes(database, keys, before)
    broke = queries.last_runs(database, keys, Change.NEW, before)
    fixed = queries.last_runs(database, keys, Change.FIXED, before)
    return {key: Past(queries.history(database, key, before=before, most=MOST), last.get(key), broke.get(key, 0),
                      fixed.get(key, 0)) for key in keys}


def expect(series: Series, past: Past) -> Expectation:
    """How long it will take, and whether it is worth to come first."""
    seconds = [cell.seconds for _, cell in past.cells if cell.outcome is Outcome.PASS]
    judged = [cell for _, cell in past.cells if cell.judged]
    default = BUILD_SECONDS if series.is_build else CELL_SECONDS
    return Expectation(
        median(seconds) if seconds else default, new=not judged,
        failed=past.failing or bool(judged and judged[0].outcome is Outcome.FAIL))


def build_seconds(pasts: Mapping[str, Past], builds: Iterable[Series]) -> dict[tuple[str, str], float]:
    """Expected wall seconds of the build of each kernel and flavor."""
    return {(one.kernel, one.flavor): expect(one, pasts[one.key]).seconds for one in builds}
