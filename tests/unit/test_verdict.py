import pytest

from farm.errors import BootError, BuildError, CrashError, InfrastructureError, UserError, VerificationError
from farm.model import Finding, Outcome, Verdict
from farm.verdict import cause_of, outcome_of, verdict_of


@pytest.mark.parametrize(("error", "outcome"), [
    (None, Outcome.PASS),
    (CrashError("WARNING in f"), Outcome.FAIL),
    (BootError("no ready line"), Outcome.FAIL),
    (BuildError("does not compile"), Outcome.FAIL),
    (VerificationError("went unnoticed"), Outcome.FAIL),
    (AssertionError("1 != 2"), Outcome.FAIL),
    (InfrastructureError("QEMU ended"), Outcome.ERROR),
    (UserError("no such flavor"), Outcome.ERROR),
    (OSError("disk full"), Outcome.ERROR),
    (MemoryError(), Outcome.ERROR),
    (KeyboardInterrupt(), Outcome.ERROR),
])
def test_outcome_blames_the_right_one(error, outcome):
    assert outcome_of(error) is outcome


@pytest.mark.parametrize(("outcomes", "verdict"), [
    ([Outcome.PASS, Outcome.SKIP], Verdict.GOOD),
    ([Outcome.PASS, Outcome.FAIL, Outcome.ERROR], Verdict.BAD),
    ([Outcome.PASS, Outcome.ERROR], Verdict.STOP),
    ([Outcome.SKIP], Verdict.SKIP),
    ([], Verdict.SKIP),
])
def test_verdict_of_a_run(outcomes, verdict):
    assert verdict_of(outcomes) is verdict


def test_verdicts_are_the_exit_codes_of_git_bisect_run():
    assert [int(verdict) for verdict in (Verdict.GOOD, Verdict.BAD, Verdict.SKIP)] == [0, 1, 125]
    assert Verdict.STOP >= 128


PANIC = Finding("panic", "kernel panic: no", function="crypt_map", signature="abc")


@pytest.mark.parametrize(("error", "kind", "function"), [
    (CrashError("panic", (PANIC,)), "panic", "crypt_map"),
    (CrashError("panic", (Finding("warning", "noise", suppressed=True), PANIC)), "panic", "crypt_map"),
    (BootError("no ready line\nconsole"), "boot", ""),
    (AssertionError("1 != 2"), "assertion", ""),
    (InfrastructureError("QEMU ended"), "infrastructure", ""),
])
def test_a_failure_is_known_by_its_first_report_that_counts(error, kind, function):
    cause = cause_of(error)
    assert (cause.kind, cause.function) == (kind, function)
    assert "\n" not in cause.title


def test_numbers_do_not_make_another_bug():
    assert cause_of(AssertionError("read 0x1f at 77")).signature == cause_of(AssertionError("read 0x2 at 8")).signature
