"""From the outcomes of testcases to the verdict on a revision."""

from collections.abc import Iterable

from farm.errors import FarmError, KernelError
from farm.model import Outcome, Verdict


def outcome_of(error: BaseException | None) -> Outcome:
    """Whom a testcase's exception blames.

    What is not the farm's own (an assertion of the testcase, say) speaks of the kernel; an interrupt, a user's
    mistake and a failure of the host do not.
    """
    if error is None:
        return Outcome.PASS
    if isinstance(error, KernelError):
        return Outcome.FAIL
    if isinstance(error, FarmError | OSError | MemoryError | KeyboardInterrupt | SystemExit):
        return Outcome.ERROR
    return Outcome.FAIL


def verdict_of(outcomes: Iterable[Outcome]) -> Verdict:
    """The verdict of a whole run: one failure is bad whatever else happened; good takes at least one pass.

    A run whose host failed stops a bisection, one in which nothing could be asked skips the revision.
    """
    seen = set(outcomes)
    if Outcome.FAIL in seen:
        return Verdict.BAD
    if Outcome.ERROR in seen:
        return Verdict.STOP
    return Verdict.GOOD if Outcome.PASS in seen else Verdict.SKIP
