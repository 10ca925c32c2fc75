"""Which revision tells most."""

import math
import random

import pytest

from farm.bisect.cuts import Cuts
from farm.bisect.history import History
from tests.unit.bisect.histories import random_shape


def straight(length: int) -> History:
    """Members 1 to `length`, on top of 0."""
    parents = {str(one): (str(one - 1),) if one > 1 else () for one in range(length, 0, -1)}
    return History("0", str(length), parents)


def steps(history: History, culprit: str, shares: dict[str, float] | None = None,
          broken: frozenset[str] = frozenset()) -> list[str]:
    """What is judged until the culprit is known, one after the other."""
    judged: list[str] = []
    left, skipped = history.left([], []), set[str]()
    cuts = Cuts(history, left, shares)
    while chosen := cuts.choose(left, 1, judged, skipped):
        (one,) = chosen
        assert one in left
        judged.append(one)
        if one in broken:
            skipped.add(one)
        elif culprit in history.ancestors(one):
            left &= history.ancestors(one)
        else:
            left -= history.ancestors(one)
    assert culprit in left
    assert broken or left == {culprit}
    return judged


@pytest.mark.parametrize("length", [1, 2, 3, 64, 100])
def test_without_suspects_it_takes_as_many_as_halving(length):
    for culprit in range(1, length + 1):
        assert len(steps(straight(length), str(culprit))) <= math.ceil(math.log2(length))


def test_several_cut_into_equal_parts():
    history = straight(63)
    left = history.left([], [])
    assert Cuts(history, left).choose(left, 3) == ["16", "32", "47"]
    assert len(Cuts(straight(2), {"1", "2"}).choose({"1", "2"}, 3)) == 1


@pytest.mark.parametrize("suspect", [1, 2, 31, 63, 64])
def test_a_suspect_and_its_parent_come_first(suspect):
    weights = {str(one): 0.9 if one == suspect else 0.1 / 63 for one in range(1, 65)}
    judged = steps(straight(64), str(suspect), weights)
    assert set(judged) <= {str(suspect), str(suspect - 1)}
    assert len(judged) <= 2


def test_a_wrong_suspicion_costs_three_revisions_at_most():
    """A quarter of the probability is shared out evenly (suspects.py): log2(1/0.25)."""
    even = 0.25 / 64
    weights = {str(one): even + (0.75 if one == 20 else 0.0) for one in range(1, 65)}
    worst = max(len(steps(straight(64), str(culprit), weights)) for culprit in range(1, 65))
    assert worst <= 6 + 2 + 1  # and one for what does not divide evenly


def test_among_merges():
    chance = random.Random(1)
    for _ in range(20):
        shape = random_shape(chance, 40, 0.4)
        parents = {str(one): tuple(str(parent) for parent in of if parent) for one, of in enumerate(shape) if one}
        new = str(len(shape) - 1)
        history = History("0", new, dict(reversed(parents.items())))
        culprit = chance.choice([one for one in parents if one in history.ancestors(new)])
        weights = {one: 4.0 ** chance.randrange(4) for one in parents}
        assert len(steps(history, culprit, weights)) <= 16


def test_what_cannot_be_judged_is_left_by_strides():
    broken = frozenset(map(str, range(400, 700)))
    judged = steps(straight(1000), "900", broken=broken)
    assert sum(one in broken for one in judged) <= 10
    assert steps(straight(64), "32", broken=frozenset({"32"}))[0] == "32"


def test_what_is_left_may_grow_beyond_what_they_are_of():
    history = straight(8)
    cuts = Cuts(history, {"5", "6"})
    assert cuts.cover({"6"})
    assert not cuts.cover({"4", "5"})
    assert Cuts(history, set()).choose(set(), 1) == []
