"""Which testcases `farm run` runs."""

import pytest

from farm.cli.run import selected


@pytest.mark.parametrize(("marks", "testcases", "told"), [
    (None, [], ["-m", "smoke"]), (None, ["test_luks2.py"], []), ("", [], []), ("not smoke", [], ["-m", "not smoke"]),
    ("smoke", ["test_luks2.py"], ["-m", "smoke"]),
])
def test_the_smoke_plan_is_what_runs_when_nothing_was_chosen(marks, testcases, told):
    assert selected(marks, testcases) == told
