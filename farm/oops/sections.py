"""The lines of a report into call traces, each with a label that says whose trace it is."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from farm.model import Frame
from farm.oops.frames import base_name, parse_frames, parse_register

# Line (without prefix and white space) -> label of the trace that follows. First match wins.
#   main      where the report was made
#   chain     lockdep's history of other lock acquisitions (kernel/locking/lockdep.c, print_circular_bug_entry)
#   history   allocation, free, work creation (mm/kasan/report.c, mm/slub.c), lock state (print_irq_inversion_bug)
#   origin    where uninitialised memory came from (mm/kmsan/report.c, kmsan_print_origin)
#   cpu       NMI backtrace of a CPU (lib/nmi_backtrace.c, nmi_cpu_backtrace)
#   kthread   the grace-period thread of RCU (kernel/rcu/tree_stall.h, rcu_check_gp_kthread_starvation)
#   task      a task shown by sched_show_task (kernel/sched/core.c)
#   locks     who holds which lock (kernel/locking/lockdep.c, debug_show_all_locks)
_LABELS = (
    ("trace", r"(?:Call Trace|Call trace|Backtrace|backtrace|Trace|Stack traceback)\b.{0,24}:?.{0,20}"),
    ("main", r"stack backtrace:"),
    ("chain", r"-> #\d+ .*|the existing dependency chain.*|which lock already depends.*|"
              r"the (?:SOFTIRQ|HARDIRQ|RECLAIM_FS)-irq-(?:un)?safe lock(?: dependencies)?.*|"
              r"(?:to )?the dependencies between .*|\.{0,3} ?key +at: .*|\.{3} acquired at:|"
              r"(?:IN|INITIAL|HARDIRQ|SOFTIRQ|RECLAIM)[-_A-Z]* (?:USE |READ USE )?at:|"
              r"(?:but this new dependency|which became|to a ).*|[a-z ]*the shortest dependencies.*"),
    ("history", r"(?:INFO: )?(?:Allocated|Freed|Last potentially related work creation|Second to last "
                r"potentially related work creation|Last call_rcu|Last aux work|Allocated by task|Freed by task)\b.*|"
                r"\{.*\} state was registered at:|(?:hard|soft)irqs last .*|irq event stamp.*|"
                r"(?:allocated|freed) by task .*|page last (?:allocated|free).*|page_owner .*|"
                r"Preemption disabled at:|(?:last )?(?:sleeping|softirqs).*at: .*|page (?:allocated|last free).*|"
                r"Memory state around .*|Disabling lock debugging.*|reset by .*|"
                r"read to 0x.*|write to 0x.*|read-write to 0x.*|(?:hardirqs|softirqs) .*:"),
    ("origin", r"(?:Uninit was (?:stored|created)|Local variable|==> Memory|chained origin|origin).*(?:at|:).*"),
    ("cpu", r"(?:watchdog: )?(?:NMI backtrace for cpu|CPU: ?\d+ is not responding|NMI watchdog: .*cpu).*"),
    ("kthread", r"(?:rcu: )?(?:RCU grace-period kthread stack dump|.*kthread (?:starved|timer wakeup)).*"),
    ("locks", r"Showing all locks held in the system.*|\d+ locks? held by .*"),
    ("task", r"task:\S.* state:[A-Z]\b.*|"
             r"\S.{0,40}\s[RSDTtXZPIK] {0,16}+(?:running task\b.*|[ 0-9a-f]{1,64} 0x[0-9a-f]{8}\b.*)"),
    ("end", r"Modules linked in:.*|---\[ end (?:trace|Kernel).*|Kernel Offset:.*|Rebooting in .*|Dumping ftrace.*|"
            r"Kernel panic - not syncing.*|Memory limit:.*"),
)
# The CPU line that dump_stack and show_regs begin with (lib/dump_stack.c, dump_stack_print_info).
_CPU = re.compile(r"CPU: ?\d+ (?:UID: \d+ )?PID: ?-?\d+ ")
# Sections after which that line begins a report's own trace again.
_ASIDE = frozenset({"chain", "history", "locks", "origin"})
# lockdep's `..., at: func+0x1/0x2` and what it is about (kernel/locking/lockdep.c, print_lock).
_AT = re.compile(r"\bat:? (?:\[<[0-9a-f]+>\] )?(?P<name>[A-Za-z_$.][\w$.]*)(?:\+0x| \S+:\d+ \[inline\])")
_WANTS = re.compile(
    r"is trying to (?:acquire|release) lock|^\S+ takes:|is trying to lock:|\btakes:$|trying to contend lock|"
    r"with a lock still held there|leaving the kernel with locks still held|still has locks held"
)
_HOLDS = re.compile(r"already holding lock|already held|task is already holding")
# An instruction pointer in the kernel's code segment that points at no function.
_NOWHERE = re.compile(r"RIP: 0010:(?:0x)?0*\b|E?IP: (?:0x0|\(null\))|PC is at 0x0|pc : 0x0")
# kernel/workqueue.c, show_pwq: `in-flight: 57:kcryptd_crypt for 40s`; process_one_work, which found a work that did not
# clean up: `preempt=0x00000001 lock=0->0 RCU=0->0 workfn=kcryptd_crypt`, `last function: kcryptd_crypt` until 6.9.
_IN_FLIGHT = re.compile(r"in-flight: \d+(?:\(RESCUER\))?:(?P<name>[\w.]+)")
_LAST_WORK = re.compile(r"(?:preempt=.* workfn=|last function: )(?P<name>[\w.]+)")
_LABEL = re.compile("|".join(f"(?P<{label}>{pattern})" for label, pattern in _LABELS))

@dataclass
class Section:
    """One call trace."""

    # See _LABELS; `trace` for one whose owner is not said.
    label: str
    # The line that led to the label.
    title: str = ""
    # Frames the unwinder vouches for, innermost first, interrupted code included.
    frames: list[Frame] = field(default_factory=list)
    # All frames, stale ones included.
    guesses: list[Frame] = field(default_factory=list)
    # Indexes into `frames` of code addresses taken from registers: there an exception or interrupt came in.
    entries: list[int] = field(default_factory=list)

    def add(self, frame: Frame, reliable: bool, register: bool = False) -> None:
        if reliable:
            if register:
                self.entries.append(len(self.frames))
            if register or not self.frames or not _repeats(self.frames[-1], frame):
                self.frames.append(frame)
        self.guesses.append(frame)


@dataclass
class Registers:
    """Code addresses from one register dump."""

    # Where it stopped: RIP, EIP, IP, PC, EPC or NIP.
    at: Frame | None = None
    # The instruction pointer has been printed, with or without a name (a jump to NULL has none).
    known: bool = False


@dataclass
class Layout:
    """What a report consists of."""

    sections: list[Section] = field(default_factory=list)
    # The first register dump.
    registers: Registers = field(default_factory=Registers)
    # lockdep: the function that wanted (or dropped) a lock, and the one that took the lock already held.
    acquiring: str = ""
    holding: str = ""
    # Workqueues: the first work that is being done, or the one that was done last.
    work: str = ""

    def main(self) -> list[Section]:
        """The traces of where the report was made, other people's traces left out."""
        return [section for section in self.sections if section.label in ("main", "trace") and section.guesses]


