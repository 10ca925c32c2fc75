"""What is asked of the results database. Runs are ordered by their number: clocks may be set back."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, Select, func, or_, select

from farm.errors import UserError
from farm.model import Outcome
from farm.results.database import Database
from farm.results.schema import CELLS, RUNS, SERIES, VERDICTS
from farm.results.values import CellRow, Change, RunRow, Series, State, VerdictRow, storable

# A cell with the number of its run.
Recorded = tuple[int, CellRow]

_PLACE = [SERIES.c.kernel, SERIES.c.flavor, SERIES.c.testcase, SERIES.c.machine.label("machine_name"),
          SERIES.c.stack.label("stack_name")]
_CELL_FIELDS = [name for name in CellRow.__dataclass_fields__ if name not in ("series", "outcome")]
_VERDICT_FIELDS = [name for name in VerdictRow.__dataclass_fields__ if name not in ("series", "change")]


def runs(database: Database, *, plan: str = "", names: Sequence[str] = (), most: int = 30) -> tuple[RunRow, ...]:
    """The latest runs, newest first: of a plan, or those of these names."""
    query = select(RUNS).order_by(RUNS.c.number.desc()).limit(most)
    if plan:
        query = query.where(RUNS.c.plan == plan)
    if names:
        query = query.where(RUNS.c.name.in_(names))
    return tuple(RunRow(**{**row, "state": State(row["state"])}) for row in _rows(database, query))


def find_run(database: Database, name: str) -> RunRow:
    """A run by its name, its number, or `latest`. Raises UserError when there is none."""
    query = select(RUNS.c.name).order_by(RUNS.c.number.desc()).limit(1)
    if name != "latest":
        number = int(name) if name.isdecimal() and len(name) < 10 else -1
        query = query.where(or_(RUNS.c.name == storable(name), RUNS.c.number == number))
    found = _rows(database, query)
    if not found:
        known = ", ".join(run.name for run in runs(database, most=5))
        raise UserError(f"there is no run {name[:80]} in {database.name}. " + (
            f"The latest are {known}." if known else "It holds none yet: `farm nightly` makes them."))
    return runs(database, names=[found[0]["name"]])[0]


def cells_of_run(database: Database, number: int) -> tuple[CellRow, ...]:
    """All cells of a run, in the order in which they were recorded."""
    return tuple(cell for _, cell in _cells(database, _cell_query().where(CELLS.c.run == number).order_by(CELLS.c.id)))


def history_query(key: str, before: int | None, most: int) -> Select[Any]:
    """The latest cells of one series, newest first."""
    query = _cell_query().where(CELLS.c.series == key).order_by(CELLS.c.run.desc(), CELLS.c.id.desc()).limit(most)
    return query if before is None else query.where(CELLS.c.run < before)


def history(database: Database, key: str, *, before: int | None = None, most: int = 200) -> tuple[Recorded, ...]:
    """The latest cells of one series, newest first, of runs before the one with that number."""
    return _cells(database, history_query(key, before, most))


def signature_query(signature: str, most: int) -> Select[Any]:
    """The latest cells that failed with a signature, newest first."""
    return _cell_query().where(CELLS.c.signature == signature).order_by(
        CELLS.c.run.desc(), CELLS.c.id.desc()).limit(most)


def cells_of_signature(database: Database, signature: str, *, most: int = 1000) -> tuple[Recorded, ...]:
    """The latest cells that failed with a signature, newest first."""
    return _cells(database, signature_query(signature, most))


def series_of(database: Database, testcase: str) -> tuple[Series, ...]:
    """Everywhere a testcase ran: by its name, or by a function, a file or a part of it."""
    testcase = storable(testcase)
    exact = select(*_PLACE).where(SERIES.c.testcase == testcase)
    found = _rows(database, exact.order_by(*_PLACE))
    if not found:
        some = select(*_PLACE).where(SERIES.c.testcase.contains(testcase, autoescape=True)).order_by(*_PLACE)
        found = _rows(database, some)
    return tuple(map(_series, found))


def signatures_like(database: Database, word: str) -> tuple[str, ...]:
    """Signatures that are that word, or contain it."""
    word = storable(word)
    query = select(CELLS.c.signature).where(CELLS.c.signature == word).limit(1)
    if not (found := _rows(database, query)):
        query = select(CELLS.c.signature).where(
            CELLS.c.signature != "", CELLS.c.signature.contains(word, autoescape=True)).distinct().limit(50)
        found = _rows(database, query)
    return tuple(sorted(row["signature"] for row in found))


def verdicts_of(database: Database, numbers: Iterable[int]) -> dict[int, tuple[VerdictRow, ...]]:
    """The verdicts of runs, by their numbers."""
    wanted = list(numbers)
    columns = [VERDICTS.c[name] for name in _VERDICT_FIELDS]
    query = (select(VERDICTS.c.run, VERDICTS.c.change, *columns, *_PLACE)
             .join(SERIES, SERIES.c.key == VERDICTS.c.series).where(VERDICTS.c.run.in_(wanted)).order_by(*_PLACE))
    found: dict[int, list[VerdictRow]] = {number: [] for number in wanted}
    known: dict[tuple[str, ...], Series] = {}
    with database.connection() as connection:
        # Positions, not names: there may be 100,000 of them.
        width = 2 + len(columns)
        for row in connection.execute(query):
            place = tuple(row[width:])
            series = known.setdefault(place, Series(*place))
            found[row[0]].append(VerdictRow(series, Change(row[1]), *row[2:width]))
    return {number: tuple(verdicts) for number, verdicts in found.items()}


def last_changes(database: Database, keys: Iterable[str], before: int) -> dict[str, VerdictRow]:
    """The last verdict before a run on each series that said something of it."""
    wanted = list(keys)
    columns = [VERDICTS.c[name] for name in _VERDICT_FIELDS]
    silent = [Change.UNKNOWN.value, Change.NEVER.value]
    found = {}
    # A statement takes some thousands of parameters only.
    for start in range(0, len(wanted), 500):
        last = (select(VERDICTS.c.series, func.max(VERDICTS.c.run).label("run"))
                .where(VERDICTS.c.series.in_(wanted[start:start + 500]), VERDICTS.c.run < before,
                       VERDICTS.c.change.not_in(silent)).group_by(VERDICTS.c.series).subquery())
        query = (select(VERDICTS.c.series.label("key"), VERDICTS.c.change, *columns, *_PLACE)
                 .join(last, (last.c.series == VERDICTS.c.series) & (last.c.run == VERDICTS.c.run))
                 .join(SERIES, SERIES.c.key == VERDICTS.c.series))
        for row in _rows(database, query):
            found[row["key"]] = VerdictRow(
                _series(row), Change(row["change"]), **{name: row[name] for name in _VERDICT_FIELDS})
    return found


def last_runs(database: Database, keys: Iterable[str], change: Change, before: int) -> dict[str, int]:
    """The number of the last run before one that gave a series this verdict; series without are left out."""
    wanted = list(keys)
    found: dict[str, int] = {}
    for start in range(0, len(wanted), 500):
        query = (select(VERDICTS.c.series, func.max(VERDICTS.c.run).label("last"))
                 .where(VERDICTS.c.series.in_(wanted[start:start + 500]), VERDICTS.c.run < before,
                        VERDICTS.c.change == change.value).group_by(VERDICTS.c.series))
        found |= {row["series"]: row["last"] for row in _rows(database, query)}
    return found


def _cell_query() -> Select[Any]:
    columns = [CELLS.c[name] for name in _CELL_FIELDS]
    return select(CELLS.c.run, CELLS.c.outcome, *columns, *_PLACE).join(SERIES, SERIES.c.key == CELLS.c.series)


def _cells(database: Database, query: Select[Any]) -> tuple[Recorded, ...]:
    return tuple((row["run"], CellRow(_series(row), Outcome(row["outcome"]),
                                      **{name: row[name] for name in _CELL_FIELDS}))
                 for row in _rows(database, query))


def _series(row: Any) -> Series:
    return Series(row["kernel"], row["flavor"], row["testcase"], row["machine_name"], row["stack_name"])


def _rows(database: Database, query: Select[Any]) -> list[Any]:
    with database.connection() as connection:
        found: Sequence[Row[Any]] = connection.execute(query).all()
    return [row._mapping for row in found]
