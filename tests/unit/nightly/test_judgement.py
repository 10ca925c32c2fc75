"""Verdicts by history, on made-up histories, and how often they are wrong on simulated ones."""

import random
from dataclasses import replace
from functools import cache
from statistics import fmean

import pytest

from farm.model import Outcome
from farm.nightly import statistics
from farm.nightly.judgement import Past, judge
from farm.results.values import CellRow, Change, Series, VerdictRow

SERIES = Series("6.12", "base", "test_pi.py::test_it")
MOST = 10
LETTERS = {
    "p": CellRow(SERIES, Outcome.PASS, seconds=10.0, host="h"),
    "F": CellRow(SERIES, Outcome.FAIL, title="oops in f", kind="oops", function="f", signature="oops:f"),
    "G": CellRow(SERIES, Outcome.FAIL, title="oops in g", kind="oops", function="g", signature="oops:g"),
    "e": CellRow(SERIES, Outcome.ERROR, title="the host is out of memory"),
    "s": CellRow(SERIES, Outcome.SKIP, title="not for this flavor"),
}


def cells(letters):
    return [LETTERS[letter] for letter in letters]


def past(nights, change=None, *, broke=0, fixed=0, signature="oops:f"):
    """Nights from the oldest on, a letter a run; numbers count from 1."""
    listed = [(number, LETTERS[letter]) for number, night in enumerate(nights.split(), 1) for letter in night]
    last = VerdictRow(SERIES, change, signature if change.failing else "", "oops in f") if change else None
    return Past(tuple(reversed(listed)), last, broke, fixed)


CLEAN = past(" ".join("p" * 30), Change.PASSES)
BROKEN = past("p p p p p FFFF", Change.NEW, broke=6)
FLAKY = past("p p F p p p p p F p p p p F p p p p p p", Change.PASSES)

EXPECTED = [
    # before, tonight, verdict, whether more runs are wanted
    (Past(), "", Change.NEVER, False),
    (Past(), "s", Change.NEVER, False),
    (CLEAN, "", Change.UNKNOWN, False),
    (CLEAN, "e", Change.UNKNOWN, False),
    (BROKEN, "e", Change.UNKNOWN, False),
    (Past(), "p", Change.PASSES, False),
    (CLEAN, "p", Change.PASSES, False),
    (CLEAN, "ep", Change.PASSES, False),
    # After 30 clean nights one more failure is nearly enough.
    (CLEAN, "F", Change.NEW, True),
    (CLEAN, "FF", Change.NEW, False),
    (CLEAN, "Fp", Change.FLAKY, True),
    # A bug that shows in half of all runs passes that often by chance.
    (CLEAN, "Fpp", Change.FLAKY, True),
    (CLEAN, "Fppppp", Change.FLAKY, False),
    # What fails now and then, and never did before, is new too.
    (CLEAN, "FpF", Change.FLAKY, True),
    (CLEAN, "FpFF", Change.NEW, True),
    (CLEAN, "FpFFF", Change.NEW, False),
    # Without history it takes longer.
    (Past(), "FFF", Change.NEW, True),
    (Past(), "FFFF", Change.NEW, False),
    (Past(), "Fppp", Change.FLAKY, False),
    # What was flaky before is flaky again, unless it fails far more often now.
    (FLAKY, "F", Change.FLAKY, True),
    (FLAKY, "Fpp", Change.FLAKY, False),
    (FLAKY, "FFFF", Change.NEW, False),
    # Another failure than the flaky one is no flakiness of this one.
    (FLAKY, "GGG", Change.NEW, False),
    (BROKEN, "F", Change.STILL, False),
    (BROKEN, "pF", Change.STILL, False),
    (BROKEN, "p", Change.STILL, True),
    (BROKEN, "pp", Change.FIXED, False),
    (BROKEN, "GGGG", Change.NEW, False),
    (BROKEN, "Gpp", Change.STILL, False),
    # Failing at half of all runs: two passes are nothing.
    (past("p p FpFpFp", Change.STILL, broke=3), "pp", Change.STILL, True),
    (past("p p FpFpFp", Change.STILL, broke=3), "ppppppp", Change.FIXED, False),
    # What was failing for a month and was fixed is new when it fails again: those nights are no flakiness.
    (past("p p FFF F F F F F F pp p p p p", Change.PASSES, broke=3, fixed=10), "FFF", Change.NEW, False),
    # Many repetitions: the first failure gave cause to look, and counts for nothing.
    (CLEAN, "p" * 19 + "F", Change.FLAKY, False),
]


