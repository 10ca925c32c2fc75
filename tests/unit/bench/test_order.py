"""Histories whose commits are known, bisected without kernels."""

from pathlib import Path

import pytest

from bench import order
from bench.measure import BenchError
from farm.bisect.values import Answer
from farm.qualify.mutant import Mutant
from tests.unit.bench.test_history import made, mutant, tree

__all__ = ["mutant", "tree"]


def test_answers_follow_from_what_the_commits_are(tree: Path, mutant: Mutant) -> None:
    _, planted = made(tree, mutant, 1)
    answers = [order.answer(planted, commit) for commit in planted.commits]
    assert (answers[0], answers[planted.place - 1], answers[planted.place], answers[-1]) == (
        Answer.NO_BUG, Answer.NO_BUG, Answer.BUG, Answer.BUG)
    assert Answer.SKIP in answers


def test_both_orders_come_to_an_end(tree: Path, mutant: Mutant) -> None:
    _, planted = made(tree, mutant, 1)
    halving, troubles = 5, sum(order.answer(planted, one) is Answer.SKIP for one in planted.commits)
    for who, speaks_of in (("git", {}), ("suspects", {}), ("suspects", {"crypt_ctr": 100.0})):
        assert 2 <= order.judged(planted, tree / ".git", who, speaks_of) <= halving + 2 + troubles


def test_a_mutant_that_was_not_caught_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no run that caught x"):
        order.clues_of(tmp_path, "x")
