import pytest

from farm.bisect.state import STEPS, Journal, Step
from farm.bisect.values import Answer, Run, Seen, Symptom
from farm.errors import UserError
from farm.verdict import Cause

RUN = Run("c1", Seen.BUG, "panic", Cause("panic", "t", "f", "s"), "digest", 1.5, 2.5, "runs/1")


def test_everything_comes_back(tmp_path):
    journal = Journal(tmp_path)
    journal.add_symptom(Symptom("panic", "t", "f", "s", "kind"))
    journal.add_run(RUN)
    journal.add_run(Run("c2", Seen.NO_BUG, copy=True))
    journal.add_step(Step("c2", Answer.NO_BUG, 0.9, "why"))
    journal.add_step(Step("c1", Answer.BUG, 1.0))
    journal.add_step(Step("c2", Answer.BUG, 1.0))
    journal.add_proof(RUN)
    again = Journal(tmp_path)
    assert (again.runs, again.proofs, again.symptom) == (journal.runs, journal.proofs, journal.symptom)
    assert list(again.steps.values()) == [Step("c1", Answer.BUG, 1.0), Step("c2", Answer.BUG, 1.0)]


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_an_entry_cut_off_in_the_middle_never_was(tmp_path, cut):
    Journal(tmp_path).add_run(RUN)
    whole = (tmp_path / STEPS).read_bytes()
    (tmp_path / STEPS).write_bytes(whole + whole[:cut])
    journal = Journal(tmp_path)
    assert journal.runs == [RUN]
    journal.add_run(RUN)
    assert Journal(tmp_path).runs == [RUN, RUN]


def test_a_file_that_is_not_ours_is_named(tmp_path):
    (tmp_path / STEPS).write_text('{"run": {"commit": 1}}\n')
    with pytest.raises(UserError, match=r"steps\.jsonl: record 1"):
        Journal(tmp_path)
