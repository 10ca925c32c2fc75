"""From the outcomes of testcases to the verdict on a revision, and what a failure is known by."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from farm.errors import FarmError, GuestError, KernelError
from farm.model import Finding, Outcome, Verdict

# Kinds of failure that no report of a kernel has: what the farm and its testcases say of themselves, by `cause_of`.
OWN_KINDS = ("assertion", "build", "boot", "crash", "hang", "no-progress", "silence", "verification", "unnoticed",
             "command", "workload", "stack", "connectionlost", "guest")
# What changes from run to run in a sentence about the same failure: numbers, and digests.
_NUMBERS = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{16,}\b|\d+")


@dataclass(frozen=True)
class Cause:
    """What ended a testcase that did not pass: the same words for the same bug in whichever run it shows."""

    # Kind of the crash report; without one `assertion`, or the farm's word: `boot`, `hang`, `workload`, `command`, …
    kind: str
    # What happened, in a line.
    title: str
    # The function where the bug is, or "".
    function: str = ""
    signature: str = ""


def cause_from_json(value: Mapping[str, Any] | None) -> Cause | None:
    """A cause from its JSON. Raises TypeError for anything else."""
    return Cause(**value) if value else None


def named(report: Finding) -> Cause:
    """What a report is known by."""
    return Cause(report.kind, report.title, report.function, report.signature)


def kind_of(error: type[BaseException]) -> str:
    """The word for an exception without a report: the farm's own by their names, all others are the testcase's."""
    return error.__name__.removesuffix("Error").lower() if issubclass(error, FarmError) else "assertion"


def cause_of(error: BaseException) -> Cause:
    """The first report that counts in what the testcase ended with, else the exception itself."""
    for report in error.reports if isinstance(error, GuestError) else ():
        if isinstance(report, Finding) and not report.suppressed:
            return named(report)
    title = (str(error).splitlines() or [type(error).__name__])[0]
    kind = kind_of(type(error))
    return Cause(kind, title, signature=f"{kind}:{_NUMBERS.sub('N', title)}")


def outcome_of(error: BaseException | None) -> Outcome:
    """Whom a testcase's exception blames.

    What is not the farm's own speaks of the kernel: it is a check of the testcase's, `farm.plugin.blame` having told
    bugs from those. An interrupt, a user's mistake and a failure of the host do not.
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
