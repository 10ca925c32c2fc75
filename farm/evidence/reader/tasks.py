"""Where blocked tasks stand, and the bios and requests that their functions have in hand."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from farm.evidence.decode import relative
from farm.evidence.reader import inflight
from farm.evidence.reader.values import guarded, text

# Tasks, and frames of a task, that are shown.
MOST_TASKS = 200
MOST_FRAMES = 64
# Locals of a task's functions that say what it waits for -> what describes them.
_DESCRIBE = {"struct bio *": inflight.bio, "struct request *": inflight.request}


def blocked(program: Any) -> Iterator[str]:
    """Stacks of all tasks in uninterruptible sleep, with what their functions have in hand."""
    from drgn.helpers.linux.pid import for_each_task  # noqa: PLC0415
    from drgn.helpers.linux.sched import task_state_to_char  # noqa: PLC0415

    sleeping = (one for one in for_each_task(program) if task_state_to_char(one) == "D")
    for task in islice(sleeping, MOST_TASKS):
        yield from guarded(_task(task), "  ")


def _task(task: Any) -> Iterator[str]:
    yield f"\n{text(task.comm)} pid {int(task.pid)}, process {int(task.tgid)}"
    trace = task.prog_.stack_trace(task)
    yield from (f"  {frame}" for frame in _kernel_frames(trace))
    yield from (f"  has {line}" for line in dict.fromkeys(_in_hand(trace)))


def _kernel_frames(trace: Any) -> Iterator[str]:
    """The frames up to where the task came from userspace: what lies beyond is not in a kernel's debug information."""
    for frame in islice(trace, MOST_FRAMES):
        if not frame.is_inline and frame.name == f"{frame.pc:#x}":
            return
        try:
            source = frame.source()
        except LookupError:
            yield f"{frame.name}"
        else:
            yield f"{frame.name} ({relative(source.filename)}:{source.line})"


def _in_hand(trace: Any) -> Iterator[str]:
    """The bios and requests among the locals of a stack."""
    for frame in islice(trace, MOST_FRAMES):
        for name in frame.locals() if frame.function_name else ():
            value = frame[name]
            kind = value.type_.type_name()
            if kind in _DESCRIBE and not value.absent_ and value:
                try:
                    yield f"{_DESCRIBE[kind](value)}, `{name}` of {frame.name}"
                except Exception as error:  # a stale pointer may lead anywhere
                    yield f"`{name}` of {frame.name}, which is no {kind.removesuffix(' *')} any more ({error})"
