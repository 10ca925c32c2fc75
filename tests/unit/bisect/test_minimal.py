"""The search for a smallest set of options: the questions it asks, and what it ends with."""

from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from farm.bisect.config.minimal import Options, guards, step
from farm.bisect.values import Answer

OPTIONS = tuple(f"O{number:02}" for number in range(40))


def search(
    options: tuple[str, ...], answer: Callable[[Options], Answer],
) -> tuple[tuple[str, ...], dict[Options, Answer]]:
    """The result, and every question with its answer."""
    asked: dict[Options, Answer] = {}
    while True:
        now = step(options, lambda one: Answer.NO_BUG if not one else asked.get(one))
        if now.ask is None:
            return now.left, asked
        assert now.ask not in asked
        assert now.ask < set(now.left)
        asked[now.ask] = answer(now.ask)


def needing(*causes: Options) -> Callable[[Options], Answer]:
    """The bug shows when all options of any of those sets are there."""
    return lambda options: Answer.BUG if any(cause <= options for cause in causes) else Answer.NO_BUG


sets = st.sets(st.sampled_from(OPTIONS), min_size=1, max_size=4).map(frozenset)


@given(st.sampled_from(OPTIONS))
def test_one_option_is_found_by_halving(cause):
    found, asked = search(OPTIONS, needing(frozenset({cause})))
    assert found == (cause,)
    assert len(asked) <= 12  # six halvings of 40, each of which may ask about both halves


@given(sets)
def test_options_that_only_fail_together(cause):
    found, asked = search(OPTIONS, needing(cause))
    assert set(found) == cause
    assert len(asked) < 200


@given(st.lists(sets, min_size=1, max_size=4))
def test_nothing_can_be_left_out_of_what_is_found(causes):
    answer = needing(*causes)
    found, asked = search(OPTIONS, answer)
    assert answer(frozenset(found)) is Answer.BUG
    for guard in guards(found):
        assert answer(guard) is Answer.NO_BUG
        assert asked.get(guard, Answer.NO_BUG) is Answer.NO_BUG


@st.composite
def worlds(draw):
    """What each option depends on (earlier ones, so that there is no circle), and a cause with all that it needs."""
    chance = Random(draw(st.integers()))  # forty sets are slow to draw
    needs = {one: set(chance.sample(OPTIONS[:place], min(place, chance.randint(0, 2))))
             for place, one in enumerate(OPTIONS)}
    cause = set(draw(sets))
    while more := {need for one in cause for need in needs[one]} - cause:
        cause |= more
    return needs, frozenset(cause)


@given(worlds())
@settings(max_examples=50)
def test_an_option_without_what_it_depends_on_is_dropped_and_found_all_the_same(world):
    needs, cause = world

    def answer(options: Options) -> Answer:
        left = set(options)
        while dropped := {one for one in left if not needs[one] <= left}:
            left -= dropped
        return needing(cause)(frozenset(left))

    assert set(search(OPTIONS, answer)[0]) == cause


@given(sets, st.sets(st.sampled_from(OPTIONS)), st.randoms())
def test_sets_that_cannot_be_judged_are_gone_round(cause, fragile, chance):
    def answer(options: Options) -> Answer:
        said = needing(cause)(options)
        # Without one of its fellows, an option may make a kernel that does not build.
        broken = options & fragile and not fragile <= options and chance.random() < 0.3
        return Answer.SKIP if broken else said

    found, asked = search(OPTIONS, answer)
    assert found == OPTIONS or asked[frozenset(found)] is Answer.BUG
    assert cause <= set(found)
    assert all(asked.get(guard) is not Answer.BUG for guard in guards(found))
