"""Which failure counts as the one of a report."""

import json
from dataclasses import asdict

import pytest

from farm import trial
from farm.bisect.shown import classify
from farm.bisect.values import Seen
from farm.model import Finding, Frame, Outcome
from farm.oops import KINDS
from farm.repro.failures import FAILURES, spoken_of
from farm.repro.likeness import likeness
from farm.repro.understanding import understand
from farm.verdict import OWN_KINDS, Cause

OOPS = """\
[   12.345678] BUG: kernel NULL pointer dereference, address: 0000000000000018
[   12.345680] Oops: Oops: 0000 [#1] PREEMPT SMP
[   12.345681] CPU: 1 UID: 0 PID: 22 Comm: kworker/u8:1 Not tainted 6.12.3 #1
[   12.345683] RIP: 0010:crypt_convert+0x1a/0x400
[   12.345684] Call Trace:
[   12.345685]  <TASK>
[   12.345686]  kcryptd_crypt+0x33/0x400
[   12.345687]  process_one_work+0x1e7/0x400
[   12.345689]  </TASK>
[   12.345690] ---[ end trace 0000000000000000 ]---
"""


def frames(*names):
    return tuple(Frame(name, generic=name in ("process_one_work", "schedule")) for name in names)


@pytest.mark.parametrize(("seen", "same"), [
    (Finding("oops", "t", "crypt_convert"), True),
    # Another compiler inlines otherwise: one of them stands in the trace of the other.
    (Finding("oops", "t", "kcryptd_crypt"), True),
    (Finding("oops", "t", "crypt_iv_plain64_gen", frames("crypt_iv_plain64_gen", "crypt_convert")), True),
    (Finding("oops", "t", "xfs_iget", frames("xfs_iget", "process_one_work")), False),
    (Finding("warning", "t", "crypt_convert"), False),
    # The same access, noticed by KASAN before it faults.
    (Finding("kasan", "t", "crypt_convert", alt_titles=("bad-access in crypt_convert",)), True),
    (Finding("hung-task", "t", "crypt_convert"), False),
])
def test_a_crash_report_is_matched_by_kind_and_place(seen, same):
    report = understand(OOPS)
    assert [one.function for one in report.findings] == ["crypt_convert"]
    one = likeness(report)
    assert one.covers(seen) is same
    assert "oops in crypt_convert" in one.text


@pytest.mark.parametrize(("seen", "same"), [
    (Finding("oops", "t", "kcryptd_crypt"), True),
    (Finding("oops", "t", "xfs_iget", frames("xfs_iget", "crypt_convert")), True),
    (Finding("oops", "t", "xfs_iget", frames("xfs_iget")), False),
    (Finding("warning", "t", "crypt_convert"), False),
])
def test_of_a_crash_report_that_is_cut_off_the_rest_of_the_report_says_where(seen, same):
    report = understand("It dies in dm-crypt:\n" + OOPS.partition("[   12.345683]")[0])
    assert [(one.kind, one.function) for one in report.findings] == [("oops", "")]
    one = likeness(report)
    assert one.covers(seen) is same
    assert "oops with a function that it names, or one of its subjects'" in one.text
    # Where nothing is named, the kind is all there is.
    alone = likeness(understand("BUG: kernel NULL pointer dereference, address: 0000000000000018\n"))
    assert alone.covers(seen) is (seen.kind == "oops")
    assert "oops anywhere" in alone.text


@pytest.mark.parametrize(("seen", "same"), [
    (Finding("hung-task", "t", "crypt_convert"), True),
    (Finding("hung-task", "t", "io_schedule", frames("io_schedule", "schedule", "shrink_node")), True),
    (Finding("lockdep", "t", "kcryptd_crypt"), True),
    (Finding("no-progress", "no progress in fio"), True),
    (Finding("hung-task", "t", "nfs_wait"), False),
    (Finding("oops", "t", "crypt_convert"), False),
    # Spoken of less, so it has to say where it was.
    (Finding("verification", "t", layer="dm-crypt-aead"), False),
    (Finding("io-error", "t", "crypt_convert"), True),
])
def test_without_a_crash_report_the_words_say_which_kind(seen, same):
    one = likeness(understand("There is a deadlock in dm-crypt: crypt_convert() recurses by GFP_KERNEL. A deadlock!\n"
                              "It might lead to data corruption one day."))
    assert one.covers(seen) is same
    assert "deadlock" in one.text


@pytest.mark.parametrize(("seen", "same"), [
    (Finding("oops", "t", "kcryptd_crypt"), True),
    (Finding("warning", "t", "skcipher_walk_first", frames("skcipher_walk_first", "crypt_convert")), True),
    (Finding("oops", "t", "xfs_iget"), False), (Finding("oom", "t", "crypt_convert"), False),
    (Finding("assertion", "left over"), False),
])
def test_without_any_word_of_a_failure_a_crash_report_at_the_place_counts(seen, same):
    one = likeness(understand("In dm-crypt crypt_convert() needs a callback."))
    assert one.covers(seen) is same
    assert "names no kind of failure" in one.text


def test_what_is_quoted_again_counts_once():
    spoken = spoken_of("it hangs\nmemory leak, use after free, another leak\n")
    assert next(iter(spoken.items())) == ("leak", 2)
    assert spoken_of("it hangs\nit hangs\nit hangs") == {"deadlock or hang": 1}
    assert spoken_of("all is well") == {}


def test_every_failure_has_words_and_kinds():
    for one in FAILURES:
        assert one.kinds
        assert not one.words.search("")


def cells(directory):
    """The cell in a run directory, as whoever ran it is told of it."""
    about = json.loads((directory / "result.json").read_bytes())
    row = {"testcase": "t", "outcome": about["outcome"], "title": about["title"], "directory": str(directory)}
    return trial.cells(trial.Ended(0, {"cells": [row]}, directory, 1.0, stopped=False))


def cause(*words):
    return asdict(Cause(*words))


@pytest.mark.parametrize(("outcome", "facts", "seen"), [
    (Outcome.FAIL, {"ready": True}, Seen.BUG), (Outcome.PASS, {}, Seen.NO_BUG), (Outcome.SKIP, {}, Seen.UNASKED),
    (Outcome.ERROR, {"cause": cause("infrastructure", "disk full")}, Seen.HOST),
    (Outcome.ERROR, {"cause": cause("user", "an impossible stack")}, Seen.UNASKED),
    # What ended it is something else, but the report's failure is among those seen.
    (Outcome.FAIL, {"cause": cause("no-progress", "no progress in fio"), "ready": True}, Seen.BUG),
])
def test_what_a_recorded_run_shows_of_a_report(make_run, outcome, facts, seen):
    meant = likeness(understand("cryptd_skcipher_complete() in dm-crypt: NULL pointer dereference"))
    shown = classify(cells(make_run(outcome=outcome, **facts)), meant.covers)
    assert shown.seen is seen
    assert seen is not Seen.BUG or shown.cause.function == "cryptd_skcipher_complete"


@pytest.mark.parametrize(("ready", "seen"), [(True, Seen.OTHER), (False, Seen.NO_BOOT)])
def test_another_failure_is_not_taken_for_it(make_run, ready, seen):
    shown = classify(cells(make_run(ready=ready)), likeness(understand("zswap_store() deadlocks in zswap")).covers)
    assert (shown.seen, shown.cause.function) == (seen, "cryptd_skcipher_complete")


def test_failures_end_in_kinds_that_there_are() -> None:
    known = {*KINDS, *OWN_KINDS}
    assert {kind for one in FAILURES for kind in one.kinds} <= known
