"""The journal and the database behind it, when either of them fails."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from farm.errors import InfrastructureError
from farm.model import Outcome
from farm.nightly.recorder import JOURNAL, Recorder
from farm.results import queries
from farm.results.database import Database
from farm.results.values import CellRow, Change, RunRow, Series, State, VerdictRow
from tests.unit.results import postgres

RUN = RunRow("one", "nightly", "d", "/runs/one")
ROWS = [CellRow(Series("6.12", "base", f"t{number}"), Outcome.PASS, title="ü", seconds=1.5) for number in range(6)]


class Bench:
    """A recorder with all that it needs."""

    def __init__(self, directory: Path, url: str = "", busy_seconds: float = 0.1) -> None:
        self.directory, self.said = directory, []
        self.database = Database(url or f"sqlite:///{directory}/r.db", busy_seconds=busy_seconds)
        self.number = self.database.begin(RUN)

    def recorder(self) -> Recorder:
        return Recorder(self.directory, self.database, self.number, self.said.append, retry_seconds=0)

    @property
    def stored(self) -> list[CellRow]:
        return list(queries.cells_of_run(self.database, self.number))


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    with made.database:
        yield made


def test_a_resumed_run_knows_what_was_recorded(bench):
    first = bench.recorder()
    number = first.begin_batch([row.place for row in ROWS], 1.0)
    for row in ROWS[:3]:
        first.record(row, 5.0)
        first.record(replace(row, title="again"), 6.0)
    with (bench.directory / JOURNAL).open("a") as journal:
        journal.write('{"cell": {"ser')  # the process died here
    second = bench.recorder()
    assert list(second.rows.values()) == ROWS[:3] == bench.stored
    assert (second.batches, second.elapsed) == ({number: [row.place for row in ROWS]}, 5.0)
    second.record(ROWS[3], 7.0)
    assert list(bench.recorder().rows.values()) == ROWS[:4] == bench.stored


def test_what_the_database_never_got_is_recorded_by_the_next_one(bench):
    bench.recorder().record(ROWS[0], 1.0)
    with bench.database.connection() as connection:
        connection.execute(text("DELETE FROM cells"))
    assert bench.recorder().save()
    assert bench.stored == ROWS[:1]


def test_a_locked_database_delays_recording_and_is_told_of_once(bench):
    recorder = bench.recorder()
    other = sqlite3.connect(bench.directory / "r.db")
    other.execute("BEGIN IMMEDIATE")
    for row in ROWS[:3]:
        recorder.record(row, 1.0)
    assert [line for line in bench.said if "database is locked" in line] == bench.said
    assert len(bench.said) == 1
    other.rollback()
    other.close()
    recorder.record(ROWS[3], 2.0)
    assert bench.stored == ROWS[:4]
    assert bench.said[1:] == ["the results database answers again: 4 cells recorded"]


def test_a_full_database_costs_no_result(bench):
    recorder = bench.recorder()
    with bench.database.engine.connect() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    # Every connection of the engine gets the limit: the file cannot grow, as on a full disk.
    bench.database.engine.dispose()
    from sqlalchemy import event
    limit = f"PRAGMA max_page_count={pages}"
    event.listen(bench.database.engine, "connect", listener := lambda raw, _: raw.execute(limit))
    big = [replace(row, title="x" * 9000) for row in ROWS]
    for row in big:
        recorder.record(row, 1.0)
    assert "database or disk is full" in bench.said[0]
    event.remove(bench.database.engine, "connect", listener)
    bench.database.engine.dispose()
    assert recorder.save()
    assert bench.stored == big


def test_a_database_that_is_gone_half_way_is_found_again(server, tmp_path):
    bench = Bench(tmp_path, server.fresh("halfway"), busy_seconds=2)
    recorder = bench.recorder()
    recorder.record(ROWS[0], 1.0)
    server.stop()
    try:
        recorder.record(ROWS[1], 2.0)
        assert not recorder.finish([], State.COMPLETE, 1.0)
    finally:
        server.start()
    assert recorder.finish([VerdictRow(ROWS[0].series, Change.PASSES)], State.COMPLETE, 1.0)
    assert bench.stored == ROWS[:2]
    assert queries.runs(bench.database)[0].state is State.COMPLETE
    bench.database.__exit__()


def test_a_full_disk_stops_the_run_with_a_sentence_and_what_was_recorded_stays(bench):
    recorder = bench.recorder()
    recorder.record(ROWS[0], 1.0)
    journal = bench.directory / JOURNAL
    kept = journal.rename(bench.directory / "kept")
    journal.symlink_to("/dev/full")
    with pytest.raises(InfrastructureError, match="No space left on device"):
        recorder.record(ROWS[1], 2.0)
    kept.replace(journal)
    assert list(bench.recorder().rows.values()) == ROWS[:1] == bench.stored


@pytest.fixture(scope="module")
def server():
    with postgres.server() as made:
        yield made
