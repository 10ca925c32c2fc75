"""The record of a reproduction, and what it amounts to."""

import pytest

from farm.bisect.values import Seen
from farm.errors import UserError
from farm.model import Verdict
from farm.repro.attempts import FILE, Attempt, Journal, Purpose, tallies
from farm.repro.reproduce import Result
from farm.repro.shrink import Setup, Tally
from farm.verdict import Cause

SETUP = Setup("t.py::test", 4.0, 0, 2, 512, ("data:size=64M",), ("data / crypt / xfs",), 1)


def attempt(seen, purpose=Purpose.FIND, setup=SETUP, testcase="t.py::test"):
    cause = Cause("oops", "BUG in f", "f")
    return Attempt(purpose, testcase, "base", seen, "what happened", cause, "runs/a/t", 20.5, setup)


def test_what_is_written_is_read_again(tmp_path):
    made = [attempt(Seen.BUG), attempt(Seen.HOST, setup=None), attempt(Seen.NO_BUG, Purpose.RATE)]
    for one in made:
        Journal(tmp_path).add(one)
    journal = Journal(tmp_path)
    assert journal.attempts == made
    assert journal.shown == made[0]
    assert journal.seconds == 61.5


def test_a_line_that_was_cut_off_is_no_run(tmp_path):
    Journal(tmp_path).add(attempt(Seen.BUG))
    with (tmp_path / FILE).open("a") as out:
        out.write('{"purpose": "fin')
    assert len(Journal(tmp_path).attempts) == 1
    Journal(tmp_path).add(attempt(Seen.NO_BUG))
    assert len(Journal(tmp_path).attempts) == 2


def test_a_record_of_another_farm_is_refused(tmp_path):
    (tmp_path / FILE).write_text('{"purpose": "dream", "setup": null, "cause": null}\n')
    with pytest.raises(UserError, match="record 1 cannot be read"):
        Journal(tmp_path)


def test_runs_add_up_by_setup():
    shrink, rate = Purpose.SHRINK, Purpose.RATE
    made = [attempt(Seen.NO_BUG), attempt(Seen.BUG), attempt(Seen.HOST), attempt(Seen.OTHER, shrink),
            attempt(Seen.BUG, rate), attempt(Seen.NO_BUG, rate)]
    assert tallies(made) == {SETUP: Tally(1, 2, 1, 2)}
    assert tallies([attempt(Seen.UNASKED, shrink)])[SETUP].refused


@pytest.mark.parametrize(("seen", "cut", "verdict"), [
    ([Seen.NO_BUG, Seen.OTHER], False, Verdict.BAD), ([Seen.NO_BUG, Seen.UNASKED], False, Verdict.SKIP),
    ([Seen.NO_BUG], True, Verdict.SKIP), ([], False, Verdict.SKIP), ([Seen.NO_BUILD], False, Verdict.SKIP),
])
def test_without_the_failure_it_is_bad_only_when_everything_was_judged(seen, cut, verdict):
    made = tuple(attempt(one, testcase=f"t.py::test_{place}") for place, one in enumerate(seen))
    assert Result(made, None, None, None, 0, 0, cut).verdict is verdict
