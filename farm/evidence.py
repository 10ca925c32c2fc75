"""Evidence: what a maintainer asks for, collected after a failure and before the guest is killed.

Each item is independent: one that fails or takes too long leaves its reason in its own file and the next one
is collected all the same. Collecting never changes the verdict.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from farm.deadline import Deadline
from farm.errors import FarmError

# Upper bound for all items together, in wall seconds.
TOTAL_SECONDS = 60.0
# A guest that does not answer one command within this many seconds is not asked any more.
ANSWER_SECONDS = 5.0
# The answer to a sysrq key is over when the console has been quiet for this long; a dead kernel gives none.
QUIET_SECONDS = 0.4

# Sysrq keys (Documentation/admin-guide/sysrq.rst): blocked tasks, stacks of the active CPUs, memory, and all
# tasks last because that is the longest.
SYSRQ_KEYS = "wlmt"

# File name -> command, for as long as ssh still answers.
COMMANDS: Mapping[str, Sequence[str]] = {
    "dmesg.txt": ["dmesg"],
    "dmsetup.txt": ["sh", "-c", "dmsetup table; echo; dmsetup status; echo; dmsetup ls --tree"],
    "block.txt": ["sh", "-c", "head -v -n 200 /sys/kernel/debug/block/*/hctx*/busy /sys/kernel/debug/block/*/rqos/*/*"],
    "memory.txt": ["sh", "-c", "head -v -n 500 /proc/meminfo /proc/vmstat /proc/slabinfo /proc/swaps /proc/pressure/*"],
    "crypto.txt": ["cat", "/proc/crypto"],
    "processes.txt": ["ps", "axo", "pid,ppid,stat,wchan:32,args"],
}

# File name -> monitor command (HMP), answered by QEMU itself even when the guest is dead.
QEMU_QUERIES: Mapping[str, str] = {
    "registers.txt": "info registers -a",
    "block-devices.txt": "info block",
}


class Patient(Protocol):
    """What is asked of a target; `farm.target.Target` is one."""

    def sysrq(self, key: str) -> None:
        """Send a break and the key over the serial line."""

    def human_monitor(self, command: str, deadline: Deadline) -> str:
        """Ask QEMU's own monitor."""

    def run(self, argv: Sequence[str], *, deadline: Deadline | None = None, check: bool = True) -> Any:
        """Run a command in the guest."""


def collect(target: Patient, directory: Path, console_log: Path) -> None:
    """Fill `directory`; what could not be had says why in its file. Answers to sysrq keys go to the console's log."""
    total = Deadline(TOTAL_SECONDS)
    directory.mkdir(exist_ok=True)
    for name, query in QEMU_QUERIES.items():
        _keep(directory / name, partial(target.human_monitor, query), total)
    silent = False
    for name, argv in COMMANDS.items():
        if silent:
            (directory / name).write_text("not collected: ssh no longer answers\n")
        else:
            silent = not _keep(directory / name, partial(_ask, target, argv), total)
    # Last, because a long sysrq answer would stand between the crash report and its late lines.
    for key in SYSRQ_KEYS:
        _keep(directory / f"sysrq-{key}.txt", partial(_press, target, key, console_log), total)


def _ask(target: Patient, argv: Sequence[str], deadline: Deadline) -> str:
    result = target.run(argv, deadline=deadline, check=False)
    return f"{result.stdout}{result.stderr}"


def _press(target: Patient, key: str, console_log: Path, deadline: Deadline) -> str:
    """Returns where in the console's log the answer stands."""
    begin = end = console_log.stat().st_size
    target.sysrq(key)
    while deadline.sleep(QUIET_SECONDS) and console_log.stat().st_size > end:
        end = console_log.stat().st_size
    if end == begin:
        return "the kernel did not answer\n"
    with console_log.open("rb") as log:
        log.seek(begin)
        return log.read(end - begin).decode(errors="replace")


def _keep(path: Path, item: Callable[[Deadline], str], total: Deadline) -> bool:
    """Write one item; False when it could not be had."""
    if total.expired:
        path.write_text(f"not collected: {TOTAL_SECONDS:.0f} s had passed\n")
        return False
    try:
        text = item(total.at_most(ANSWER_SECONDS))
    except (FarmError, OSError) as error:
        path.write_text(f"not collected: {error}\n")
        return False
    path.write_text(text, errors="replace")
    return True
