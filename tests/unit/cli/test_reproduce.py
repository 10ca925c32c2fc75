"""In which order `farm repro --run` tries testcases, and where it keeps what it saw."""

from farm.cli.reproduce import candidates
from farm.repro.experience import Standing
from farm.repro.ranking import Proposal
from farm.repro.understanding import understand

PROPOSALS = [Proposal(f"{name}.py::test", (), share, share, (), "base", Standing())
             for name, share in {"a": 0.9, "b": 0.5}.items()]


def test_checks_that_cost_time_come_after_everything_was_tried_without_them():
    asked = candidates(PROPOSALS, understand("a deadlock in dm-crypt"), None)
    assert asked == (
        ("a.py::test", "base"), ("b.py::test", "base"), ("a.py::test", "lockdep"), ("b.py::test", "lockdep"))


def test_several_checks_are_one_flavor():
    asked = candidates(PROPOSALS[:1], understand("a deadlock, or a use-after-free"), None)
    assert asked == (("a.py::test", "base"), ("a.py::test", "debug"))


def test_a_flavor_that_is_named_is_the_only_one():
    asked = candidates(PROPOSALS, understand("a deadlock"), "debug")
    assert asked == (("a.py::test", "debug"), ("b.py::test", "debug"))


def test_words_that_ask_for_no_check_add_nothing():
    assert candidates(PROPOSALS, understand("dm-crypt fails"), None) == (("a.py::test", "base"), ("b.py::test", "base"))
