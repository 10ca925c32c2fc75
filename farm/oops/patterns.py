"""What a report looks like: one row per kind of first line that some version of the kernel prints.

The rows are in `sanitizers`, `faults` and `checks`; they are tried in that order, the first match wins. The kernel's
file and function beside a row is that of 6.12 unless an older version is named.
"""

import re
from dataclasses import dataclass
from functools import cached_property

KINDS = (
    "kasan", "kcsan", "kmsan", "kfence", "ubsan", "oops", "gpf", "kernel-bug", "warning", "hung-task", "rcu-stall",
    "soft-lockup", "hard-lockup", "workqueue-lockup", "lockdep", "atomic-sleep", "memory-leak", "panic", "oom",
    "stack-overflow", "verification", "io-error", "io-timeout", "fs-shutdown", "reboot", "other",
)  # fmt: skip

# A function as `%pS` prints it.
SYMBOL = r"(?P<function>[A-Za-z_$.<][\w$.<>:]*)(?:\+0x[0-9a-f]+/0x[0-9a-f]+)?"
# Titles that several kinds of report of one bug share.
BAD_ACCESS = ("bad-access in {function}",)
STALL = ("stall in {function}",)
STACK = ("stack-overflow in {function}",)


@dataclass(frozen=True)
class Pattern:
    """One row."""

    # Identifies the row; the sample of the same name in the tests proves it.
    name: str
    # One of KINDS.
    kind: str
    # Literal strings, one of which is in every matching line. In quiet output only they are searched for, each in a
    # pass of its own: few and common to many rows is quick, frequent in harmless output is not.
    words: tuple[str, ...]
    # Regular expression, searched in the text of the line.
    expression: str
    # Title; `{function}` and the groups of the expression are filled in, ` in {function}` goes when there is none.
    title: str
    # How the function is found: a key of `farm.oops.locate.WAYS`.
    where: str
    # Alternative titles, same rules; left out when there is no function.
    alternatives: tuple[str, ...] = ()
    # The report is this one line: nothing after it belongs to it.
    single: bool = False
    # Known noise: found, but never to blame.
    suppressed: bool = False

    @cached_property
    def regex(self) -> re.Pattern[str]:
        return re.compile(self.expression)
