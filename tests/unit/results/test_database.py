"""The results database on SQLite and on a real PostgreSQL server."""

import random
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from farm.errors import InfrastructureError, UserError
from farm.model import Outcome
from farm.results import queries
from farm.results.database import MIGRATIONS, Database, reading
from farm.results.schema import HEAD, METADATA
from farm.results.values import CellRow, Change, RunRow, Series, State, VerdictRow, short_signature

SERIES = Series("6.12", "base", "test_pi.py::test_it[a/b]")
PASS = CellRow(SERIES, Outcome.PASS, seconds=3.5, durations={"boot": 2.0}, seed=(1 << 31) - 1, release="6.12.1")
FAIL = replace(PASS, outcome=Outcome.FAIL, attempt=2, title="panic", kind="panic", function="f", signature="panic:f")


def run(name="one", **changes):
    return RunRow(**{"name": name, "plan": "nightly", "digest": "d", "directory": "/runs/one", **changes})


def test_a_mistyped_file_is_not_made_by_who_wants_to_read_it(tmp_path):
    path = tmp_path / "nowhere/results.db"
    with pytest.raises(UserError, match=r"there is no results database .*results\.db"):
        reading(f"sqlite:///{path}")
    assert not path.parent.exists()
    with Database(f"sqlite:///{path}"):
        pass
    with reading(f"sqlite:///{path}") as database:
        assert queries.runs(database, most=1) == ()


def test_what_is_recorded_is_read_again(url):
    with Database(url) as database:
        number = database.begin(run(started=5.0))
        database.record(number, [PASS, FAIL])
        database.end(number, State.COMPLETE, 9.0)
        assert queries.cells_of_run(database, number) == (PASS, FAIL)
        assert queries.history(database, SERIES.key) == ((number, FAIL), (number, PASS))
        assert queries.history(database, SERIES.key, before=number) == ()
        assert queries.cells_of_signature(database, "panic:f") == ((number, FAIL),)
        assert queries.signatures_like(database, "panic") == ("panic:f",)
        assert queries.series_of(database, "test_pi") == (SERIES,)
        assert queries.runs(database, plan="nightly") == (
            run(started=5.0, ended=9.0, state=State.COMPLETE, number=number),)
        assert queries.find_run(database, "latest").name == "one"


def test_recording_again_changes_nothing(url):
    with Database(url) as database:
        numbers = {database.begin(run()) for _ in range(3)}
        for _ in range(3):
            database.record(*numbers, [PASS])
            database.record(*numbers, [FAIL, PASS])
        assert queries.cells_of_run(database, *numbers) == (PASS, FAIL)


def test_verdicts_take_the_place_of_earlier_ones(url):
    new = VerdictRow(SERIES, Change.NEW, "s", "t", 3, 3, 1.0, 0.4, 1.0, why="all failed")
    with Database(url) as database:
        first, second = database.begin(run("one")), database.begin(run("two"))
        database.decide(first, [replace(new, change=Change.FLAKY)])
        database.decide(first, [new])
        database.decide(second, [replace(new, change=Change.UNKNOWN)])
        assert queries.verdicts_of(database, [first])[first] == (new,)
        assert queries.last_changes(database, [SERIES.key], second + 1) == {SERIES.key: new}
        assert queries.last_changes(database, [SERIES.key], first) == {}


def test_runs_are_ordered_by_number_though_the_clock_was_set_back(url):
    with Database(url) as database:
        for name, started in (("monday", 2e9), ("tuesday", 1e9)):
            database.record(database.begin(run(name, started=started)), [PASS])
        assert [one.name for one in queries.runs(database)] == ["tuesday", "monday"]
        newest, oldest = (number for number, _ in queries.history(database, SERIES.key))
        assert newest > oldest


