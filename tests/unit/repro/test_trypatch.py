"""What runs without a patch and with it say of the patch."""

import pytest

from farm.bisect.values import Seen
from farm.errors import BuildError, UserError
from farm.model import Finding, Frame, Outcome, Verdict
from farm.repro.likeness import likeness
from farm.repro.trypatch import Try, compare, credits_of, describe, not_built, run, sentence, symptom_of, table
from farm.repro.understanding import understand
from farm.trial import CellResult
from farm.verdict import named
from tests.unit.runs import stand_in

OOPS, OTHER = Finding("oops", "BUG in f", "f"), Finding("warning", "WARNING in g", "g")


def failed(*findings, ready=True):
    """A run that the first of these ended."""
    return Try((CellResult("t", Outcome.FAIL, findings[0].title, None, ready, named(findings[0]), findings),))


F, X = failed(OOPS), failed(OTHER)
P, S = Try((CellResult("t", Outcome.PASS, ""),)), Try((), "does not compile", Seen.NO_BUILD)
E = Try((), "disk full")


def compared(without, patched, meant=None):
    symptom = symptom_of(without)
    return compare(without, patched, meant or (symptom.covers if symptom else lambda _: False))


@pytest.mark.parametrize(("without", "patched", "verdict"), [
    ([F, F], [P, P], Verdict.GOOD), ([F, P], [P, P], Verdict.GOOD), ([F, F], [P, F], Verdict.BAD),
    ([F, F], [P, X], Verdict.BAD), ([P, P], [P, P], Verdict.SKIP), ([P, P], [F, P], Verdict.BAD),
    ([F, F], [S, S], Verdict.SKIP), ([F, E], [P, P], Verdict.STOP), ([F, F], [E, P], Verdict.STOP),
])
def test_a_patch_is_good_when_it_showed_without_it_and_nothing_failed_with_it(without, patched, verdict):
    assert compared(without, patched).verdict is verdict


def test_how_much_was_luck():
    one = compared([F, P, P, P], [P, P])
    assert one.rate == 0.25
    assert one.chance == 0.75 ** 2
    assert compared([F], [P]).chance == 0


def test_the_failure_that_most_runs_show_is_meant_where_nobody_says_which():
    assert symptom_of([F, X, X]).function == "g"
    assert symptom_of([P, P, E, S]) is None
    # What comes with it in every run does not outvote what ended them, however it ends another.
    assert symptom_of([failed(OOPS, OTHER), failed(OTHER, OOPS), F]).function == "f"


def test_it_is_found_behind_another_report_of_the_same_run():
    one = compared([F, failed(OTHER, OOPS)], [P, failed(OTHER, OOPS)])
    assert (one.rate, one.verdict) == (1.0, Verdict.BAD)
    assert [describe(shown) for shown in one.patched] == ["no bug", "bug: BUG in f"]
    assert sentence(one) == "bad: it showed with the patch"


def test_another_failure_with_the_patch_is_bad_and_not_taken_for_it():
    one = compared([F, F], [P, X])
    assert one.verdict is Verdict.BAD
    assert table(one)[2].endswith("another failure: WARNING in g")
    assert table(one)[3].endswith("0 of 2 reproduced")
    assert sentence(one) == "bad: it did not show with the patch, but a run failed in another way"
    # A kernel that does not even boot is no better.
    assert compared([F], [failed(OTHER, ready=False)]).verdict is Verdict.BAD


def test_a_report_says_what_counts_by_its_trace():
    reported = Finding("oops", "t", "h", frames=(Frame("h"), Frame("f")))
    meant = likeness(understand("")).covers
    assert compared([X, X], [P, P], meant).verdict is Verdict.SKIP
    report = understand("dm-crypt")
    like = likeness(type(report)(**{**vars(report), "findings": (reported,)}))
    # Even where most runs end by something else, and only the second report of one is it.
    one = compared([X, X, failed(OTHER, OOPS)], [X, P, P], like.covers)
    assert [shown.seen for shown in one.without] == [Seen.OTHER, Seen.OTHER, Seen.BUG]
    assert [shown.seen for shown in one.patched] == [Seen.OTHER, Seen.NO_BUG, Seen.NO_BUG]
    assert [cause.function for cause in one.symptoms] == ["f"]


