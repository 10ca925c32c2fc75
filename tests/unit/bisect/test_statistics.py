from math import isclose

import pytest

from farm.bisect.statistics import ENOUGH, GIVE_UP, STEP_TOLERANCE, Rate, evidence, posterior, steps


def test_without_any_run_nothing_is_known():
    assert evidence(0, 0) == pytest.approx(1.0)
    assert Rate().miss(1) == pytest.approx(0.25)  # half of the bugs always show, the others at any rate


def test_runs_of_both_sorts_are_an_exact_beta_integral():
    # B(1 + 2, 1 + 3) = 2! 3! / 6!, and no bug that always shows misses
    assert evidence(2, 3) == pytest.approx(0.5 * 2 * 6 / 720)


def test_probabilities_of_all_outcomes_add_up_to_one():
    ways = [1, 4, 6, 4, 1]
    assert isclose(sum(ways[seen] * evidence(seen, 4 - seen) for seen in range(5)), 1.0)


def test_a_bug_that_always_showed_needs_one_run_a_step():
    assert Rate(ENOUGH, 0).runs() == 1


@pytest.mark.parametrize(("seen", "missed"), [(3, 2), (3, 7), (3, 20)])
def test_the_runs_are_the_fewest_that_suffice(seen, missed):
    rate = Rate(seen, missed)
    runs = rate.runs()
    assert rate.miss(runs) <= STEP_TOLERANCE < rate.miss(runs - 1)


def test_the_rarer_the_bug_the_more_runs():
    assert [Rate(3, missed).runs() for missed in (0, 2, 5, 9)] == sorted(
        {Rate(3, missed).runs() for missed in (0, 2, 5, 9)})


def test_the_end_is_given_up_only_without_any_sight():
    assert Rate(0, GIVE_UP).hopeless
    assert not Rate(1, GIVE_UP).hopeless
    assert not Rate(0, GIVE_UP - 1).hopeless
    assert Rate(3, 7).settled
    assert not Rate(2, 0).settled


def test_many_runs_do_not_overflow():
    assert 0 < Rate(3, 400).miss(10) < 1


def test_candidates_share_the_probability_by_what_their_luck_would_have_been():
    shares = posterior(Rate(3, 7), {"a": 0, "b": 3, "c": 12})
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["b"] / shares["a"] == pytest.approx(Rate(3, 7).miss(3))
    assert shares["c"] < shares["b"]


@pytest.mark.parametrize(("candidates", "jobs", "rounds"), [(1, 1, 0), (2, 1, 1), (64, 1, 6), (65, 1, 7), (64, 3, 3)])
def test_rounds(candidates, jobs, rounds):
    assert steps(candidates, jobs) == rounds