def test_two_nights_write_at_once(url):
    def night(name):
        with Database(url) as database:
            number = database.begin(run(name))
            for repetition in range(1, 21):
                database.record(number, [replace(PASS, repetition=repetition)])
            return number

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(night, ("a", "b", "c", "d")))
    assert len(set(numbers)) == 4
    with Database(url) as database:
        assert [len(queries.cells_of_run(database, number)) for number in numbers] == [20] * 4


def test_a_new_one_is_opened_by_many_at_once(tmp_path):
    opened = threading.Barrier(8)

    def open_it(url):
        opened.wait()
        with Database(url) as database:
            return queries.runs(database)

    with ThreadPoolExecutor(8) as pool:
        for name in range(5):
            url = f"sqlite:///{tmp_path / str(name)}.db"
            assert list(pool.map(open_it, [url] * 8)) == [()] * 8


@pytest.mark.parametrize("place", ["/proc/results.db", "{}"], ids=["no-files", "a-directory"])
def test_a_place_where_no_file_can_be_made_is_refused_at_once(place, tmp_path):
    with pytest.raises(InfrastructureError, match=r"the results database sqlite:////\S+ failed: \w"):
        Database(f"sqlite:///{place.format(tmp_path)}")


def test_in_memory_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Database("sqlite:///:memory:") as database:
        assert queries.runs(database) == ()
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
import threading
from dataclasses import replace
from tests.unit.results.test_database import PASS, run
from farm.results.database import Database
database = Database(sys.argv[1])
number = database.begin(run())
for repetition in range(1, 10**6):
    database.record(number, [replace(PASS, repetition=repetition)])
    print(repetition, flush=True)
