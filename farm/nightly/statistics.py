"""Whether a failure is new or the usual flakiness, whether it is gone, and whether a testcase became slower. Pure.

A failure gives cause to ask, so it proves nothing by itself: a flaky testcase fails some night. Only the runs made
after it decide, by the ratio of how likely they are

- if nothing changed: the testcase fails at its usual rate, of which its history and this one failure are all that is
  known (a beta distribution, mostly near zero while there is no history), and
- if something broke: it fails always, or at any rate, as `farm.bisect.statistics` has it.

Looking after every run does not spoil this: if nothing changed, the ratio ever exceeds N with probability 1/N at
most (Ville's inequality), however often one looks. A test of fixed size, repeated after every run, would not say so.

For the other answer the ratio alone would be rash: the first pass rules out what fails always, and with it most of
"something broke", while a bug that shows in half of all runs passes twice in a row one time in four. So a testcase
that hardly ever failed is called flaky only when one that fails now and then has become unlikely too, and when the
runs are used up, it is called new where they speak clearly, if not surely, for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import comb, exp, lgamma, sqrt
from statistics import median

from farm.bisect.statistics import evidence

# The usual flakiness before anything is known of it: 10 % in the mean, and most far below.
_USUAL = (0.5, 4.5)
# A failure is new when the runs are so many times likelier if something broke: wrong for 5 % of flaky failures.
NEW = 20.0
# It is the usual when they are so many times likelier if nothing changed.
USUAL = 10.0
# With no runs left, one that hardly ever failed before is new when they are so many times likelier if something broke.
CLEAR = 3.0
# It hardly ever fails when its usual rate is this at most: no failure in 9 runs, or one in 19.
RARE = 0.1
# Of what fails at any rate, what is known of that rate after one failure.
_SOMETIMES = (2.0, 1.0)
# A failure counts as fixed when so many passes would be as rare as this if it was still there.
FIXED = 0.05
# Of normal deviates, for 95 %.
_Z = 1.96
# A testcase is slower when its latest runs would be the slowest with at most this probability if nothing changed, and
# by this factor: what is statistically sure may still be too little to look at.
SLOWER_CHANCE = 0.01
SLOWER_FACTOR = 1.2
# Runs that are compared with those before them: fewer cannot be told from chance.
LATEST = 3
# Of those before, so many at most: what was long ago says little of now.
EARLIER = 30


@dataclass(frozen=True)
class Weight:
    """What the runs after a failure say."""

    # How many times likelier they are if something broke than if nothing changed.
    broke: float
    # The same if what broke fails now and then.
    sometimes: float
    # How often it is expected to fail if nothing changed.
    rate: float

    @property
    def new(self) -> bool:
        """Surely something broke."""
        return self.broke >= NEW

    @property
    def usual(self) -> bool:
        """Surely enough nothing changed."""
        return USUAL * (max(self.broke, self.sometimes) if self.rate <= RARE else self.broke) <= 1

    @property
    def rather_new(self) -> bool:
        """It hardly ever failed before, and something broke rather than not: enough when no more runs are to be had."""
        return self.rate <= RARE and self.broke >= CLEAR


def weigh(failures: int, passes: int, earlier_failures: int, earlier_passes: int) -> Weight:
    """Weigh the runs after the first failure; the earlier ones are those of the nights before."""
    a, b = _USUAL[0] + earlier_failures + 1, _USUAL[1] + earlier_passes
    unchanged = _sequence(failures, passes, a, b)
    broken = evidence(1 + failures, passes) / evidence(1, 0)
    return Weight(broken / unchanged, _sequence(failures, passes, *_SOMETIMES) / unchanged, a / (a + b))


def still_there(passes: int, earlier_failures: int, earlier_passes: int) -> float:
    """Probability that a failure which is still there does not show in that many runs; by those since it is known."""
    return _sequence(0, passes, 0.5 + earlier_failures, 0.5 + earlier_passes)


def _sequence(failures: int, passes: int, a: float, b: float) -> float:
    """Probability of these runs, in this order, at a rate that is distributed as beta(a, b)."""
    return exp(_beta(a + failures, b + passes) - _beta(a, b))


def _beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def interval(failures: int, runs: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate; of nothing it is everything."""
    if not runs:
        return 0.0, 1.0
    rate, spread = failures / runs, _Z * _Z / runs
    middle = (rate + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * sqrt(rate * (1 - rate) / runs + spread / (4 * runs))
    return max(0.0, middle - half), min(1.0, middle + half)


def slower(latest: Sequence[float], earlier: Sequence[float]) -> float:
    """The factor by which the latest runs took longer than those before, 0 when that may be chance.

    Both are seconds, newest first. Ranks are compared (Mann and Whitney), so that one run on a busy host moves nothing.
    """
    new, old = latest[:LATEST], earlier[:EARLIER]
    if len(new) < LATEST or not old or median(old) <= 0:
        return 0.0
    factor = median(new) / median(old)
    # Ties count against the suspicion.
    above = sum(one > other for one in new for other in old)
    if factor < SLOWER_FACTOR or _chance(above, len(new), len(old)) > SLOWER_CHANCE:
        return 0.0
    return factor


def _chance(above: int, new: int, old: int) -> float:
    """Probability of a Mann-Whitney statistic of at least `above` if nothing changed, exactly."""
    return sum(_ways(count, new, old) for count in range(above, new * old + 1)) / comb(new + old, new)


@cache
def _ways(above: int, new: int, old: int) -> int:
    """Orders of new and old values in which a new one exceeds an old one exactly that often."""
    if above < 0 or above > new * old:
        return 0
    if new == 0 or old == 0:
        return int(above == 0)
    # The largest of all is a new one, above all old ones, or an old one, above nothing.
    return _ways(above - old, new - 1, old) + _ways(above, new, old - 1)
