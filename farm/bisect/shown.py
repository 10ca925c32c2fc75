"""What one run shows of the failure that is meant. Pure.

Whoever looks for one failure in many runs asks this: a bisection, `farm repro --run`, `farm test-patch`. Which failure
is meant they say themselves, of each single one: by the symptom of a bisection (`values.py`), or by the likeness to a
report (`farm/repro/likeness.py`). Where it is looked for, and what a run says without it, is the same for all.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from farm.bisect.values import Seen
from farm.model import Finding, Outcome, Verdict
from farm.trial import CellResult, Ended
from farm.verdict import Cause, named

# Whether a failure is the one that is meant.
Meant = Callable[[Finding], bool]
# Kind of a UserError: a stack that this kernel cannot have, say.
_USER_KIND = "user"
# What a run without a failure shows by the outcomes of its cells; what stands first outranks the others.
_WITHOUT_FAILURE = {Outcome.ERROR: Seen.HOST, Outcome.PASS: Seen.NO_BUG, Outcome.SKIP: Seen.UNASKED}


@dataclass(frozen=True)
class Shown:
    """What a run shows."""

    seen: Seen
    # The failure: the one that is meant where it showed, else what ended the cell.
    cause: Cause | None
    # A line about it.
    title: str
    # The cell that shows it; None for a run without cells.
    cell: CellResult | None = None


def classify(made: Iterable[CellResult], meant: Meant, *, booted: bool = False) -> Shown:
    """What the cells of one run show.

    The failure that is meant counts wherever it stands among those of a failed cell; another one only when it does not.
    With `booted` it has to be one of a kernel that booted.
    """
    listed = list(made)
    failed = [cell for cell in listed if cell.outcome is Outcome.FAIL]
    for cell in failed:
        if booted and not cell.ready:
            continue
        for place, one in enumerate(cell.failures):
            if meant(one):
                # What ended the testcase has a sentence of its own, which says more than the report's title.
                return Shown(Seen.BUG, named(one), one.title if place else cell.title, cell)
    if failed:
        first = failed[0]
        return Shown(Seen.OTHER if first.ready else Seen.NO_BOOT, first.cause, first.title, first)
    if not listed:
        return Shown(Seen.UNASKED, None, "no testcase ran")
    first = min(listed, key=lambda cell: tuple(_WITHOUT_FAILURE).index(cell.outcome))
    asked_too_much = first.cause is not None and first.cause.kind == _USER_KIND
    return Shown(Seen.UNASKED if asked_too_much else _WITHOUT_FAILURE[first.outcome], first.cause, first.title, first)


def told(ended: Ended, made: Sequence[CellResult], meant: Meant, *, booted: bool = False) -> Shown:
    """What a `farm run` that has ended shows by the cells that it made, as `classify` has it.

    One that tells of no cell and yet did not end as it should was killed, by a host out of memory say: no word on the
    kernel.
    """
    if not made and ended.status not in (Verdict.GOOD, Verdict.SKIP):
        return Shown(Seen.HOST, None, ended.said or f"farm run ended with status {ended.status}")
    return classify(made, meant, booted=booted)