def _repeats(last: Frame, new: Frame) -> bool:
    """ARM names each frame twice: as the caller of one line and as the callee of the next."""
    return last.function == new.function and not new.offset and not new.inlined


class _Reader:
    """Sections of one printing context."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.current: Section | None = None
        self.label = "trace"
        self.title = ""
        # Registers seen before the trace that they belong to.
        self.waiting: list[Frame] = []
        # Which of the layout's lock functions the next `at:` gives.
        self.lock = ""
        self.inlined = False

    def line(self, text: str) -> None:
        frames = parse_frames(text)
        if self.lock and self._lock(text, frames):
            return
        if frames:
            self._section()
            for frame, reliable in frames:
                assert self.current is not None
                self.current.add(frame, reliable)
            return
        stripped = text.strip()
        if not stripped:
            return
        register = parse_register(text)
        if register:
            self._register(*register)
            return
        if _NOWHERE.match(stripped):
            self.layout.registers.known = True
        self._facts(stripped)
        match = _LABEL.fullmatch(stripped)
        if match:
            self._label(match.lastgroup or "", stripped)
        elif self.label in _ASIDE and _CPU.match(stripped):
            self.label, self.title, self.current = "trace", "", None

    def _facts(self, text: str) -> None:
        if _WANTS.search(text):
            self.lock = "acquiring"
        elif _HOLDS.search(text):
            self.lock = "holding"
        elif not self.layout.work and text.startswith(("in-flight", "preempt=", "last function")):
            match = _IN_FLIGHT.match(text) or _LAST_WORK.match(text)
            self.layout.work = base_name(match["name"]) if match else ""

    def _lock(self, text: str, frames: list[tuple[Frame, bool]]) -> bool:
        """Take the `at:` of a lock, which old kernels print on a line of its own."""
        match = _AT.search(text)
        name = base_name(match["name"]) if match else (frames[0][0].function if frames else "")
        if not name:
            return False
        if not getattr(self.layout, self.lock) or self.inlined:
            setattr(self.layout, self.lock, name)
        # A symbolizer repeats the line for each inlined function.
        self.inlined = text.rstrip().endswith("[inline]")
        self.lock = self.lock if self.inlined else ""
        return True

    def _section(self) -> None:
        if self.current is None:
            self.current = Section(self.label, self.title)
            self.layout.sections.append(self.current)
            for frame in self.waiting:
                self.current.add(frame, True, True)
        self.waiting = []

    def _register(self, name: str, frame: Frame) -> None:
        registers = self.layout.registers
        if name in ("LR", "RA"):
            return  # where it would return to, not where it is
        if not registers.known:
            registers.at, registers.known = registers.at or frame, not frame.inlined
        if self.current is not None and self.current.guesses:
            self.current.add(frame, True, True)
        else:
            self.waiting = [*[one for one in self.waiting if one.inlined], frame]

    def _label(self, label: str, title: str) -> None:
        if label == "trace":
            # The header of the trace itself; whose it is was said before, or nobody said.
            if self.current is not None and self.current.guesses:
                self.label, self.title = "trace", ""
            self.current = None
            return
        if label == "task" and ("kthread stack dump" in self.title or title.removeprefix("task:").startswith("rcu_")):
            label = "kthread"
        if label == "end":
            self.label, self.title, self.current, self.waiting = "trace", "", None, []
            return
        self.label, self.title, self.current, self.waiting = label, title, None, []


def layout(lines: Iterable[tuple[str, str]]) -> Layout:
    """The structure of a report given as (caller, text) pairs."""
    result = Layout()
    readers: dict[str, _Reader] = {}
    for caller, text in lines:
        reader = readers.get(caller)
        if reader is None:
            reader = readers[caller] = _Reader(result)
        reader.line(text)
    return result
