"""An open report: its lines as they come in, when it ends, and the finding they make."""

import re
from collections.abc import Iterable

from farm.model import Finding, json_digest
from farm.oops.frames import base_name
from farm.oops.lines import Line
from farm.oops.locate import Place, locate
from farm.oops.patterns import Pattern
from farm.oops.sections import layout
from farm.oops.title import facts, fill, special

# Lines and characters of one report that are kept: a dump of many tasks, but bounded.
MAX_LINES = 1500
MAX_TEXT = 200_000
# A report whose trace has been seen ends after that many lines that are none of it; one still without, or with tables
# after the trace (mm/oom_kill.c, dump_header), later.
_FOREIGN_AFTER = 12
_FOREIGN_BEFORE = 60
# Seconds of guest time without a line of it after which a report is over. An NMI backtrace waits up to 10 s for a CPU
# (lib/nmi_backtrace.c, nmi_trigger_cpumask_backtrace).
_PAUSE = 15.0

# Reports that show several CPUs or tasks, each of which prints in its own context.
_MANY = frozenset({"hung-task", "rcu-stall", "soft-lockup", "hard-lockup", "workqueue-lockup"})
_FAULTS = frozenset({"oops", "gpf", "kernel-bug", "stack-overflow"})
# Kinds that close with a bar of `=` (mm/kasan/report.c end_report, mm/kmsan, mm/kfence, kernel/kcsan, lib/ubsan.c).
_BARRED = frozenset({"kasan", "kmsan", "kfence", "kcsan", "ubsan"})
# Kinds whose first line is repeated, by a symbolizer for each inlined function or by the kernel in other words.
_REPEATED = frozenset({"kasan", "kmsan", "kcsan", "kfence", "warning", "memory-leak", "oom"})
_BAR = re.compile(r"[=*]{40,}")
_LAST = re.compile(r"---\[ end (?:trace|Kernel panic)|Rebooting in \d+ seconds|Kernel Offset:")
_TRACE = re.compile(r"(?:\s+|\[<|\[[0-9a-f]{8,16}\] )\S.*\+0x[0-9a-f]+/0x[0-9a-f]+|.*\) from \[<")
_NMI = re.compile(r"NMI backtrace for cpu|\bCPU: \d+ PID: ")
# What the lines of a report look like: indented, a register dump, a frame, or one of the known headings.
_BODY = re.compile(
    r"\s|.*\+0x[0-9a-f]+/|\[?<?[0-9a-f]{8}|[A-Za-z][\w/ ]{0,6} ?: \[?<?[0-9a-f]{4}|[A-Z0-9]{2,5}: ?\s*[0-9a-f]{4}|"
    r"[-=*>\[]|"
    r"(?:CPU|Call|Code|Hardware|Modules|Workqueue|Process|Stack|Backtrace|stack|Tainted|Allocated|Freed|The buggy|"
    r"Memory|page|flags|raw|"
    r"head|Read|Write|Free|Bytes|which|but|other|the|and|to|this|stack|no locks|INFO|Showing|NMI|Sending|rcu|task|"
    r"Task|Kernel|Exception|"
    r"Oops|PGD|P4D|#PF|Mem|ESR|FSR|EC|SET|FnV|EA|Data|Uninit|Local|swapper|pstate|status|Internal|Unable|\w+/\d+ is|"
    r"Possible|"
    r"possible|hardirqs|softirqs|irq event|Preemption|Last|RIP|PC is|LR is|Flags|Control|Table|\d+ locks? held|"
    r"Dumping|KASAN|"
    r"pc |lr |sp |x\d|ra |epc|badaddr|Disabling|unreferenced|comm|hex dump|backtrace|object|Object|Slab|Padding|"
    r"Redzone|Bytes b4|FIX)"
)


