"""From a set of options that shows the bug to a smallest part of it that still does. Pure.

Delta debugging (A. Zeller, R. Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002): halves first, then
finer and finer parts and what is left without them. What is found was seen to show the bug, and without any one of
its options it was seen not to. Options that depend on each other need no special care: a part that lacks something
merely shows nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from farm.bisect.values import Answer

Options = frozenset[str]
# What is known of a set of options; None for one that was not asked yet.
Known = Callable[[Options], Answer | None]


@dataclass(frozen=True)
class Step:
    """What to do next."""

    # The smallest set so far that shows the bug, in the order given.
    left: tuple[str, ...]
    # The set to ask about; None when `left` is the result.
    ask: Options | None


def step(options: Sequence[str], known: Known) -> Step:
    """The next set of options to ask about, or the result.

    All options together show the bug and none of them does not. Neighbours in `options` stay together longest.
    """
    left, parts = tuple(options), 2
    while len(left) > 1:
        for part, finer in _parts(left, parts):
            answer = known(frozenset(part))
            if answer is None:
                return Step(left, frozenset(part))
            if answer is Answer.BUG:
                left, parts = part, finer
                break
        else:
            if parts >= len(left):
                break
            parts = min(2 * parts, len(left))
    return Step(left, None)


def _parts(left: Sequence[str], parts: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """Each part of what is left, then each rest without one of them; and into how many parts to cut that next."""
    cuts = [*pairwise(len(left) * number // parts for number in range(parts + 1))]
    yield from ((tuple(left[begin:end]), 2) for begin, end in cuts)
    if parts > 2:  # of two halves, each is the rest of the other
        yield from (((*left[:begin], *left[end:]), parts - 1) for begin, end in cuts)


def guards(minimal: Sequence[str]) -> list[Options]:
    """The sets whose answers say that none of the options can be left out."""
    return [frozenset(minimal) - {option} for option in minimal]
