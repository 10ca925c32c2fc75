"""Plans as people write them, and the matrix that comes of them."""

import tomllib
from pathlib import Path

import pytest

from farm.errors import UserError
from farm.nightly.matrix import Batch, Expectation, Listed, PlannedCell, batches, expand, schedule
from farm.nightly.plan import Plan, read_plan
from farm.results.values import Series

PLAN = """
name = "nightly"
flavors = ["base", "debug"]

[[kernels]]
name = "6.12"
source = "debian:linux-source-6.12"

[[kernels]]
name = "6.1"
source = "debian:linux-source-6.1"

[[stacks]]
name = "inline"
text = "data / integrity:mode=inline"
namespaces = ["data:size=256M,block=4096,ms=8"]

[[machines]]
name = "small"
text = "cpus=1,memory=512M"

[[testcases]]
select = ["test_luks2.py"]

[[testcases]]
select = ["test_any_stack.py"]
stacks = ["inline"]
machines = ["small"]
flavors = ["base"]
priority = 5
repetitions = 2
"""
LISTINGS = ([Listed("test_luks2.py::test_a", "/t/test_luks2.py::test_a"),
             Listed("test_luks2.py::test_b", "/t/test_luks2.py::test_b", ("debug",))],
            [Listed("test_any_stack.py::test_c", "/t/test_any_stack.py::test_c")])


def plan(text=PLAN):
    return Plan.model_validate(tomllib.loads(text))


def test_the_example_in_the_repository_is_a_plan():
    made = read_plan(Path(__file__).parents[3] / "docs" / "nightly.toml")
    assert {kernel.name for kernel in made.kernels} == {"6.12", "6.1"}
    assert made.runs_dir.is_absolute()


@pytest.mark.parametrize(("old", "new", "place"), [
    ("debian:linux-source-6.12", "fedora:kernel", "kernels.0.source: "),
    ('source = "debian:linux-source-6.12"', "", "kernels.0: give either source"),
    ('source = "debian:linux-source-6.12"', 'source = "debian:linux"\nrev = "v6"', "kernels.0: rev needs tree"),
    ('name = "6.1"', 'name = "6.12"', "kernels: two are called 6.12"),
    ("[[machines]]", "[[machnes]]", "machnes: there is no such key"),
    ('text = "cpus=1,', 'text = "cpu=1,', "machines.0.text: the machine 'cpu=1,memory=512M': 'cpu=1' is none of its"),
    ("integrity:mode=inline", "integrity:mode=sideways", "stacks.0.text: "),
    ("data:size=256M", "size=256M", "stacks.0.namespaces: the namespace"),
    ('stacks = ["inline"]', 'stacks = ["outline"]', "testcases.1.stacks: there is no outline among the plan's stacks"),
    ("priority = 5", 'priority = "high"', "testcases.1.priority: "),
    ("repetitions = 2", "repetitions = 0", "testcases.1.repetitions: "),
    ('select = ["test_luks2.py"]', "", "testcases.0: name testcases by select, or by marks"),
    ('name = "nightly"', 'name = "../nightly"', "name: "),
    ('name = "nightly"', 'name = "nightly"\nbisect = "yes"', "bisect: "),
    ('name = "nightly"', "", "name: is missing"),
    ("[[kernels]]", "[kernels", "is no TOML"),
    ('flavors = ["base", "debug"]', 'flavors = ["base", "debug", "bse"]', "flavors.2: there is no flavor bse. Known"),
])
def test_a_mistake_is_named_by_its_place(tmp_path, old, new, place):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.replace(old, new, 1))
    with pytest.raises(UserError) as raised:
        read_plan(path)
    assert str(path) in str(raised.value)
    assert place in str(raised.value)


def test_a_list_of_mistakes_alone_is_not_told_to_be_too_short(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.replace('name = "6.1"', 'name = "6 1"').replace('name = "6.12"', 'name = "6 12"'))
    with pytest.raises(UserError) as raised:
        read_plan(path)
    assert len(str(raised.value).splitlines()) == 3
    path.write_text("kernels = []\n" + PLAN.replace("[[kernels]]", "[[machines]]"))
    with pytest.raises(UserError, match=r"kernels: Tuple should have at least 1 item"):
        read_plan(path)