class Report:
    """A report that has begun."""

    def __init__(self, pattern: Pattern, groups: dict[str, str], key: str, start: int, first: str) -> None:
        self.pattern = pattern
        self.groups = groups
        # Printing context that it began in.
        self.key = key
        self.start = start
        self.end = start
        # The line that began it.
        self.first = first
        # Guest time of its last line, -1 when the console has no time stamps.
        self.time = -1.0
        self.lines: list[tuple[str, str]] = []
        # Cut off by the end of the log; another report began in the middle; messages were lost.
        self.cut = self.interrupted = self.lossy = False
        # The kernel's own end mark was seen.
        self.complete = False
        # Lines before the one that began it.
        self._header = 0
        self._size = 0
        self._foreign = 0
        self._traced = False
        self._contexts: set[str] = set()

    def add(self, line: Line) -> None:
        """Take a line of it."""
        text = line.text
        self.end = max(self.end, line.end)
        self.lossy = self.lossy or line.dropped
        if len(self.lines) < MAX_LINES and self._size < MAX_TEXT:
            self.lines.append((line.caller, text))
            self._size += len(text)
        if _BODY.match(text):
            self._foreign = 0
            self.time = max(self.time, line.time)
        else:
            self._foreign += 1
            self.time = line.time if self.time < 0 else self.time
        self._traced = self._traced or _TRACE.match(text) is not None
        self.complete = self.complete or self._closes(text)

    def _closes(self, text: str) -> bool:
        if self.pattern.kind in _BARRED and len(self.lines) > 3 and _BAR.fullmatch(text.strip()):
            return True
        return _LAST.search(text) is not None or self._killed(text)

    def before(self, lines: Iterable[tuple[str, str]]) -> None:
        """Take lines that were printed before the one that began it, and belong to it."""
        self.lines.extend(lines)
        self._header = len(self.lines)

    def claims(self, text: str) -> bool:
        """Whether a line is one of the report rather than a message of its own."""
        return text[:1].isspace() or _TRACE.match(text) is not None or self._killed(text)

    def _killed(self, text: str) -> bool:
        """Whether the line closes a report of memory pressure."""
        return self.pattern.kind == "oom" and "Killed process" in text

    def absorbs(self, pattern: Pattern) -> bool:
        """Whether a first line of another pattern, in the same context, only continues this report."""
        kind = self.pattern.kind
        if pattern.kind == "panic":
            return pattern.name != "stack-end" and kind != "oom"
        if pattern.name == "slub-track" or kind == pattern.kind == "rcu-stall":
            return True
        return not self._traced and self._introduces(pattern)

    def _introduces(self, pattern: Pattern) -> bool:
        """Whether the lines so far are but another beginning of a report of that pattern."""
        kind = self.pattern.kind
        if pattern.kind in _FAULTS and (kind in _FAULTS or self.pattern.name in ("rust-panic", "cfi")):
            return True
        if self.pattern.name == "cfi" and pattern.name == "warning":
            return True
        if kind == "other" and pattern.kind in ("warning", "kernel-bug"):
            return True
        return pattern is self.pattern and kind in _REPEATED

    def leads_to(self, pattern: Pattern) -> bool:
        """Whether it only prepares a report of another pattern: without a task to kill, memory pressure is a panic."""
        return self.pattern.kind == "oom" and pattern.kind == "panic"

    def shares(self, line: Line) -> bool:
        """Whether a line of another context belongs to it: the backtraces of other CPUs."""
        if line.caller in self._contexts:
            return True
        if line.caller and self.pattern.kind in _MANY and _NMI.search(line.text):
            self._contexts.add(line.caller)
            return True
        return False

    def stale(self, line: Line) -> bool:
        """Whether a line of any context shows that the report is over."""
        return self.time >= 0 and line.time > self.time + _PAUSE

    @property
    def settled(self) -> bool:
        """Whether its trace has been seen, so that a new mark begins something else."""
        return self._traced

    @property
    def ended(self) -> bool:
        limit = _FOREIGN_AFTER if self._traced and self.pattern.kind != "oom" else _FOREIGN_BEFORE
        return self.complete or self._foreign >= limit or len(self.lines) >= MAX_LINES or self._size >= MAX_TEXT

    def finding(self) -> Finding:
        """What it says."""
        about = facts(self.lines, self.groups)
        rule = special(self.pattern, self.groups, self.lines)
        named = base_name(self.groups.get("function", ""))
        place, others = locate(rule.where, layout(self.lines[self._header :]), named)
        words = {**self.groups, **about.words, "function": place.function}
        title = fill(rule.title, words)
        alternatives = [fill(template, words) for template in rule.alternatives if place.function]
        for other in others:
            renamed = {**words, "function": other}
            alternatives += [fill(template, renamed) for template in (rule.title, *rule.alternatives)]
        return Finding(
            kind=rule.kind, title=title, function=place.function, frames=place.frames,
            signature=self._signature(rule.kind, title, place), alt_titles=tuple(dict.fromkeys(alternatives)),
            process=about.process, workqueue=about.workqueue, taint=about.taint, kernel=about.kernel,
            corrupted=self._corrupted(place), suppressed=self.pattern.suppressed,
            start=self.start, end=self.end, text=self._text,
        )  # fmt: skip

    def unread(self, error: Exception) -> Finding:
        """What is sure when its analysis failed: the kind, and the lines as they are."""
        kind = self.pattern.kind
        title = f"{kind} report that the farm could not read ({type(error).__name__})"
        return Finding(
            kind=kind, title=title, signature=json_digest([kind, self.pattern.name, "unread"])[:16], corrupted=True,
            suppressed=self.pattern.suppressed, start=self.start, end=self.end, text=self._text,
        )  # fmt: skip

    @property
    def _text(self) -> str:
        return "\n".join(text for _, text in self.lines)

    def _signature(self, kind: str, title: str, place: Place) -> str:
        """The kind, the title, and the first specific frames: nothing that an address or a CPU number is part of."""
        specific = [frame.function for frame in place.frames if not frame.generic and not frame.inlined]
        return json_digest([kind, title, specific[:3]])[:16]

    def _corrupted(self, place: Place) -> bool:
        if self.lossy or place.doubtful:
            return True
        if self.pattern.where in ("none", "pool"):
            return False
        stopped = (self.interrupted or self.cut) and not self._traced and self.pattern.where != "panic"
        return stopped or not place.function
