"""What a reproduction runs, writes down and concludes; the runs themselves are in tests/e2e/test_repro.py."""

import pytest

from farm.bisect.values import Seen
from farm.errors import BuildError, UserError
from farm.model import Verdict
from farm.options import OPTIONS
from farm.repro.likeness import likeness
from farm.repro.reproduce import Plan, Reproduction
from farm.repro.understanding import understand

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
