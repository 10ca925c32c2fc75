import pytest

from farm.bisect.values import Symptom, parse_symptom
from farm.errors import UserError
from farm.model import Finding

PANIC = Finding("panic", "kernel panic: no in crypt_map", "crypt_map", signature="s1")
ELSEWHERE = Finding("panic", "kernel panic: out of memory in f", "f", signature="s2")
WARNING = Finding("warning", "WARNING in g", "g", signature="s3")


@pytest.mark.parametrize(("match", "covered"), [
    ("function", [PANIC]), ("kind", [PANIC, ELSEWHERE]), ("signature", [PANIC]), ("any", [PANIC, ELSEWHERE, WARNING])])
def test_how_much_has_to_be_the_same(match, covered):
    symptom = Symptom("panic", "kernel panic: no", "crypt_map", "s1", match)
    assert [cause for cause in (PANIC, ELSEWHERE, WARNING) if symptom.covers(cause)] == covered


def test_a_symptom_in_words():
    assert parse_symptom("panic:crypt_map").covers(PANIC)
    assert not parse_symptom("panic:crypt_map").covers(ELSEWHERE)
    assert parse_symptom("panic").covers(ELSEWHERE)
    with pytest.raises(UserError, match="names no kind"):
        parse_symptom(":f")
