"""The results database: SQLite in the farm's data directory, or whatever URL SQLAlchemy is given.

Recording is idempotent: what a resumed run records again is there once. Two runs may write at the same time.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Connection, Engine, Insert, create_engine, event, inspect, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from farm.errors import InfrastructureError, UserError
from farm.host.workdir import results_directory
from farm.results.schema import CELLS, HEAD, RUNS, SERIES, VERDICTS
from farm.results.values import CellRow, RunRow, Series, State, VerdictRow, short_signature, storable

FILE = "results.db"
MIGRATIONS = Path(__file__).parent / "migrations"
# Seconds to wait for another writer; its transactions take milliseconds.
BUSY_SECONDS = 30.0
# Any number that no other program's advisory lock has; two farms must not migrate one database at once.
_MIGRATION_LOCK = 0x6661726D


def default_url() -> str:
    """SQLite in the farm's data directory."""
    return f"sqlite:///{results_directory() / FILE}"


def reading(url: str) -> "Database":
    """The database that somebody wants to read; without a URL, the farm's own.

    Raises UserError for a file that is named and does not exist: a mistyped one would be made, and empty.
    """
    parsed = _parsed(url) if url else None
    if parsed is not None and parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise UserError(f"there is no results database {parsed.database}. `farm nightly` makes it.")
    return Database(url)


class Database:
    """An open database, migrated to the tables that this farm knows. A context manager."""

    def __init__(self, url: str | None = None, *, busy_seconds: float = BUSY_SECONDS) -> None:
        """Raises UserError for a URL that cannot be used, InfrastructureError when the database does not answer."""
        self.url = _parsed(url or default_url())
        self._busy_seconds = busy_seconds
        self.engine = _engine(self.url, busy_seconds)
        try:
            self._prepare()
        except BaseException:
            self.engine.dispose()
            raise

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.dispose()

    @property
    def name(self) -> str:
        """The URL without its password."""
        return shown(self.url.render_as_string(hide_password=False))

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A transaction, committed when the block ends. Raises InfrastructureError for all that goes wrong."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise InfrastructureError(f"the results database {self.name} failed: {_reason(error)}") from error

    # -- recording

    def begin(self, run: RunRow) -> int:
        """Record a run, or find it when it was recorded before. Returns its number, the order of runs."""
        row = _texts({**asdict(run), "state": run.state.value})
        del row["number"]
        with self.connection() as connection:
            connection.execute(self._insert(RUNS).values(row).on_conflict_do_nothing())
            number: int = connection.execute(select(RUNS.c.number).where(RUNS.c.name == row["name"])).scalar_one()
        return number

    def end(self, number: int, state: State, ended: float | None) -> None:
        """Record how far a run got; `ended` in seconds since the epoch."""
        with self.connection() as connection:
            connection.execute(update(RUNS).where(RUNS.c.number == number).values(state=state.value, ended=ended))

    def record(self, number: int, cells: Iterable[CellRow]) -> None:
        """Record cells of a run, all or none of them; those that are there already stay as they are."""
        rows = [{**_columns(cell), "run": number, "outcome": cell.outcome.value} for cell in cells]
        if not rows:
            return
        with self.connection() as connection:
            self._know(connection, (row.pop("known_series") for row in rows))
            connection.execute(self._insert(CELLS).on_conflict_do_nothing(), rows)

    def decide(self, number: int, verdicts: Iterable[VerdictRow]) -> None:
        """Record the verdicts of a run in place of those that it had."""
        rows = [{**_columns(verdict), "run": number, "change": verdict.change.value} for verdict in verdicts]
        with self.connection() as connection:
            connection.execute(VERDICTS.delete().where(VERDICTS.c.run == number))
            if rows:
                self._know(connection, (row.pop("known_series") for row in rows))
                connection.execute(self._insert(VERDICTS), rows)

    def _know(self, connection: Connection, series: Iterable[Series]) -> None:
        rows = [_texts({**asdict(one), "key": one.key}) for one in dict.fromkeys(series)]
        # In the same order everywhere: two writers that insert the same rows crosswise would lock each other out.
        connection.execute(
            self._insert(SERIES).on_conflict_do_nothing(), sorted(rows, key=lambda row: row["key"]))

    def _insert(self, table: Any) -> Any:
        insert: Any = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}[self.engine.dialect.name]
        made: Insert = insert(table)
        return made

    # -- tables

    def _prepare(self) -> None:
        """Bring the tables up to date, by one process at a time."""
        file = _file(self.url)
        if file and not _writes_ahead(file):
            # SQLite waits for nobody there: whoever opened the file at the same time would fail as "locked".
            with self._alone(file), self.connection() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        if self._revision() != HEAD:
            with self._alone(file):
                self._migrate()

    @contextmanager
    def _alone(self, file: Path | None) -> Iterator[None]:
        """No other process prepares the same file; for a server, whose own locks serve, nothing."""
        lock = FileLock(f"{file}.lock", timeout=self._busy_seconds) if file else nullcontext()
        try:
            if file:
                # What cannot be made is said at once: the lock would wait for it.
                file.open("ab").close()
            with lock:
                yield
        except OSError as error:
            raise InfrastructureError(f"the results database {self.name} failed: {error.strerror or error}") from error

    def _revision(self) -> str:
        """The migration that the database has; "" for none."""
        with self.connection() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return ""
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")

    def _migrate(self) -> None:
        logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every plugin that it loads
        # Half a second that a database which is up to date need not wait for.
        from alembic import command  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415
        from alembic.util import CommandError  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with self.connection() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise UserError(f"the results database {self.name} was made by another version of the farm "
                                f"({error}). Use that one, or another --database.") from error