"""


def test_what_was_recorded_survives_a_killed_process(url, pytestconfig):
    child = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, cwd=pytestconfig.rootpath)
    for _ in range(20):
        said = child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    said = ([said, *child.stdout.read().splitlines(keepends=True)])[-1]
    child.wait()
    child.stdout.close()
    with Database(url) as database:
        cells = queries.cells_of_run(database, 1)
        assert [cell.repetition for cell in cells] == list(range(1, len(cells) + 1))
        assert len(cells) >= int(said) >= 20


def test_migrations_make_the_tables_of_the_schema(url):
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]
    with Database(url) as database, database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_database_of_a_newer_farm_is_left_alone(url):
    with Database(url) as database, database.connection() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UserError, match=r"made by another version of the farm .* Use that one"):
        Database(url)


@pytest.mark.parametrize("hostile", ["a\0b", "\udcff broken", "'; DROP TABLE cells; --", "<script>", "x" * 10_000])
def test_hostile_text_is_text(url, hostile):
    with Database(url) as database:
        number = database.begin(run())
        database.record(number, [replace(FAIL, title=hostile)])
        found, = queries.cells_of_run(database, number)
        assert found.title == hostile.replace("\0", "�").replace("\udcff", "?")


@pytest.mark.parametrize("hostile", ["a\0b", "\udcff broken", "'; DROP TABLE cells; --", "%s %(x)s :x \\"])
def test_hostile_names_are_text(url, hostile):
    stored = hostile.replace("\0", "�").replace("\udcff", "?")
    series = replace(SERIES, testcase=hostile)
    with Database(url) as database:
        number = database.begin(run(directory=hostile, host=hostile))
        database.record(number, [replace(FAIL, series=series, directory=hostile)])
        database.decide(number, [VerdictRow(series, Change.NEW, hostile, hostile, why=hostile, known=hostile)])
        assert [one.directory for one in queries.runs(database)] == [stored]
        assert [one.testcase for one in queries.series_of(database, hostile)] == [stored]
        assert queries.signatures_like(database, hostile) == ()
        with pytest.raises(UserError, match="there is no run"):
            queries.find_run(database, hostile)


def test_what_is_looked_up_may_have_any_length(url):
    """The characters of this one take four bytes each, and nothing of it can be compressed."""
    letters = random.Random(1)
    long = "assertion:" + "".join(chr(letters.randrange(0x10000, 0x20000)) for _ in range(2000))
    kept = short_signature(long)
    assert len(kept) == 600
    assert short_signature(kept) == kept
    assert short_signature(long + "x") != kept
    with Database(url) as database:
        number = database.begin(run())
        database.record(number, [replace(FAIL, signature=long)])
        database.decide(number, [VerdictRow(SERIES, Change.NEW, long)])
        assert queries.cells_of_signature(database, kept) == ((number, replace(FAIL, signature=kept)),)
        assert queries.verdicts_of(database, [number])[number][0].signature == kept


@pytest.mark.parametrize("name", ["²", "9" * 5000, "latest\n", "-1", "", "\udcff"])
def test_a_run_that_nobody_could_have_made_is_one_sentence(tmp_path, name):
    with Database(f"sqlite:///{tmp_path}/r.db") as database:
        database.begin(run())
        with pytest.raises(UserError, match=r"there is no run [^.]* in .* The latest are one"):
            queries.find_run(database, name)


def test_a_locked_database_is_one_sentence_and_writable_afterwards(tmp_path):
    with Database(f"sqlite:///{tmp_path}/r.db", busy_seconds=0.1) as database:
        number = database.begin(run())
        other = sqlite3.connect(tmp_path / "r.db")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(InfrastructureError, match="database is locked"):
            database.record(number, [PASS])
        other.rollback()
        other.close()
        database.record(number, [PASS])
        assert queries.cells_of_run(database, number) == (PASS,)


def test_a_server_that_restarts_is_found_again(server):
    with Database(server.fresh("restarted"), busy_seconds=2) as database:
        number = database.begin(run())
        server.stop()
        try:
            with pytest.raises(InfrastructureError, match="the results database postgresql"):
                database.record(number, [PASS])
        finally:
            server.start()
        database.record(number, [PASS])
        assert queries.cells_of_run(database, number) == (PASS,)


@pytest.mark.parametrize(("url", "error", "words"), [
    ("nonsense", UserError, "is no URL"),
    ("mysql://root@localhost/x", UserError, "sqlite or postgresql"),
    ("postgresql://farm:secret@/x?host=/nonexistent", InfrastructureError, r"farm:\*\*\*@"),
    ("postgresql://farm@/x?host=/nonexistent&password=secret", InfrastructureError, r"password=\*\*\*"),
    ("postgresql://farm:se:/@secret@host:many/x", UserError, r"is no URL"),
    ("mysql://farm:secret@host/x?password=secret", UserError, "sqlite or postgresql"),
    ("sqlite:////proc/nothing/results.db", InfrastructureError, "cannot make the directory"),
])
def test_a_database_that_cannot_be_used_is_one_sentence(url, error, words):
    with pytest.raises(error, match=words) as raised:
        Database(url, busy_seconds=2)
    assert "secret" not in str(raised.value)


def test_a_file_that_is_no_database_is_one_sentence(tmp_path):
    (tmp_path / "r.db").write_text("nothing of the kind\n" * 100)
    with pytest.raises(InfrastructureError, match="file is not a database"):
        Database(f"sqlite:///{tmp_path}/r.db")


def explained(database, query):
    """How the server would carry a query out; PostgreSQL only with the tables that are large in earnest."""
    with database.engine.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        if not sqlite:
            connection.execute(text("SET enable_seqscan = off"))
        compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
        rows = connection.execute(text(f"EXPLAIN {'QUERY PLAN ' if sqlite else ''}{compiled}"))
        return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.parametrize(("query", "index"), [
    (queries.history_query(SERIES.key, 5, 100), "ix_cells_series_run"),
    (queries.signature_query("panic:f", 100), "ix_cells_signature_run"),
])
def test_history_is_read_by_index(url, query, index):
    with Database(url) as database:
        plan = explained(database, query)
        assert index in plan
        assert "SCAN cells" not in plan
        assert "TEMP B-TREE" not in plan, "SQLite would sort all of a series"
