"""Where tasks stood when the guest was asked, in short: the answers to two sysrq keys, each stack once."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from farm.oops.tasks import Stuck, stuck

FILE = "stacks.txt"
_ANSWERS = ("sysrq-w.txt", "sysrq-l.txt")


def stacks(directory: Path) -> tuple[Stuck, ...]:
    """From what was collected in `directory`; nothing when the guest did not answer."""
    shown = ""
    for name in _ANSWERS:
        with suppress(OSError):
            shown += (directory / name).read_text(encoding="utf-8", errors="replace")
    return stuck(shown)


def digest(groups: Sequence[Stuck]) -> str:
    """As a file: who stands where, and the stack below it in the form that can be decoded."""
    return "\n".join(_one(group) for group in groups) or "no task was blocked, and no CPU in the kernel\n"


def _one(group: Stuck) -> str:
    place = f" in {group.function}" if group.function else ""
    frames = "".join(f"    {frame.function}{frame.offset and '+'}{frame.offset}"
                     f"{frame.module and f' [{frame.module}]'}\n" for frame in group.frames)
    return f"{group.state}{place}: {', '.join(group.tasks)}\n" + (frames or "    no stack\n")
