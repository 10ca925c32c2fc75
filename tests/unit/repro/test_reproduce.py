"""What a reproduction runs, writes down and concludes; the runs themselves are in tests/e2e/test_repro.py."""

from dataclasses import asdict

import pytest

from farm.bisect.values import Seen
from farm.errors import BuildError, UserError
from farm.model import Outcome, Verdict
from farm.options import OPTIONS
from farm.repro.likeness import likeness
from farm.repro.recorded import load
from farm.repro.reproduce import Plan, Reproduction, classify
from farm.repro.understanding import understand
from farm.verdict import Cause

LIKENESS = likeness(understand("cryptd_skcipher_complete() in dm-crypt: NULL pointer dereference"))
OPTIONS_GIVEN = {option.name: [] if option.multiple else option.default for option in OPTIONS}
CANDIDATES = (("a.py::test", "base"), ("b.py::test", "base"), ("a.py::test", "lockdep"))


def plan(**changes):
    values = {"candidates": CANDIDATES, "options": OPTIONS_GIVEN, "likeness": LIKENESS, "tries": 2, "runs": 3,
              "budget": 600.0}
    return Plan(**{**values, **changes})


def reproduce(tmp_path, build, report="digest", **changes):
    return Reproduction(plan(**changes), tmp_path / "r", lambda line: None, build).carry_out(report)


def test_a_kernel_that_does_not_compile_is_tried_once_in_each_flavor(tmp_path):
    asked = []

    def build(options):
        asked.append(options["flavor"])
        raise BuildError("crypt.c:1: error: it is broken\nmore of it")

    result = reproduce(tmp_path, build)
    assert asked == ["base", "lockdep"]
    assert [(one.testcase, one.flavor, one.seen) for one in result.attempts] == [
        ("a.py::test", "base", Seen.NO_BUILD), ("a.py::test", "lockdep", Seen.NO_BUILD)]
    assert result.attempts[0].title == "crypt.c:1: error: it is broken"
    assert result.verdict is Verdict.SKIP
    # It is written down: nothing is built again.
    again = reproduce(tmp_path, build)
    assert (again, asked) == (result, ["base", "lockdep"])


def test_no_run_begins_after_the_budget(tmp_path):
    result = reproduce(tmp_path, lambda _: pytest.fail("built"), budget=0.0)
    assert (result.attempts, result.cut, result.verdict) == ((), True, Verdict.SKIP)


def test_a_directory_is_of_one_request(tmp_path):
    reproduce(tmp_path, lambda _: None, budget=0.0)
    reproduce(tmp_path, lambda _: None, budget=0.0, runs=1)
    for changes in ({"report": "another"}, {"candidates": CANDIDATES[:1]}, {"options": {**OPTIONS_GIVEN, "seed": 4}}):
        with pytest.raises(UserError, match="something else"):
            reproduce(tmp_path, lambda _: None, budget=0.0, **changes)
    (tmp_path / "r/request.json").write_text("{ cut off")
    with pytest.raises(UserError, match="something else"):
        reproduce(tmp_path, lambda _: None, budget=0.0)


def test_what_farm_run_refuses_is_told_and_no_run(tmp_path):
    with pytest.raises(UserError, match="there is no testcase"):
        reproduce(tmp_path, lambda _: None, candidates=(("test_nothing.py", "base"),))
    assert not (tmp_path / "r/attempts.jsonl").exists()


def cause(*words):
    return asdict(Cause(*words))


@pytest.mark.parametrize(("outcome", "facts", "seen"), [
    (Outcome.FAIL, {"ready": True}, Seen.BUG), (Outcome.PASS, {}, Seen.NO_BUG), (Outcome.SKIP, {}, Seen.UNASKED),
    (Outcome.ERROR, {"cause": cause("infrastructure", "disk full")}, Seen.HOST),
    (Outcome.ERROR, {"cause": cause("user", "an impossible stack")}, Seen.UNASKED),
    # What ended it is something else, but the report's failure is among those seen.
    (Outcome.FAIL, {"cause": cause("no-progress", "no progress in fio"), "ready": True}, Seen.BUG),
])
def test_what_a_run_says(make_run, outcome, facts, seen):
    assert classify(load(make_run(outcome=outcome, **facts)), LIKENESS)[0] is seen


@pytest.mark.parametrize(("ready", "seen"), [(True, Seen.OTHER), (False, Seen.NO_BOOT)])
def test_another_failure_is_not_taken_for_it(make_run, ready, seen):
    other = likeness(understand("zswap_store() deadlocks in zswap"))
    found, why = classify(load(make_run(ready=ready)), other)
    assert found is seen
    assert why.function == "cryptd_skcipher_complete"
