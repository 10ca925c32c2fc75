"""What follows from the runs of a history, and from those of its end with a commit taken out."""

import pytest

from farm.bisect.history import BEYOND, Evidence, History
from farm.bisect.values import Run, Seen

BUG, CLEAN = Seen.BUG, Seen.NO_BUG
LINE = History("c0", "c4", {"c4": ("c3",), "c3": ("c2",), "c2": ("c1",), "c1": ()})
RUNS = [("c0", CLEAN), ("c4", BUG), ("c4", BUG), ("c1", CLEAN), ("c2", BUG)]


def culprits(*proofs, fix=False):
    runs = [Run(commit, seen) for commit, seen in RUNS]
    if fix:
        runs = [Run(run.commit, CLEAN if run.seen is BUG else BUG) for run in runs]
    return Evidence(LINE, runs, fix, [Run(commit, seen) for commit, seen in proofs]).culprits()


def test_an_end_that_is_free_of_the_bug_without_a_commit_speaks_for_that_commit():
    before, after = culprits(), culprits(("c2", CLEAN))
    assert after["c2"] > before["c2"]
    assert all(after[other] < before[other] for other in ("c1", BEYOND))
    assert set(after) == {"c1", "c2", BEYOND}


@pytest.mark.parametrize("seen", [[BUG], [CLEAN, BUG], [Seen.OTHER], [Seen.NO_BUILD]])
def test_an_end_that_has_the_bug_all_the_same_or_cannot_be_judged_tells_nothing(seen):
    assert culprits(*[("c2", one) for one in seen]) == culprits()


def test_a_bug_that_is_back_without_a_commit_was_mended_by_it():
    before, after = culprits(fix=True), culprits(("c2", BUG), fix=True)
    assert before["c3"] > 0
    assert set(after) == {"c2", BEYOND}
    assert after["c2"] > before["c2"]
    assert culprits(("c2", CLEAN), fix=True) == before


def test_a_commit_that_has_the_bug_has_not_mended_it_alone_though_it_is_back_without_it():
    assert culprits(("c1", BUG), fix=True) == culprits(fix=True)