def _columns(row: CellRow | VerdictRow) -> dict[str, Any]:
    """A value as columns; what a console printed may hold bytes that no database takes as text."""
    return {**_texts(asdict(row)), "signature": short_signature(row.signature), "series": row.series.key,
            "known_series": row.series}


def _texts(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: storable(value) if isinstance(value, str) else value for name, value in values.items()}


def shown(url: str) -> str:
    """A URL without the passwords in it, whether it is one or not."""
    return re.sub(r"(?<=password=)[^&]*", "***", re.sub(r"(://[^:@/]*:).*(?=@)", r"\1***", url))


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # a port that is no number
        raise UserError(f"--database {shown(url)!r} is no URL. Write sqlite:////absolute/path.db or "
                        "postgresql://user@host/name.") from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise UserError(f"--database {shown(url)}: the farm keeps its results in sqlite or postgresql.")
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed


def _engine(url: URL, busy_seconds: float) -> Engine:
    try:
        if url.get_backend_name() == "postgresql":
            return create_engine(url, pool_pre_ping=True,
                                 connect_args={"connect_timeout": max(2, round(busy_seconds))})
        if file := _file(url):
            file.absolute().parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, connect_args={} if "timeout" in url.query else {"timeout": busy_seconds})
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise UserError("results in PostgreSQL need its driver: pip install 'kernel-farm[postgresql]'.") from error
    except OSError as error:
        raise InfrastructureError(f"cannot make the directory of {url.database} ({error.strerror})") from error
    event.listen(engine, "connect", _pragmas)
    return engine


def _file(url: URL) -> Path | None:
    """The file of an SQLite database; None for a server, or for one in memory."""
    named = url.database if url.get_backend_name() == "sqlite" else None
    return Path(named) if named and named != ":memory:" else None


def _writes_ahead(file: Path) -> bool:
    """Whether an SQLite file has a write-ahead log, bytes 18 and 19 of its header."""
    try:
        with file.open("rb") as header:
            return header.read(20)[18:] == b"\2\2"
    except OSError:  # there is none yet, or SQLite will say what is wrong with it
        return False


def _pragmas(connection: Any, _record: object) -> None:
    """No cell without its run, and what is committed is on disk."""
    for pragma in ("foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _reason(error: SQLAlchemyError) -> str:
    """The driver's own words, in a line."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return (str(original).strip().splitlines() or [type(original).__name__])[0]