@pytest.mark.parametrize(("before", "tonight", "change", "undecided"), EXPECTED,
                         ids=[f"{tonight or 'nothing'}-{number}" for number, (_, tonight, *_) in enumerate(EXPECTED)])
def test_verdicts(before, tonight, change, undecided):
    made = judge(SERIES, cells(tonight), before, most=MOST)
    assert (made.verdict.change, made.undecided) == (change, undecided), made.verdict.why


def test_reruns_end_without_a_decision_and_say_so():
    made = judge(SERIES, cells("FFp"), FLAKY, most=2)
    assert not made.undecided
    assert "too few runs to be sure" in made.verdict.why


def test_a_failure_that_nobody_could_rerun_is_not_hidden():
    made = judge(SERIES, cells("F"), Past(), most=0)
    assert (made.verdict.change, made.undecided) == (Change.NEW, False)
    assert made.verdict.why == "failed 1 of 1 runs, none before; too few runs to be sure"


def test_a_flaky_verdict_has_its_rate_and_interval():
    verdict = judge(SERIES, cells("Fpp"), FLAKY, most=MOST).verdict
    assert (verdict.failures, verdict.runs, verdict.signature, verdict.title) == (4, 23, "oops:f", "oops in f")
    assert verdict.low < verdict.rate == 4 / 23 < verdict.high
    assert (round(verdict.low, 3), round(verdict.high, 3)) == (0.070, 0.371)  # R: binom::binom.wilson(4, 23)
    assert verdict.why == "failed 1 of 3 runs, 3 of 20 before"


def test_a_fix_is_told_by_what_it_failed_with():
    verdict = judge(SERIES, cells("pp"), BROKEN, most=MOST).verdict
    assert (verdict.signature, verdict.title) == ("oops:f", "oops in f")


def test_why_nothing_was_judged_is_told():
    assert judge(SERIES, cells("e"), CLEAN, most=1).verdict.why == "the host is out of memory"
    assert judge(SERIES, [], CLEAN, most=1, absent="cut by the time budget").verdict.why == "cut by the time budget"


def history_of(random_, rate, length):
    """So many nights of one run. Sorted: their order says nothing, and what is alike is judged once."""
    return " ".join(sorted(random_.choices("Fp", (rate, 1 - rate), k=length)))


@cache
def made_of(tonight, nights, change):
    """Simulations come upon the same nights thousands of times."""
    made = judge(SERIES, cells(tonight), past(nights, change), most=MOST)
    return made.verdict.change, made.undecided


def night_of(random_, rate, nights, last=Change.PASSES):
    """Carry a night out in which the first run failed."""
    tonight = "F"
    while made_of(tonight, nights, last)[1]:
        tonight += "F" if random_.random() < rate else "p"
    return made_of(tonight, nights, last)[0], len(tonight) - 1


