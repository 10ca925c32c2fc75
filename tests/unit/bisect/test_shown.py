"""What a run shows of the failure that is meant, whoever says which one that is."""

import pytest

from farm.bisect.judge import of_build
from farm.bisect.shown import classify, told
from farm.bisect.values import Build, Seen, Symptom, parse_symptom
from farm.model import Finding, Outcome
from farm.trial import CellResult, Ended, cells
from farm.verdict import Cause, named

PANIC = Finding("panic", "kernel panic: no in crypt_map", "crypt_map", signature="s1")
ELSEWHERE = Finding("panic", "kernel panic: out of memory in f", "f", signature="s2")
WARNING = Finding("warning", "WARNING in g", "g", signature="s3")
HOST, USER = Cause("infrastructure", "QEMU ended"), Cause("user", "this kernel has no such stack")
SYMPTOM = Symptom("panic", "kernel panic: no", "crypt_map", "s1")
ERROR = Cause("build", "a.c:1: error", signature="build:a")
PANICS = parse_symptom("panic")


def cell(outcome, cause=None, findings=(), *, ready=True, title=None):
    known = named(cause) if isinstance(cause, Finding) else cause
    return CellResult("test_a.py::test_b", Outcome(outcome), title or (cause.title if cause else ""), None, ready,
                      known, findings)


@pytest.mark.parametrize(("cells", "seen"), [
    ([cell("pass")], Seen.NO_BUG),
    ([cell("fail", PANIC)], Seen.BUG),
    ([cell("pass"), cell("fail", PANIC)], Seen.BUG),
    # The failure behind another report of the same run still is the one.
    ([cell("fail", WARNING, (WARNING, PANIC))], Seen.BUG),
    ([cell("fail", WARNING, (WARNING,)), cell("fail", ELSEWHERE, (PANIC,))], Seen.BUG),
    ([cell("fail", WARNING, (WARNING,))], Seen.OTHER),
    ([cell("fail", ELSEWHERE)], Seen.OTHER),
    ([cell("fail", ELSEWHERE, ready=False)], Seen.NO_BOOT),
    ([cell("fail", PANIC, ready=False)], Seen.BUG),
    # A failure of the host outranks what else passed, a failure of the kernel outranks both.
    ([cell("pass"), cell("error", HOST)], Seen.HOST),
    ([cell("error", HOST), cell("fail", PANIC)], Seen.BUG),
    ([cell("skip")], Seen.UNASKED),
    ([cell("error", USER)], Seen.UNASKED),
    ([], Seen.UNASKED),
    # What a testcase announced and saw is no failure.
    ([cell("pass", None, (PANIC,))], Seen.NO_BUG),
])
def test_what_a_run_shows(cells, seen):
    assert classify(cells, SYMPTOM.covers).seen is seen


def test_it_tells_which_failure_and_where():
    one, two = cell("fail", WARNING, (WARNING,)), cell("fail", ELSEWHERE, (ELSEWHERE, PANIC))
    shown = classify([one, two], SYMPTOM.covers)
    assert (shown.cause, shown.title, shown.cell) == (named(PANIC), PANIC.title, two)
    other = classify([one], SYMPTOM.covers)
    assert (other.cause, other.title, other.cell) == (named(WARNING), "WARNING in g", one)


def test_what_ended_the_testcase_is_told_in_its_own_words():
    shown = classify([cell("fail", PANIC, (WARNING, PANIC), title="the guest panicked")], SYMPTOM.covers)
    assert (shown.cause, shown.title) == (named(PANIC), "the guest panicked")


def test_when_every_failure_is_it_the_one_that_ended_the_testcase_is():
    late = cell("fail", PANIC, (WARNING, PANIC))
    assert classify([late], lambda _: True).cause == named(PANIC)
    # Outside of any cell there are only the words of pytest.
    alone = classify([cell("fail", title="assert 1 == 2")], lambda _: True)
    assert alone.cause == Cause("assertion", "assert 1 == 2")


@pytest.mark.parametrize(("status", "answer", "seen"), [
    (-9, None, Seen.HOST), (128, None, Seen.HOST), (1, None, Seen.HOST), (125, None, Seen.UNASKED),
    (0, {"cells": [{"testcase": "a", "outcome": "pass", "title": "", "directory": ""}]}, Seen.NO_BUG)])
def test_a_run_that_was_killed_says_nothing_of_the_kernel(tmp_path, status, answer, seen):
    (tmp_path / "log").write_text("kernel   6.12 base (cached)\n")
    ended = Ended(status, answer, tmp_path / "log", 1.0, stopped=False)
    assert told(ended, cells(ended), lambda _: True).seen is seen


def test_a_kernel_that_does_not_boot_is_bad_only_where_that_is_asked_for():
    cells, everything = [cell("fail", PANIC, ready=False)], lambda _: True
    assert classify(cells, everything).seen is Seen.BUG  # at an end that should have the bug
    assert classify(cells, everything, booted=True).seen is Seen.NO_BOOT
    assert classify([cell("fail", PANIC)], everything, booted=True).seen is Seen.BUG


@pytest.mark.parametrize(("build", "symptom", "seen"), [
    (Build("digest"), PANICS, None),
    (Build(error="e", seen=Seen.NO_BUILD, cause=ERROR), None, Seen.NO_BUILD),
    (Build(error="e", seen=Seen.NO_BUILD, cause=ERROR), PANICS, Seen.NO_BUILD),
    (Build(error="e", seen=Seen.NO_BUILD, cause=ERROR), parse_symptom("build"), Seen.BUG),
    # A patch that does not apply is not the error that is searched, nor is another one with --match signature.
    (Build(error="e", seen=Seen.NO_BUILD), parse_symptom("build"), Seen.NO_BUILD),
    (Build(error="e", seen=Seen.NO_BUILD, cause=ERROR), Symptom("build", "t", "", "build:b", "signature"),
     Seen.NO_BUILD),
    # What compiles is free of it, whatever happens then.
    (Build("digest"), parse_symptom("build"), Seen.NO_BUG),
    (Build(error="e", seen=Seen.HOST), parse_symptom("build"), Seen.HOST),
])
def test_what_a_build_tells_by_itself(build, symptom, seen):
    run = of_build("c", build, symptom)
    assert (run.seen if run else None) is seen
