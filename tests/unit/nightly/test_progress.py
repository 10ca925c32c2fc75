"""What a night says while it runs."""

import io

from farm.model import Outcome
from farm.nightly.progress import Progress
from farm.results.values import BUILD, CellRow, Series

PASS = CellRow(Series("6.12", "base", "t"), Outcome.PASS, seconds=12.4)
FAIL = CellRow(Series("6.12", "base", "u"), Outcome.FAIL, attempt=2, title="oops\x1b[2J", seconds=3.0)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(stream):
    progress = Progress(600.0, stream=stream)
    progress.building("6.12 base")
    progress.ended(CellRow(Series("6.12", "base", BUILD), Outcome.PASS, seconds=60))
    progress.planned(4)
    progress.running = {"a": 0.0, "b": 0.0}
    progress.ended(PASS)
    progress.ended(FAIL)
    progress.tick()
    progress.close()
    return stream.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    assert told(io.StringIO()).splitlines() == [
        "building 6.12 base", "pass build on 6.12 base (60 s)", "[1/4] pass t on 6.12 base (12 s)",
        "[2/4] fail u on 6.12 base, attempt 2 (3 s): oops\\x1b[2J"]


def test_a_line_that_is_kept_up_to_date_on_a_terminal():
    said = told(Terminal())
    assert "2 of 4 cells, 1 failed, 2 running, " in said
    assert said.endswith("\r\x1b[K")
    assert said.count("\n") == 1  # of the failure, which stays
    assert "\x1b[2J" not in said
