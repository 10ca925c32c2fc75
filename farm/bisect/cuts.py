"""Which revision to judge next, where the commits that are left are not equally likely to be the culprit. Pure.

`git bisect` halves their number, this their probability: where one commit is as likely as all others together, that one
and its parent come first, and when it is not the culprit, little was lost.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

from farm.bisect.history import History

# What cannot be judged has neighbours that cannot either: beside a skipped revision a cut is worth this much less, in
# parts of the whole, and half of that as many steps away as were skipped so far: a long row is left by growing strides.
_BESIDE = 0.45
# As many members take 100 MiB.
MOST = 30_000


class Cuts:
    """The cuts of a history. Sets of its members are numbers, with a bit for each."""

    def __init__(self, history: History, left: Collection[str], shares: Mapping[str, float] | None = None) -> None:
        """Of those members that are `left`, at most MOST, with their probabilities; without `shares` all are alike."""
        # Parents first.
        self._members = tuple(commit for commit in reversed(list(history.parents)) if commit in left)
        self._place = {commit: place for place, commit in enumerate(self._members)}
        self._parents = history.parents
        self._shares = shares or {}

    def cover(self, left: Collection[str]) -> bool:
        """Whether they are of all these."""
        return all(commit in self._place for commit in left)

    @property
    def weighted(self) -> bool:
        """Whether they are not all alike."""
        return bool(self._shares)

    @cached_property
    def _inside(self) -> list[int]:
        """What each member contains, by its place."""
        found: list[int] = []
        for place, commit in enumerate(self._members):
            bits = 1 << place
            for parent in self._parents[commit]:
                if parent in self._place:
                    bits |= found[self._place[parent]]
            found.append(bits)
        return found

    @cached_property
    def _levels(self) -> list[tuple[float, int]]:
        """Members that are equally likely, to a power of two: the probability and who has it."""
        levels: dict[float, list[int]] = {}
        for place, commit in enumerate(self._members):
            levels.setdefault(2.0 ** round(math.log2(self._shares.get(commit, 1.0))), []).append(place)
        return [(share, _bits(places)) for share, places in levels.items()]

    def choose(self, left: Collection[str], count: int, without: Collection[str] = (),
               skipped: Collection[str] = ()) -> list[str]:
        """Up to `count` of the members that cut what is left into parts of equal probability, whatever their answers.

        None of `without`, and none that contains all that is left: its answer is known.
        """
        rest = _bits(self._place[one] for one in left)
        levels = [(share, members & rest) for share, members in self._levels if members & rest]
        whole = sum(share * members.bit_count() for share, members in levels)
        costs = self._costs(rest, skipped)
        sizes = {}
        for commit in left:
            inside = self._inside[self._place[commit]]
            if commit not in without and inside & rest != rest:
                sizes[commit] = sum(share * (inside & members).bit_count() for share, members in levels) / whole
        chosen: list[str] = []
        for number in range(1, count + 1):
            wanted = number / (count + 1)
            possible = [commit for commit in sizes if commit not in chosen]
            if possible:
                chosen.append(min(possible, key=lambda one: (
                    abs(sizes[one] - wanted) + costs.get(one, 0.0), self._place[one])))
        return chosen

    def _costs(self, rest: int, skipped: Collection[str]) -> dict[str, float]:
        """What is taken off for each member that is left and stands near a skipped one."""
        if not skipped:
            return {}
        order = [commit for place, commit in enumerate(self._members) if rest >> place & 1]
        fade = 0.5 ** (1 / len(skipped))
        found: dict[str, float] = {}
        for walk in (order, reversed(order)):
            cost = 0.0
            for commit in walk:
                cost = _BESIDE / fade if commit in skipped else cost * fade
                found[commit] = max(found.get(commit, 0.0), cost)
        return found


def _bits(places: Iterable[int]) -> int:
    found = 0
    for place in places:
        found |= 1 << place
    return found