def test_paths_are_relative_to_the_plan_and_have_to_be_there(tmp_path):
    (tmp_path / "fix.patch").touch()
    path = tmp_path / "plan.toml"
    patched = PLAN.replace('name = "6.1"', 'name = "6.1"\npatches = ["fix.patch"]')
    path.write_text(patched)
    made = read_plan(path)
    assert made.kernels[1].patches == (tmp_path / "fix.patch",)
    assert made.runs_dir == tmp_path / "runs"
    path.write_text(patched.replace("fix.patch", "gone.patch"))
    with pytest.raises(UserError, match=r"kernels\.1\.patches: there is no .*gone\.patch"):
        read_plan(path)


def test_the_matrix_follows_the_rules():
    matrix = expand(plan(), LISTINGS)
    assert [(str(cell.series), cell.repetition) for cell in matrix.cells] == [
        ("test_luks2.py::test_a on 6.12 base", 1), ("test_luks2.py::test_a on 6.12 debug", 1),
        ("test_luks2.py::test_b on 6.12 debug", 1),
        ("test_luks2.py::test_a on 6.1 base", 1), ("test_luks2.py::test_a on 6.1 debug", 1),
        ("test_luks2.py::test_b on 6.1 debug", 1),
        ("test_any_stack.py::test_c on 6.12 base small inline", 1),
        ("test_any_stack.py::test_c on 6.12 base small inline", 2)]
    reasons = {str(series): reason for series, reason in matrix.left_out}
    assert reasons["test_luks2.py::test_b on 6.1 base"] == "made for flavor debug"
    assert "inline-kernel" in reasons["test_any_stack.py::test_c on 6.1 base small inline"]


def test_an_entry_with_a_higher_priority_wins():
    both = plan(PLAN + '[[testcases]]\nselect = ["test_luks2.py"]\npriority = 9\nkernels = ["6.1"]\n')
    matrix = expand(both, [*LISTINGS, LISTINGS[0][:1]])
    assert {cell.priority for cell in matrix.cells if cell.series.kernel == "6.1"} == {0, 9}
    assert len(matrix.cells) == 8


def cell(name, kernel="6.12", **changes):
    return PlannedCell(Series(kernel, "base", name), f"/t/{name}", **changes)


def ordered(*cells, expected, budget=None, build=0.0, done=()):
    known = {one.series.key: expected[one.series.testcase] for one in cells}
    made = schedule(cells, known, {(one.series.kernel, "base"): build for one in cells}, parallel=2, budget=budget,
                    done={(one.series.key, one.repetition) for one in done})
    return [one.series.testcase for one in made.cells], [one.series.testcase for one in made.cut], made.seconds


EXPECTED = {"short": Expectation(10), "long": Expectation(100), "new": Expectation(20, new=True),
            "failed": Expectation(5, failed=True)}


def test_failures_of_last_night_come_first_then_new_testcases_then_long_ones():
    assert ordered(*map(cell, EXPECTED), expected=EXPECTED)[0] == ["failed", "new", "long", "short"]


def test_the_budget_cuts_by_priority():
    cells = (cell("long", priority=1), cell("short"), cell("failed", priority=-1), cell("new", priority=2))
    assert ordered(*cells, expected=EXPECTED, budget=66, build=1.0) == (["new", "long", "short"], ["failed"], 66.0)
    assert ordered(*cells, expected=EXPECTED, budget=30, build=1.0) == (["new", "short", "failed"], ["long"], 18.5)
    assert ordered(*cells, expected=EXPECTED, budget=0.5, build=1.0)[0] == []


def test_what_a_resumed_run_has_behind_it_takes_no_time_and_is_not_cut():
    cells = (cell("long"), cell("short"))
    assert ordered(*cells, expected=EXPECTED, budget=10, build=1.0) == (["short"], ["long"], 6.0)
    assert ordered(*cells, expected=EXPECTED, budget=10, build=1.0, done=cells[:1]) == (["long", "short"], [], 6.0)
    assert ordered(*cells, expected=EXPECTED, budget=0, build=1.0, done=cells) == (["long", "short"], [], 0.0)


def test_a_build_is_paid_for_once():
    cells = (cell("short"), cell("long"), cell("short", "6.1"))
    assert ordered(*cells, expected=EXPECTED, build=60.0)[2] == 120 + (10 + 100 + 10) / 2


def test_one_run_has_one_kernel_stack_and_repetition():
    cells = [cell("a"), cell("b", "6.1"), cell("c"), cell("a", repetition=2), cell("d", priority=3),
             PlannedCell(Series("6.12", "base", "e", stack="s"), "/t/e")]
    assert [[one.series.testcase for one in batch.cells] for batch in batches(cells)] == [
        ["d"], ["a", "c"], ["e"], ["b"], ["a"]]
    assert batches([]) == ()
    assert isinstance(batches(cells)[0], Batch)
