"""Asking a guest that failed, for as long as it answers.

Each item is independent: one that fails or takes too long leaves its reason in its own file. Only who does not
answer at all (QEMU, ssh) is not asked again: a dead guest would cost the deadline for every question.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import FarmError, HangError
from farm.evidence.questions import QEMU_QUERIES, SCRIPTS, SYSRQ_KEYS
from farm.guest.patient import Patient
from farm.guest.shell import ConnectionLostError, cut

# For all evidence of one failure together, in wall seconds: with what it takes to stop, less than a minute. And for
# asking the guest.
TOTAL_SECONDS = 55.0
GUEST_SECONDS = 30.0
# For one answer. QEMU's own comes at once when it comes at all; a guest under load takes its time.
QEMU_SECONDS = 5.0
SSH_SECONDS = 8.0
SYSRQ_SECONDS = 8.0
# The answer to a sysrq key begins within the first and is over when the console has been quiet for the second.
BEGIN_SECONDS = 2.0
QUIET_SECONDS = 0.5
_POLL_SECONDS = 0.1
# The last line that a kernel prints before it waits for ever, and bytes of the console's end that it is looked for in.
# After it, suppress_printk keeps every sysrq answer from the console and nothing is scheduled (kernel/panic.c, panic).
_PANICKED = re.compile(rb"^(?:\[[^\]\n]*\])* ?---\[ end Kernel panic - ", re.MULTILINE)
_PANIC_BYTES = 1 << 14
# Characters of one file; a longer answer loses its middle.
MOST_CHARACTERS = 1 << 20


class _Source:
    """One who is asked: QEMU, or the guest's shell."""

    def __init__(self, directory: Path, total: Deadline) -> None:
        self._directory = directory
        self._total = total
        self._answers = self._failures = 0
        # Why it is not asked any more.
        self._silent = ""

    def keep(self, name: str, item: Callable[[Deadline], str], seconds: float) -> None:
        """Write one answer, or why there is none."""
        if not self._silent and self._total.expired:
            self._silent = f"the {self._total.seconds:.0f} s for asking the guest had passed"
        text = f"not collected: {self._silent}\n"
        if not self._silent:
            try:
                text = item(self._total.at_most(seconds)) or "(nothing)\n"
                self._answers += 1
            except (FarmError, OSError) as error:
                text = self._failed(error, seconds)
        write(self._directory / name, text)

    def give_up(self, why: str) -> None:
        """Ask it nothing more."""
        self._silent = self._silent or why

    def _failed(self, error: Exception, seconds: float) -> str:
        """Who has never answered, or fails a second time, is given up."""
        why = f"no answer within {seconds:.0f} s" if isinstance(error, HangError) else str(error)
        self._failures += 1
        if not self._answers or self._failures > 1 or isinstance(error, ConnectionLostError):
            self._silent = why
        return f"not collected: {why}\n"


def collect(target: Patient, directory: Path, console_log: Path, total: Deadline) -> None:
    """Fill `directory`; what could not be had says why in its file. Answers to sysrq keys go to the console's log."""
    directory.mkdir(exist_ok=True)
    guest = total.at_most(GUEST_SECONDS)
    qemu, ssh = _Source(directory, guest), _Source(directory, guest)
    for name, query in QEMU_QUERIES.items():
        qemu.keep(name, partial(target.human_monitor, query), QEMU_SECONDS)
    if panicked(console_log):
        for source in (qemu, ssh):
            source.give_up("the kernel had panicked, and neither prints nor runs anything")
    # Before ssh, which a guest under load may answer so slowly that no time is left.
    for key in SYSRQ_KEYS:
        qemu.keep(f"sysrq-{key}.txt", partial(_press, target, key, console_log), SYSRQ_SECONDS)
    for name, script in SCRIPTS.items():
        ssh.keep(name, partial(_ask, target, script), SSH_SECONDS)


def panicked(console_log: Path) -> bool:
    """Whether the kernel said its last word in a panic."""
    with suppress(OSError), console_log.open("rb") as log:
        log.seek(max(0, console_log.stat().st_size - _PANIC_BYTES))
        return bool(_PANICKED.search(log.read()))
    return False


def without_empty(text: str) -> str:
    """What `head -v` printed, without the files that had nothing to say."""
    parts = re.split(r"^(?===> .* <==$)", text, flags=re.MULTILINE)
    return "".join(part for part in parts if not re.fullmatch(r"==> .* <==\s*", part))


def write(path: Path, text: str) -> None:
    """Write a file of evidence, bounded in size. A disk that is full loses the file, never the verdict."""
    with suppress(OSError):
        path.write_text(cut(text, MOST_CHARACTERS), encoding="utf-8", errors="replace")


def _ask(target: Patient, script: str, deadline: Deadline) -> str:
    result = target.run(script, deadline=deadline, check=False)
    return without_empty(f"{result.stdout}{result.stderr}")


def _press(target: Patient, key: str, console_log: Path, deadline: Deadline) -> str:
    """Returns what the console says to a sysrq key."""
    begin = end = console_log.stat().st_size
    target.sysrq(key, deadline)
    first, quiet = deadline.at_most(BEGIN_SECONDS), deadline.at_most(QUIET_SECONDS)
    while deadline.sleep(_POLL_SECONDS) and not (quiet if end > begin else first).expired:
        if (size := console_log.stat().st_size) > end:
            end, quiet = size, deadline.at_most(QUIET_SECONDS)
    if end == begin:
        return "the kernel did not answer\n"
    with console_log.open("rb") as log:
        log.seek(begin)
        return log.read(min(end - begin, MOST_CHARACTERS)).decode(errors="replace")
