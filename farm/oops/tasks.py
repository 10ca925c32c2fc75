"""Where tasks stand, from what a kernel shows on request: blocked tasks (sysrq w), and what each CPU runs (sysrq l).

Nothing of it is a crash report: a task may well wait, or compute, in a kernel that is in order. It is what is left to
read when a test does not come to its end and no watchdog says why.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from farm.model import Frame
from farm.oops.generic import is_generic
from farm.oops.lines import split
from farm.oops.sections import layout

# kernel/sched/core.c, sched_show_task, since 5.10.
_TASK = re.compile(r"task:(?P<name>.{1,40}?) +state:(?P<state>[A-Z]) .*?\bpid: *(?P<pid>\d+)\b.*")
# lib/dump_stack.c, dump_stack_print_info, which lib/nmi_backtrace.c prints of each CPU.
_CPU = re.compile(r"CPU: ?\d+ (?:UID: \d+ )?PID: ?(?P<pid>\d+) Comm: (?P<name>.{1,40}?) (?:Not tainted|Tainted: ).*")
_BLOCKED = "D"
# A CPU that runs this task has nothing to do.
_IDLE = "0"


@dataclass(frozen=True)
class Stuck:
    """Tasks that stand at one place, most of them first."""

    # `blocked`, or `running` for what a CPU ran in the kernel when it was asked.
    state: str
    # The innermost function that is not machinery of waiting, locking or allocating; "" when all are.
    function: str
    # As `name (pid)`.
    tasks: tuple[str, ...]
    # Innermost first, of the first of them.
    frames: tuple[Frame, ...] = ()

    def __str__(self) -> str:
        first, *others = self.tasks
        more = f" and {len(others)} more" if others else ""
        return f"{self.state}{self.function and f' in {self.function}'}: {first}{more}"


def stuck(shown: str) -> tuple[Stuck, ...]:
    """What answers to sysrq w and l say, the blocked first, each with the tasks that share its whole stack."""
    found: dict[tuple[str, tuple[str, ...]], tuple[list[str], tuple[Frame, ...]]] = {}
    for state, task, frames in _standing(shown):
        tasks, _ = found.setdefault((state, tuple(frame.function for frame in frames)), ([], frames))
        if task not in tasks:
            tasks.append(task)
    groups = [Stuck(state, _place(state, frames), tuple(tasks), frames)
              for (state, _), (tasks, frames) in found.items()]
    return tuple(sorted(groups, key=lambda group: (group.state, -len(group.tasks))))


def _standing(shown: str) -> Iterator[tuple[str, str, tuple[Frame, ...]]]:
    """State, task and frames of each task that is blocked or runs in the kernel."""
    for header, lines in _parts(shown):
        cpu = header.re is _CPU
        if not cpu and header["state"] != _BLOCKED:
            continue
        traces = [section.frames for section in layout(("", line) for line in lines).sections if section.frames]
        frames = tuple(_interrupted(traces[0]) if cpu else traces[0]) if traces else ()
        if cpu and (header["pid"] == _IDLE or not _place("running", frames)):
            continue
        yield ("running" if cpu else "blocked"), f"{header['name'].strip()} ({header['pid']})", frames


def _parts(shown: str) -> Iterator[tuple[re.Match[str], list[str]]]:
    """The lines that follow each header of a task or a CPU."""
    header: re.Match[str] | None = None
    lines: list[str] = []
    for line in _texts(shown):
        if match := _CPU.fullmatch(line) or _TASK.fullmatch(line):
            if header:
                yield header, lines
            header, lines = match, []
        lines.append(line)
    if header:
        yield header, lines


def _texts(shown: str) -> Iterable[str]:
    return (line.text for raw in shown.encode().splitlines() for line in split(raw, 0, len(raw)))


def _interrupted(frames: list[Frame]) -> list[Frame]:
    """Without the asking itself, on the CPU that asked: everything down to the interrupt's entry."""
    asking = next((at for at, frame in enumerate(frames) if frame.function == "__handle_sysrq"), -1)
    if asking < 0:
        return frames
    entry = next((at for at in range(asking, len(frames)) if frames[at].function.startswith("asm_")), len(frames))
    return frames[entry + 1:]


def _place(state: str, frames: tuple[Frame, ...]) -> str:
    where = "hung" if state == "blocked" else "stall"
    return next((frame.function for frame in frames if not is_generic(frame.function, where)), "")
