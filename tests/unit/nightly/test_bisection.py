"""Which new failures are bisected, and how."""

import os
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from farm.deadline import Deadline
from farm.model import Outcome
from farm.nightly.bisection import Suspect, arguments, bisect, suspects
from farm.nightly.plan import Plan
from farm.results.values import BUILD, CellRow, Change, Series, VerdictRow

GOOD, BAD = "a" * 40, "b" * 40
PLAN = Plan.model_validate(tomllib.loads("""
name = "nightly"
bisect = "auto"
[[kernels]]
name = "main"
tree = "/src/linux"
[[kernels]]
name = "6.12"
source = "debian:linux-source-6.12"
[[testcases]]
marks = "smoke"
"""))
SERIES = Series("main", "base", "test_a.py::test_it")
NEW = VerdictRow(SERIES, Change.NEW, "oops:f", "oops in f")
PASSED = CellRow(SERIES, Outcome.PASS, source=GOOD)
FAILED = CellRow(SERIES, Outcome.FAIL, source=BAD, signature="oops:f")
FOUND = Suspect(SERIES, "oops:f", "oops in f", GOOD, BAD)


def found(verdicts=(NEW,), good=PASSED, cells=(FAILED,)):
    return suspects(PLAN, verdicts, {one.series.key: good for one in verdicts} if good else {}, cells)


def test_a_new_failure_between_two_commits_is_bisected_once():
    other = replace(SERIES, flavor="debug")
    assert found([NEW, replace(NEW, series=other)], cells=[FAILED, replace(FAILED, series=other)]) == (FOUND,)


@pytest.mark.parametrize("change", [Change.STILL, Change.FLAKY, Change.FIXED])
def test_what_is_not_new_is_not(change):
    assert found([replace(NEW, change=change)]) == ()


def test_what_is_known_is_a_build_or_has_no_range_is_not():
    build, package = replace(SERIES, testcase=BUILD), replace(SERIES, kernel="6.12")
    assert found([replace(NEW, known="we know")]) == ()
    assert found(good=None) == ()
    assert found(good=replace(PASSED, source=BAD)) == ()
    assert found(cells=[replace(FAILED, source="debian:linux-source-6.12")]) == ()
    assert found([replace(NEW, series=build)], cells=[replace(FAILED, series=build)]) == ()
    assert found([replace(NEW, series=package)], cells=[replace(FAILED, series=package)]) == ()


def test_the_command_has_what_the_cell_had():
    argv = arguments(FOUND, PLAN.kernel("main"), "/t/test_a.py::test_it", ["--flavor=base"], Path("/night"))
    assert argv == ["bisect", "start", "/t/test_a.py::test_it", "--json", "--tree=/src/linux", f"--good={GOOD}",
                    f"--bad={BAD}", "--match=signature", "--dir=/night", "--flavor=base"]


def test_a_bisection_that_cannot_be_made_is_a_sentence(tmp_path):
    kernel = PLAN.kernel("main").model_copy(update={"tree": tmp_path / "no-tree"})
    said = bisect(FOUND, kernel, "test_luks2.py", [], tmp_path, deadline=Deadline(60),
                  tick=lambda: None).sentence
    assert said.startswith("bisection of oops in f (aaaaaaaaaaaa..bbbbbbbbbbbb): ")
    assert "no-tree" in said


def test_a_bisection_ends_with_the_time_budget(tmp_path, monkeypatch):
    # It waits for git for ever, so that nothing but the budget ends it.
    git = tmp_path / "bin/git"
    git.parent.mkdir()
    git.write_text("#!/bin/sh\nexec sleep 3600\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    kernel = PLAN.kernel("main").model_copy(update={"tree": tmp_path})
    said = bisect(FOUND, kernel, "test_luks2.py", [], tmp_path, deadline=Deadline(0), tick=lambda: None)
    assert "the time budget is spent; `farm bisect resume" in said.sentence
    assert said.culprit == ""
