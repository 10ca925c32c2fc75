"""The plan, the record and the table of a qualification."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from farm import trial
from farm.errors import UserError
from farm.model import Outcome, Verdict
from farm.options import OPTIONS
from farm.qualify.execute import Qualification, begin, describe
from farm.qualify.journal import FILE, Journal, Record
from farm.qualify.mutant import Mutant
from farm.qualify.plan import UNMODIFIED, Step, steps
from farm.qualify.table import Row, rows, verdict_on
from farm.results.alone import alone_in

ONE = Mutant("one", Path("one.patch"), "d1", "a bug", "000", "f.c:f", ("6.12",), "test_crypt.py::test_a", ("oops",),
             ("f", "g"), "base")
TWO = replace(ONE, name="two", digest="d2", report="001", kinds=("hung-task", "no-progress"), functions=())
THREE = replace(ONE, name="three", flavor="kasan")


def ended(step: Step, outcome: Outcome, kind: str = "", function: str = "", latency: float = -1.0) -> Record:
    return Record(step, outcome, kind=kind, function=function, title=kind and f"{kind} in {function}", latency=latency)


def table_of(mutants: list[Mutant], runs: int, *records: Record) -> tuple[tuple[Row, ...], Verdict]:
    table = rows(mutants, runs, {record.step: record for record in records})
    return table, verdict_on(table, records)


def test_a_testcase_is_run_on_the_unmodified_kernel_once_for_all_its_mutants() -> None:
    planned = [(step.kernel, step.number) for step in steps([ONE, TWO, THREE], 2)]
    assert planned == [
        ("one", 1), ("one", 2), ("unmodified-base", 1), ("unmodified-base", 2), ("two", 1), ("two", 2), ("three", 1),
        ("three", 2), ("unmodified-kasan", 1), ("unmodified-kasan", 2)]


def test_a_row_counts_what_was_named() -> None:
    first, second, third, clean, *_ = steps([ONE], 3)
    table, verdict = table_of(
        [ONE], 3, ended(first, Outcome.FAIL, "oops", "f", 3.0), ended(second, Outcome.FAIL, "oops", "h", 5.0),
        ended(third, Outcome.FAIL, "kasan", "g", 9.0), ended(clean, Outcome.PASS))
    (row,) = table
    assert (row.detected, row.right_kind, row.right_function, row.latency) == (3, 2, 2, 5.0)
    assert (row.unmodified, row.false_alarms) == (1, 0)
    assert row.seen == ("kasan in g", "oops in f", "oops in h")
    assert not row.caught
    assert verdict is Verdict.BAD


@pytest.mark.parametrize(("runs", "wrong", "caught"), [(1, 0, True), (1, 1, False), (9, 1, False), (10, 1, True),
                                                       (10, 2, False), (20, 2, True)])
def test_nine_of_ten_is_enough(runs: int, wrong: int, caught: bool) -> None:
    records = [ended(step, Outcome.PASS if step.mutant == UNMODIFIED or step.number <= wrong else Outcome.FAIL,
                     "oops", "f") for step in steps([ONE], runs)]
    table, verdict = table_of([ONE], runs, *records)
    assert table[0].caught is caught
    assert verdict is (Verdict.GOOD if caught else Verdict.BAD)


@pytest.mark.parametrize(("mutated", "unmodified", "verdict"), [
    (Outcome.FAIL, Outcome.PASS, Verdict.GOOD),
    (Outcome.FAIL, Outcome.FAIL, Verdict.BAD),
    (Outcome.PASS, Outcome.PASS, Verdict.BAD),
    (Outcome.ERROR, Outcome.PASS, Verdict.STOP),
    (Outcome.FAIL, Outcome.ERROR, Verdict.STOP),
    (Outcome.SKIP, Outcome.PASS, Verdict.SKIP),
    (Outcome.ERROR, Outcome.FAIL, Verdict.BAD),
])
def test_an_error_is_no_escape(mutated: Outcome, unmodified: Outcome, verdict: Verdict) -> None:
    mutant, clean = steps([ONE], 1)
    table, got = table_of([ONE], 1, ended(mutant, mutated, "oops", "f"), ended(clean, unmodified, "infrastructure"))
    assert got is verdict
    assert bool(table[0].troubles) is (verdict in (Verdict.STOP, Verdict.SKIP) or mutated is Outcome.ERROR)


def test_a_function_that_nobody_can_name_is_not_asked_for() -> None:
    first, clean = steps([TWO], 1)
    table, verdict = table_of([TWO], 1, ended(first, Outcome.FAIL, "no-progress"), ended(clean, Outcome.PASS))
    assert (table[0].right_function, verdict) == (None, Verdict.GOOD)


def test_the_journal_outlives_a_line_cut_off(tmp_path: Path) -> None:
    first, second = steps([ONE], 1)
    journal = Journal(tmp_path)
    assert journal.read() == {}
    journal.append(ended(first, Outcome.FAIL, "oops", "f", 2.5))
    with (tmp_path / FILE).open("a") as out:
        out.write('{"step": {"mutant": "", "test')
    assert list(journal.read()) == [first]
    journal.append(ended(second, Outcome.PASS))
    assert Journal(tmp_path).read() == {first: ended(first, Outcome.FAIL, "oops", "f", 2.5),
                                        second: ended(second, Outcome.PASS)}


def test_a_record_in_a_line() -> None:
    step = Step("one", "test_crypt.py::test_a", "base", 2)
    assert describe(ended(step, Outcome.FAIL, "oops", "f", 2.5)) == "one, run 2: failed after 2.5 s of load: oops in f"
    assert describe(ended(step, Outcome.PASS)) == "one, run 2: passed"
    assert describe(Record(step, Outcome.ERROR, title="no room")) == "one, run 2: could not be asked: no room"


def test_the_same_request_goes_on_where_it_was(tmp_path: Path) -> None:
    tcg = {"accel": "tcg"}
    begun = begin([ONE], 2, tcg, tmp_path, kernel="k")
    assert begin([ONE], 2, tcg, tmp_path, kernel="k") == begun
    assert begin([ONE], 2, tcg, tmp_path / "elsewhere", kernel="k", resume=begun.directory) == begun
    assert begin([ONE], 3, tcg, tmp_path, kernel="k").directory != begun.directory
    assert begin([ONE], 2, tcg, tmp_path, kernel="other").directory != begun.directory
    with pytest.raises(UserError, match=r"not begun with these .* \(other mutants: .*one, two.*; runs: 2, now 1\)"):
        begin([TWO], 1, tcg, tmp_path, kernel="k", resume=begun.directory)
    with pytest.raises(UserError, match="not the run directory of a farm qualify"):
        begin([ONE], 2, tcg, tmp_path, kernel="k", resume=tmp_path)
    about = begun.directory / "qualify.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "verdict": "good"}))
    assert begin([ONE], 2, tcg, tmp_path, kernel="k").directory != begun.directory


@pytest.mark.parametrize(("outcomes", "outcome"), [
    (["pass", "fail"], Outcome.FAIL), (["error", "fail"], Outcome.FAIL), (["pass", "error"], Outcome.ERROR),
    (["skip", "pass"], Outcome.PASS)])
def test_a_testcase_with_parameters_fails_with_any_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: list[str], outcome: Outcome,
) -> None:
    class Ran:
        """A `farm run` of several cells."""

        def __init__(self, arguments: Sequence[str], log: Path) -> None:
            self._log = log

        def wait(self) -> trial.Ended:
            rows = [{"testcase": "t", "outcome": one, "title": one, "directory": ""} for one in outcomes]
            return trial.Ended(0, {"cells": rows}, self._log, 1.0, stopped=False)

    monkeypatch.setattr(trial, "Command", Ran)
    options = {option.name: [] if option.multiple else option.default for option in OPTIONS}
    begun = begin([ONE], 1, options, tmp_path, kernel="k")
    record = begun._run(next(steps([ONE], 1)))
    assert (record.outcome, record.title) == (outcome, outcome.value)


def test_two_processes_do_not_carry_out_the_same(tmp_path: Path) -> None:
    begun = begin([ONE], 1, {}, tmp_path, kernel="k")
    again = begin([ONE], 1, {}, tmp_path, kernel="k")
    # Both have its only step behind them, so that neither would run anything.
    for step in steps([ONE], 1):
        Journal(begun.directory).append(ended(step, Outcome.PASS))
    with alone_in(begun.directory, "qualifies"), pytest.raises(UserError, match="another process qualifies in"):
        again.carry_out(lambda _: None)
    assert again.carry_out(lambda _: None)[1] is Verdict.BAD


def test_what_the_host_failed_is_built_ahead_as_all_that_is_to_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = begin([ONE], 1, {}, tmp_path, kernel="k")
    mutated, clean = steps([ONE], 1)
    Journal(begun.directory).append(ended(clean, Outcome.ERROR, "infrastructure"))
    built, run = [], []

    class Built:
        """A build that has ended."""

        is_running = False

        def wait(self) -> None:
            pass

    def build(_: Qualification, step: Step) -> Built:
        built.append(step)
        return Built()

    def passes(_: Qualification, step: Step) -> Record:
        run.append(step)
        return ended(step, Outcome.PASS)

    monkeypatch.setattr(Qualification, "_build", build)
    monkeypatch.setattr(Qualification, "_run", passes)
    begun.carry_out(lambda _: None)
    assert (built, run) == ([clean], [mutated, clean])
