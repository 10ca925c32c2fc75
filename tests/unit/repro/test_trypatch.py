"""What runs without a patch and with it say of the patch."""

import pytest

from farm.model import Finding, Frame, Outcome, Verdict
from farm.repro.trypatch import Comparison, Try, credits_of, symptom_of, table
from farm.verdict import Cause

OOPS, OTHER = Cause("oops", "BUG in f", "f"), Cause("warning", "WARNING in g", "g")
F, O = Try(Outcome.FAIL, OOPS, "BUG in f"), Try(Outcome.FAIL, OTHER, "WARNING in g")  # noqa: E741
P, S, E = Try(Outcome.PASS), Try(Outcome.SKIP, said="does not compile"), Try(Outcome.ERROR, said="disk full")


def compared(without, patched):
    return Comparison(tuple(without), tuple(patched), symptom_of(without))


@pytest.mark.parametrize(("without", "patched", "verdict"), [
    ([F, F], [P, P], Verdict.GOOD), ([F, P], [P, P], Verdict.GOOD), ([F, F], [P, F], Verdict.BAD),
    ([F, F], [P, O], Verdict.BAD), ([P, P], [P, P], Verdict.SKIP), ([P, P], [F, P], Verdict.BAD),
    ([F, F], [S, S], Verdict.SKIP), ([F, E], [P, P], Verdict.STOP), ([F, F], [E, P], Verdict.STOP),
])
def test_a_patch_is_good_when_it_showed_without_it_and_nothing_failed_with_it(without, patched, verdict):
    assert compared(without, patched).verdict is verdict


def test_how_much_was_luck():
    one = compared([F, P, P, P], [P, P])
    assert one.rate == 0.25
    assert one.chance == 0.75 ** 2
    assert compared([F], [P]).chance == 0


def test_the_most_frequent_failure_is_meant_unless_a_report_names_one():
    assert symptom_of([F, O, O]) == OTHER
    assert symptom_of([P, P]) is None
    reported = Finding("oops", "t", "h", frames=(Frame("h"), Frame("f")))
    assert symptom_of([F, O, O], [reported]) == OOPS
    # What a report does not name is not what it is about.
    assert symptom_of([O, O], [reported]) is None


def test_both_sides_stand_beside_each_other():
    lines = table(compared([F, P], [P, O]))
    assert lines[0].split("  ")[-1].strip() == "with the patch"
    assert "fail  BUG in f" in lines[1]
    assert lines[2].endswith("fail  WARNING in g")
    assert "1 of 2 reproduced" in lines[3]
    assert lines[3].endswith("0 of 2 reproduced")


def test_tested_by_is_said_only_of_a_patch_that_helped():
    words = "\n".join(credits_of(compared([F, P], [P, P]), "A <a@b>", "t.py::test", "6.12"))
    assert "1 of 2 runs without the patch (oops in f), in 0 of 2 runs with it" in words
    assert words.endswith("Tested-by: A <a@b>")
    assert credits_of(compared([F, F], [P, F]), "A <a@b>", "t.py::test", "6.12") == []
    assert credits_of(compared([P, P], [P, P]), "A <a@b>", "t.py::test", "6.12") == []