def test_a_report_in_words_alone_says_what_counts():
    like = likeness(understand("There is a deadlock in dm-crypt: crypt_convert() recurses by GFP_KERNEL."))
    hung = failed(Finding("no-progress", "no progress in fio"))
    lock = failed(OTHER, Finding("lockdep", "possible deadlock in crypt_convert", "crypt_convert"))
    # An oops in the same function is what the runs show most often, and not what the report is about.
    crash = failed(Finding("oops", "BUG in crypt_convert", "crypt_convert"))
    one = compared([crash, crash, hung, lock], [crash, P, P, P], like.covers)
    assert [shown.seen for shown in one.without] == [Seen.OTHER, Seen.OTHER, Seen.BUG, Seen.BUG]
    assert one.patched[0].seen is Seen.OTHER
    good = compared([hung, lock], [P, P], like.covers)
    assert "(no-progress, lockdep in crypt_convert)" in credits_of(good, "A <a@b>", "t.py::test", "6.12")[0]


@pytest.mark.parametrize(("without", "patched", "said"), [
    ([P], [P], "skip: it did not show without the patch, so the patch cannot be judged"),
    ([F], [S], "skip: the kernel does not build with the patch"),
    ([F], [Try((CellResult("t", Outcome.SKIP, "not here"),))], "skip: no run with the patch said anything of it"),
    ([F], [E], "stop: the host failed in some runs"),
    ([F], [P], "good: it showed without the patch, and with it every run passed"),
])
def test_the_verdict_says_why(without, patched, said):
    assert sentence(compared(without, patched)) == said


def test_both_sides_stand_beside_each_other():
    lines = table(compared([F, P], [P, X]))
    assert lines[0].split("  ")[-1].strip() == "with the patch"
    assert "bug: BUG in f" in lines[1]
    assert lines[2].endswith("another failure: WARNING in g")
    assert "1 of 2 reproduced" in lines[3]
    assert lines[3].endswith("0 of 2 reproduced")


def test_tested_by_is_said_only_of_a_patch_that_helped():
    words = "\n".join(credits_of(compared([F, P], [P, P]), "A <a@b>", "t.py::test", "6.12"))
    assert "1 of 2 runs without the patch (oops in f), in 0 of 2 runs with it" in words
    assert words.endswith("Tested-by: A <a@b>")
    assert credits_of(compared([F, F], [P, F]), "A <a@b>", "t.py::test", "6.12") == []
    assert credits_of(compared([P, P], [P, P]), "A <a@b>", "t.py::test", "6.12") == []


def test_a_patch_that_does_not_compile_cannot_be_judged():
    one = not_built(BuildError("crypt.c:1: error: it is broken\nmore of it"))
    assert (one.verdict, sentence(one)) == (Verdict.SKIP, "skip: the kernel does not build with the patch")
    assert table(one)[1].endswith("no build: crypt.c:1: error: it is broken")


def test_what_farm_run_refuses_is_no_failure_of_the_host(tmp_path):
    with pytest.raises(UserError, match=r"--rev v6\.12 needs --tree"):
        next(run(["test_swap.py", "--rev=v6.12"], 3, 1, tmp_path / "log"))


def test_after_the_first_run_as_many_at_once_as_the_host_has_room_for(tmp_path, monkeypatch):
    runs = stand_in(monkeypatch, tmp_path)
    made = run(["test_a.py"], 5, 1, tmp_path)
    next(made)
    runs.wanted = 5
    assert len(list(made)) == 4
    assert len(set(runs.begun)) == 4  # the first log is free again