def test_flaky_testcases_are_taken_for_new_failures_in_a_twentieth_at_most():
    """Over all rates that flaky testcases have, and histories of any length."""
    random_ = random.Random(1)
    wrong, asked, reruns = 0, 0, 0
    while asked < 800:
        rate, length = random_.betavariate(0.5, 4.5), random_.choice((0, 3, 30))
        before = history_of(random_, rate, length)
        if random_.random() < rate:  # tonight's first run
            change, more = night_of(random_, rate, before)
            asked, wrong, reruns = asked + 1, wrong + (change is Change.NEW), reruns + more
    assert wrong / asked <= 0.05
    assert reruns / asked < 6


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("length", [30, 90])
def test_old_flakiness_is_no_news_whatever_its_rate(rate, length):
    """5 % at most for every rate by itself, and not only over all of them; seen were 1.2 % to 3.8 %."""
    random_ = random.Random(3)
    histories = (history_of(random_, rate, length) for _ in range(600))
    changes = [night_of(random_, rate, one)[0] for one in histories]
    # Of 600, up to 43 is what 5 % may become by chance (three standard deviations).
    assert changes.count(Change.NEW) <= 43


@pytest.mark.parametrize(("rate", "clean", "found", "reruns"), [
    (1.0, 20, 1.0, 3), (0.7, 20, 0.95, 4.5), (0.5, 60, 0.87, 4), (0.5, 30, 0.81, 4.5), (0.5, 20, 0.77, 6.5),
    (0.5, 10, 0.6, 7.5)])
def test_new_failures_are_found_with_few_reruns(rate, clean, found, reruns):
    """At a rate of 50 %, after 20 clean nights, in 82 % of the nights in which it fails; to three deviations."""
    random_ = random.Random(2)
    nights = [night_of(random_, rate, "p " * clean) for _ in range(600)]
    assert fmean(change is Change.NEW for change, _ in nights) >= found
    assert fmean(more for _, more in nights) <= reruns


def test_what_was_missed_in_one_night_is_found_in_another():
    """A bug at 50 % that was called flaky once: that night is part of its history, and hides it no more than others."""
    random_ = random.Random(5)
    nights = [night_of(random_, 0.5, "p " * 30 + "Fpppp p", Change.FLAKY)[0] for _ in range(600)]
    assert fmean(change is Change.NEW for change in nights) >= 0.75


def test_an_interval_of_nothing_is_everything():
    assert statistics.interval(0, 0) == (0.0, 1.0)
    low, high = statistics.interval(0, 30)
    assert low == 0.0
    assert 0.10 < high < 0.12
    assert statistics.interval(30, 30)[1] == 1.0


def test_the_chance_of_ranks_is_exact():
    assert statistics._chance(3 * 10, 3, 10) == pytest.approx(1 / 286)
    assert statistics._chance(0, 3, 10) == pytest.approx(1.0)
    # R: pwilcox(20, 5, 5, lower.tail = FALSE) with >= 21
    assert statistics._chance(21, 5, 5) == pytest.approx(0.0476, abs=1e-4)


@pytest.mark.parametrize(("latest", "earlier", "factor"), [
    ([13.0, 13.5, 14.0], [10.0, 10.5, 9.5] * 4, 1.35),
    ([13.0, 13.5, 9.0], [10.0, 10.5, 9.5] * 4, 0.0),  # one of them was as fast as ever
    ([11.0, 11.0, 11.0], [10.0, 10.5, 9.5] * 4, 0.0),  # sure, and too little to look at
    ([13.0, 13.5, 14.0], [10.0, 10.5], 0.0),  # too little history to be sure
    ([13.0, 13.5], [10.0] * 30, 0.0),
    ([13.0, 13.5, 14.0], [10.0, 30.0, 9.0, 31.0] * 3, 0.0),  # it varies that much anyway
])
def test_slower_takes_three_runs_and_a_history(latest, earlier, factor):
    assert statistics.slower(latest, earlier) == factor


def test_a_testcase_is_slower_than_on_its_own_host():
    slow = replace(LETTERS["p"], seconds=15.0)
    nights = [(number, slow if number > 20 else LETTERS["p"]) for number in range(22, 0, -1)]
    assert judge(SERIES, [slow], Past(tuple(nights)), most=1).verdict.slower == 1.5
    assert judge(SERIES, [replace(slow, host="other")], Past(tuple(nights)), most=1).verdict.slower == 0.0
    assert judge(SERIES, [slow], Past(tuple(nights[1:])), most=1).verdict.slower == 0.0
