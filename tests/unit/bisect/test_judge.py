import pytest

from farm.bisect.judge import classify
from farm.bisect.values import Seen, Symptom, parse_symptom
from farm.errors import UserError
from farm.model import Outcome
from farm.trial import CellResult
from farm.verdict import Cause

PANIC = Cause("panic", "kernel panic: no in crypt_map", "crypt_map", "s1")
ELSEWHERE = Cause("panic", "kernel panic: out of memory in f", "f", "s2")
WARNING = Cause("warning", "WARNING in g", "g", "s3")


def cell(outcome, cause=None, findings=(), *, ready=True):
    return CellResult("test_a.py::test_b", Outcome(outcome), cause.title if cause else "", None, ready, cause, findings)


@pytest.mark.parametrize(("cells", "seen"), [
    ([cell("pass")], Seen.NO_BUG),
    ([cell("fail", PANIC)], Seen.BUG),
    ([cell("pass"), cell("fail", PANIC)], Seen.BUG),
    # The symptom behind another report of the same run still is the symptom.
    ([cell("fail", WARNING, (WARNING, PANIC))], Seen.BUG),
    ([cell("fail", WARNING, (WARNING,))], Seen.OTHER),
    ([cell("fail", ELSEWHERE)], Seen.OTHER),
    ([cell("fail", ELSEWHERE, ready=False)], Seen.NO_BOOT),
    ([cell("fail", PANIC, ready=False)], Seen.BUG),
    # A failure of the host outranks what else passed, a failure of the kernel outranks both.
    ([cell("pass"), cell("error", Cause("infrastructure", "QEMU ended"))], Seen.HOST),
    ([cell("error", Cause("infrastructure", "QEMU ended")), cell("fail", PANIC)], Seen.BUG),
    ([cell("skip")], Seen.UNASKED),
    ([cell("error", Cause("user", "this kernel has no such stack"))], Seen.UNASKED),
    ([], Seen.UNASKED),
    # What a testcase announced and saw is no failure.
    ([cell("pass", None, (PANIC,))], Seen.NO_BUG),
])
def test_what_a_run_says_of_the_bug(cells, seen):
    symptom = Symptom("panic", "kernel panic: no", "crypt_map", "s1")
    assert classify(cells, symptom)[0] is seen


@pytest.mark.parametrize(("match", "covered"), [
    ("function", [PANIC]), ("kind", [PANIC, ELSEWHERE]), ("signature", [PANIC]), ("any", [PANIC, ELSEWHERE, WARNING])])
def test_how_much_has_to_be_the_same(match, covered):
    symptom = Symptom("panic", "kernel panic: no", "crypt_map", "s1", match)
    assert [cause for cause in (PANIC, ELSEWHERE, WARNING) if symptom.covers(cause)] == covered


def test_before_it_is_known_every_failure_is_the_bug():
    assert classify([cell("fail", WARNING)], None) == (Seen.BUG, WARNING, "WARNING in g")


def test_a_symptom_in_words():
    assert parse_symptom("panic:crypt_map").covers(PANIC)
    assert not parse_symptom("panic:crypt_map").covers(ELSEWHERE)
    assert parse_symptom("panic").covers(ELSEWHERE)
    assert parse_symptom("panic:crypt_map").text == "panic:crypt_map"
    with pytest.raises(UserError, match="names no kind"):
        parse_symptom(":f")
