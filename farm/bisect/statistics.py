"""How many runs a flaky bug needs, and how sure the answer is. Pure.

A run that shows the bug is never wrong: the failure was recognised. A run that shows nothing may be luck: with a
reproduction rate p, n such runs in a row happen with (1 - p)^n on a kernel that has the bug. Nothing is known of p
but the runs themselves, so it is not estimated and then believed, but averaged over: half of all bugs are taken to
show in every run, until one run says otherwise, the other half at any rate with equal likelihood.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, lgamma

# Prior share of bugs that show in every run.
DETERMINISTIC = 0.5
# A single step may be wrong this often: the runs that mend a wrong one are cheaper than many runs at every step.
STEP_TOLERANCE = 0.15
# The end that has the bug is run until it was seen this often. Fewer are not safe: a bug that shows in 3 runs of 10
# looks like one that always shows in 1 of 11 attempts with two runs, in 1 of 37 with three.
ENOUGH = 3
# In doubt, a bug that never missed is seen this often at its end before runs elsewhere are weighed: one that shows in 3
# runs of 10 passes for one that always shows in 1 of 411 attempts then. Sights on the way do not count:
# a revision on which it missed is taken for one without it, so that those alone make it look more frequent than it is.
BELIEVED = 5
# Without ever having seen it, the end is given up after that many runs: a bug that shows in 3 runs of 10 is missed in
# 1 of 200 attempts.
GIVE_UP = 15
# Runs for the rate stop here in any case, and so do the runs of one step.
MOST = 40


def _beta(a: float, b: float) -> float:
    return exp(lgamma(a) + lgamma(b) - lgamma(a + b))


def evidence(seen: int, missed: int) -> float:
    """Probability of exactly these runs on kernels that have the bug."""
    always = DETERMINISTIC if missed == 0 else 0.0
    return always + (1 - DETERMINISTIC) * _beta(1 + seen, 1 + missed)


@dataclass(frozen=True)
class Rate:
    """How often the bug shows, from runs of kernels that are known to have it."""

    # Runs that showed it, and runs that did not.
    seen: int = 0
    missed: int = 0

    def miss(self, runs: int) -> float:
        """Probability that as many further runs all miss the bug on a kernel that has it."""
        return evidence(self.seen, self.missed + runs) / evidence(self.seen, self.missed)

    def runs(self, tolerance: float = STEP_TOLERANCE) -> int:
        """The fewest runs that all miss it with at most that probability."""
        return next((runs for runs in range(1, MOST) if self.miss(runs) <= tolerance), MOST)

    @property
    def settled(self) -> bool:
        """Whether the end that has the bug was run often enough."""
        return self.seen >= ENOUGH or (self.seen > 0 and self.seen + self.missed >= MOST)

    @property
    def hopeless(self) -> bool:
        """Whether to stop looking for the bug at the end that should have it."""
        return self.seen == 0 and self.missed >= GIVE_UP


def posterior(rate: Rate, clean: Mapping[str, int]) -> dict[str, float]:
    """Probability of each candidate for the culprit.

    `clean` has every candidate that no run excludes, with the number of runs that would have missed the bug if the
    candidate were the culprit, beside those that `rate` knows. Before any run all are equally likely.
    """
    weights = {commit: rate.miss(runs) for commit, runs in clean.items()}
    whole = sum(weights.values())
    return {commit: weight / whole for commit, weight in weights.items()} if whole else dict.fromkeys(weights, 0.0)


def steps(candidates: int, jobs: int = 1) -> int:
    """Rounds that are left when that many revisions may be the culprit and `jobs` are judged in each."""
    rounds = 0
    while candidates > 1:
        candidates = -(-candidates // (jobs + 1))
        rounds += 1
    return rounds
