"""What a log has reported so far: a report that only follows from an earlier one is suppressed."""

import re
from dataclasses import replace

from farm.model import Finding, json_digest
from farm.oops.lines import Line
from farm.oops.patterns import Pattern

_HANGS = frozenset({"hung-task", "rcu-stall", "soft-lockup", "hard-lockup", "workqueue-lockup"})
# After these nothing that runs on the same kernel can be trusted to make progress.
_FATAL = frozenset({"oops", "gpf", "kernel-bug", "stack-overflow", "panic", *_HANGS})
# Reasons of a panic that only carry out a policy about a report already printed (kernel/panic.c check_panic_on_warn,
# kernel/hung_task.c, kernel/watchdog.c, kernel/rcu/tree_stall.h, arch/*/kernel: die; kernel/exit.c).
_POLICY = re.compile(
    r"(?:\S+: )?panic_on_(?:warn|kmsan|oops) set|hung_task: blocked tasks|softlockup: hung tasks|Hard LOCKUP|"
    r"RCU Stall|Fatal exception|"
    r"UBSAN: panic_on_warn|KASAN: panic_on_warn|KFENCE|kfence|kasan\.fault=panic|Attempted to kill (?:init|"
    r"the idle task)|"
    r"Oops|BUG!|Fatal hardware error|Workqueue lockup|hung tasks|scheduling while atomic|Watchdog detected hard LOCKUP|"
    r"Machine halted|stack guard page|Aiee, killing interrupt handler"
)
# Signatures that are remembered, newest last.
_KEPT = 256
# Verification errors of one layer and device are told apart by sector, up to this many.
_SECTORS = 256


# A kernel that has run for so many seconds prints no banner any more.
_RUNNING = 5.0
# Lines in which the first guest time is looked for.
_LOOKED = 100


class Boots:
    """Notices a kernel that started over.

    A second banner is a reboot when it differs from the first (the rule of the kernel's tools/testing/ktest), or when
    the first kernel had already started init: before that, a console that registers late repeats the log (kernel/printk
    /printk.c, CON_PRINTBUFFER).
    """

    def __init__(self) -> None:
        self._banner = ""
        # Whether the kernel of the last banner started init.
        self.up = False
        # Guest time of the first line that has one, None until then: a log may begin with a kernel already at work.
        self.first: float | None = None
        self._looked = 0

    def note(self, line: Line) -> None:
        """Look for the first guest time; a console that shows none in its first lines shows none at all."""
        self._looked += 1
        if line.time >= 0 or self._looked >= _LOOKED:
            self.first = max(line.time, 0.0)

    def again(self, banner: str) -> bool:
        """Take note of a banner; True when it is that of another boot."""
        if not self._banner and self.first is not None and self.first > _RUNNING:
            self.up = True
        rebooted = self.up or (bool(self._banner) and banner != self._banner)
        self._banner, self.up = banner, False
        return rebooted

    def finding(self, line: Line) -> Finding:
        """The reboot that a banner shows."""
        title = "kernel started again without being told to"
        return Finding(
            kind="reboot", title=title, signature=json_digest(["reboot", title])[:16],
            start=line.start, end=line.end, text=line.text,
        )  # fmt: skip


class History:
    """Decides what is a consequence, in the order in which reports end."""

    def __init__(self) -> None:
        # Signature of a report -> where the first of them began; of an event -> how many there were.
        self._starts: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        # Where the first report began that stops the kernel, and the first of all.
        self._fatal = -1
        self._first = -1

    def began(self, pattern: Pattern, start: int) -> None:
        """A report of that pattern has begun at that offset."""
        if pattern.suppressed:
            return
        if self._first < 0:
            self._first = start
        if pattern.kind in _FATAL and self._fatal < 0:
            self._fatal = start

    def judge(self, finding: Finding, reason: str) -> Finding:
        """The finding, suppressed when it follows from an earlier one; `reason` is that of a panic."""
        repeated = self._starts.get(finding.signature, finding.start) < finding.start
        self._starts.setdefault(finding.signature, finding.start)
        if len(self._starts) > _KEPT:
            del self._starts[next(iter(self._starts))]
        follows = (
            (finding.kind == "panic" and 0 <= self._first < finding.start and _POLICY.match(reason) is not None)
            or (finding.kind in _HANGS and 0 <= self._fatal < finding.start)
            or ("D" in finding.taint and 0 <= self._fatal < finding.start)
            or (finding.kind == "reboot" and 0 <= self._fatal < finding.start)
            or repeated
        )
        return replace(finding, suppressed=True) if follows else finding

    def event(self, finding: Finding) -> Finding | None:
        """An event, or None when the same has been told often enough."""
        count = self._remember(finding.signature)
        if finding.kind == "reboot":
            return self.judge(replace(finding, signature=finding.signature + "r"), "")
        if finding.kind == "verification":
            return finding if count <= _SECTORS else None
        return finding if count == 1 else None

    def _remember(self, signature: str) -> int:
        count = self._seen.pop(signature, 0) + 1
        self._seen[signature] = count
        if len(self._seen) > _KEPT:
            del self._seen[next(iter(self._seen))]
        return count
