"""The table that `farm qualify` prints."""

from dataclasses import replace

from farm.cli.qualify import render
from farm.qualify.table import Row

CAUGHT = Row("null-callback", "001", "test_crypt.py::test_a", "base", runs=3, judged=3, detected=3, right_kind=3,
             right_function=2, latency=3.1, unmodified=3, false_alarms=0, seen=("oops in f", "oops in g"), troubles=())
MISSED = replace(CAUGHT, name="harmless", judged=2, detected=0, right_kind=0, right_function=None, latency=None,
                 false_alarms=1, seen=(), troubles=("no room for the machine",))


def test_a_line_for_each_mutant_and_the_reasons_below() -> None:
    head, first, second, reason = render([CAUGHT, MISSED])
    assert head.split("  ")[0] == "mutant"
    assert " ".join(first.split()) == (
        "null-callback 001 3 of 3 right right 2 of 3 3.1 s 0 of 3 oops in f, oops in g")
    assert " ".join(second.split()) == "harmless 001 0 of 3 - - - 1 of 3 -"
    assert reason == "harmless: no room for the machine"
    assert head.index("report") == first.index("001") == second.index("001")


def test_what_a_guest_said_does_not_reach_the_terminal_as_it_is() -> None:
    hostile = replace(MISSED, seen=("oops in \x1b[2J",), troubles=("one\n\x1b]0;title\x07",))
    lines = render([hostile])
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
