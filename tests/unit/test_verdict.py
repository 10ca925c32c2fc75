import pytest

from farm.errors import BootError, BuildError, CrashError, InfrastructureError, UserError, VerificationError
from farm.model import Outcome, Verdict
from farm.verdict import outcome_of, verdict_of


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
