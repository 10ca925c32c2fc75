import pytest

from farm.bisect.values import Symptom, parse_symptom
from farm.errors import BuildError, HangError, KernelError, UserError
from farm.model import Finding
from farm.verdict import OWN_KINDS, cause_of, kind_of

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
    with pytest.raises(UserError, match=r"'hungtsk' names no kind of failure.*hung-task.*assertion"):
        parse_symptom("hungtsk")


def test_every_blame_of_the_kernel_is_a_kind_that_can_be_searched():
    def below(error):
        return {error, *(one for child in error.__subclasses__() for one in below(child))}

    kinds = {kind_of(one) for one in below(KernelError) - {KernelError}}
    assert kinds <= set(OWN_KINDS)
    assert all(parse_symptom(kind).kind == kind for kind in OWN_KINDS)


@pytest.mark.parametrize(("kind", "sentences", "same"), [
    ("build", ["a.c: 'x' undeclared", "b.c: expected ';'"], False),
    ("build", ["a.c:12: 'x' undeclared", "a.c:14: 'x' undeclared"], True),
    ("assertion", ["no space left", "data differs at sector 8"], False),
    ("assertion", [f"the disk holds {letter * 16}" for letter in "ab"], True),
    ("hang", ["`dd` did not end within 60 s.", "`cat` did not end within 42 s."], True),
])
def test_a_failure_without_a_function_is_known_by_what_it_says(kind, sentences, same):
    error = {"build": BuildError, "assertion": AssertionError, "hang": HangError}[kind]
    first, second = (cause_of(error(sentence)) for sentence in sentences)
    assert (first.kind, second.kind) == (kind, kind)
    assert Symptom(first.kind, first.title, first.function, first.signature).covers(second) is same
