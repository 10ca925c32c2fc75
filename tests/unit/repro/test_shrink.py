"""What is run next on the way to the smallest setup that shows a failure, and where that ends."""

from dataclasses import replace

import pytest

from farm.options import OPTIONS, as_arguments
from farm.repro.recorded import load
from farm.repro.shrink import Setup, Tally, setup_of, smallest
from tests.unit.repro.conftest import CELL

START = Setup("t.py::test", 8.0, 0, 4, 512, ("data:size=64M", "swap:size=32M"),
              ("data / linear:offset=8 / crypt / xfs", "swap / crypt / swap"), 3)
ALWAYS = Tally(seen=1)


def shrink(shows, start=START, first=ALWAYS, rated=3, most=200):
    """Follow the planner; `shows` says whether a setup shows it, in its n-th run."""
    known, runs = {start: first}, []
    while len(runs) < most:
        current, step = smallest(start, known, rated)
        if step is None:
            return current, runs, known
        runs.append(step)
        tally = known.get(step, Tally())
        showed = shows(step, tally.seen + tally.missed)
        known[step] = replace(tally, seen=tally.seen + showed, missed=tally.missed + (not showed))
    raise AssertionError("it does not end")


def test_what_does_not_matter_is_taken_away():
    found, runs, _ = shrink(lambda one, _: any("crypt" in text for text in one.stacks))
    assert (found.duration, found.cpus, found.memory_mib, found.loads) == (1.0, 1, 192, 1)
    assert len(found.stacks) == len(found.namespaces) == 1
    assert "crypt" in found.stacks[0]
    assert "xfs" not in found.stacks[0]
    assert len(runs) == len(set(runs)) < 25


def test_what_matters_stays():
    def shows(one, _):
        return (one.duration >= 4 and one.cpus >= 2 and one.memory_mib >= 256 and one.testcase == START.testcase
                and one.stacks == START.stacks)

    found, _, _ = shrink(shows)
    assert found == replace(START, duration=4.0, cpus=2, memory_mib=256)


def test_nothing_smaller_shows_it():
    found, runs, _ = shrink(lambda *_: False)
    assert found == START
    # One dimension at a time: no candidate differs from the start in two.
    assert all(len(one.smaller_than(START)) <= 2 for one in runs)


def test_what_shows_now_and_then_gets_as_many_runs_as_its_rate_wants():
    _, sure, _ = shrink(lambda *_: False)
    _, flaky, _ = shrink(lambda *_: False, first=Tally(seen=1, missed=2))
    assert len(flaky) > 3 * len(sure)
    # A candidate that showed it in its third run only is a success.
    found, _, _ = shrink(lambda one, number: one.duration < 8 and number == 2, first=Tally(seen=2, missed=4))
    assert found.duration < 8


def test_what_was_luck_is_given_up_again():
    small = replace(START, duration=4.0)
    known = {START: ALWAYS, small: Tally(seen=1, rated=3, rated_seen=0)}
    assert smallest(START, known, 3)[0] == START
    assert smallest(START, {**known, small: Tally(seen=1, rated=3, rated_seen=1)}, 3)[0] == small
    assert smallest(START, {**known, small: Tally(seen=1, rated=2)}, 3)[0] == small


def test_a_setup_that_is_refused_is_not_run_again():
    first = smallest(START, {START: ALWAYS}, 3)[1]
    second = smallest(START, {START: Tally(seen=1, missed=5), first: Tally(refused=True)}, 3)[1]
    assert second not in (first, None)


def test_the_same_runs_decide_the_same():
    _, runs, known = shrink(lambda one, _: one.memory_mib >= 256)
    part = {START: ALWAYS}
    for one in runs:  # broken off before each run, and gone on with
        assert smallest(START, part, 3)[1] == one
        part[one] = known[one]


@pytest.mark.parametrize(("change", "words"), [
    ({"duration": 2.0}, ["--duration=2.0"]), ({"cpus": 1}, ["--machine=cpus=1,memory=512M"]),
    ({"stacks": ("data / xfs",), "namespaces": ("data:size=64M",)},
     ["--namespace=data:size=64M", "--stack=data / xfs"]),
    ({}, []),
])
def test_only_what_differs_is_on_the_command_line(change, words):
    nothing = {option.name: [] if option.multiple else option.default for option in OPTIONS}
    assert list(as_arguments({**nothing, **replace(START, **change).changes(START)})) == words


def test_another_testcase_is_told_everything():
    options = replace(START, testcase="other.py::test").changes(START)
    assert set(options) == {"duration", "machine", "namespace", "stack"}


def test_a_recorded_cell_is_where_it_starts(make_run):
    setup = setup_of(load(make_run()), "test_crypt.py::test_xfs_on_crypt_on_pi")
    assert setup == Setup("test_crypt.py::test_xfs_on_crypt_on_pi", 4.0, 0, 2, 512,
                          ("data:size=64M", "swap:size=32M,pi=1,ms=8"), ("data / crypt / ext4",), 1)
    assert setup_of(load(make_run(repeats=True)), "t").rounds == 100
    # A testcase without any load has no duration to shorten, and one load is as few as there are.
    idle = setup_of(load(make_run(replace(CELL, workloads=()))), "t")
    found, runs, _ = shrink(lambda *_: False, start=idle)
    assert found == idle
    assert not [one for one in runs if one.duration != idle.duration or one.testcase != "t"]
