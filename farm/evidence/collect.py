"""Asking a guest that failed, for as long as it answers.

Each item is independent: one that fails or takes too long leaves its reason in its own file. Only who does not
answer at all (QEMU, ssh) is not asked again: a dead guest would cost the deadline for every question.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import HangError
from farm.evidence.questions import FILES, PATHS, QEMU_QUERIES, READ_FILES, SCRIPTS, STATUS, SYSRQ_KEYS
from farm.guest.patient import Patient
from farm.guest.shell import MOST_BYTES, ConnectionLostError, cut

# For all evidence of one failure together, in wall seconds: with what it takes to stop, less than a minute. And for
# asking the guest.
TOTAL_SECONDS = 55.0
GUEST_SECONDS = 30.0
# The part of that for QEMU and the keys, so that a slow console leaves time for ssh: what a key makes the kernel say is
# in the console's log also when nobody waits for it.
QEMU_PART = 0.6
# For one answer. QEMU's own comes at once when it comes at all; a guest under load takes its time.
QEMU_SECONDS = 5.0
SSH_SECONDS = 8.0
SYSRQ_SECONDS = 8.0
# The answer to a sysrq key begins within the first and is over when the console has been quiet for the second. A kernel
# that was silent is waited for no longer than that at the next key: if it answers late, the console's log has it.
BEGIN_SECONDS = 2.0
QUIET_SECONDS = 0.5
_POLL_SECONDS = 0.1
# The last line that a kernel prints before it waits for ever, and bytes of the console's end that it is looked for in.
# After it, suppress_printk keeps every sysrq answer from the console and nothing is scheduled (kernel/panic.c, panic).
_PANICKED = re.compile(rb"^(?:\[[^\]\n]*\])* ?---\[ end Kernel panic - ", re.MULTILINE)
_PANIC_BYTES = 1 << 14
_PANIC = "the kernel had panicked, and neither prints nor runs anything"
# How QEMU calls a guest whose CPUs it does not run: after a reset or a shutdown that it was told not to follow, or for
# `stop`.
_PAUSED = "VM status: paused"
_MUTE = "the kernel did not answer\n"
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
        # Asked before each question: why there is no use in it, "" while there is.
        self.useless: Callable[[], str] = lambda: ""

    def keep(self, name: str, item: Callable[[Deadline], str], seconds: float) -> str:
        """Write one answer, or why there is none. Returns the answer, "" when there is none."""
        return self.keep_all(
            [name], lambda deadline, answers: answers.update({name: item(deadline)}), seconds).get(name, "")

    def keep_all(
        self, names: Iterable[str], item: Callable[[Deadline, dict[str, str]], None], seconds: float
    ) -> dict[str, str]:
        """Write what the item has put among the answers, also before it failed, and of each other name why not.

        Returns the answers.
        """
        if not self._silent and self._total.expired:
            self._silent = f"the {self._total.seconds:.0f} s for asking the guest had passed"
        self._silent = self._silent or self.useless()
        answers: dict[str, str] = {}
        why = self._silent
        if not self._silent:
            try:
                item(self._total.at_most(seconds), answers)
            except Exception as error:  # a bug of the farm's too: it costs this answer and no other
                self._answers += len(answers)
                why = self._failed(error, seconds)
            else:
                self._answers += 1
        for name in names:
            write(self._directory / name, answers.get(name) or (f"not collected: {why}\n" if why else "(nothing)\n"))
        return answers

    def _failed(self, error: Exception, seconds: float) -> str:
        """Why there is no answer. Who has never answered, or fails a second time, is given up."""
        why = f"no answer within {seconds:.0f} s" if isinstance(error, HangError) else str(error) or repr(error)
        self._failures += 1
        if not self._answers or self._failures > 1 or isinstance(error, ConnectionLostError):
            self._silent = why
        return why


def collect(target: Patient, directory: Path, console_log: Path, total: Deadline) -> None:
    """Fill `directory`; what could not be had says why in its file. Answers to sysrq keys go to the console's log."""
    directory.mkdir(exist_ok=True)
    guest = total.at_most(GUEST_SECONDS)
    qemu, ssh = _Source(directory, guest.at_most(guest.seconds * QEMU_PART)), _Source(directory, guest)
    told = {name: qemu.keep(name, partial(target.human_monitor, query), QEMU_SECONDS)
            for name, query in QEMU_QUERIES.items()}
    paused = f"its CPUs stand still ({told[STATUS].strip()})" if told[STATUS].startswith(_PAUSED) else ""
    # Asked again and again: a panic takes its time after the oops that we came for.
    qemu.useless = ssh.useless = lambda: paused or (_PANIC if panicked(console_log) else "")
    # Before ssh, which a guest under load may answer so slowly that no time is left.
    wait = BEGIN_SECONDS
    for key in SYSRQ_KEYS:
        said = qemu.keep(f"sysrq-{key}.txt", partial(_press, target, key, console_log, wait), SYSRQ_SECONDS)
        wait = QUIET_SECONDS if said == _MUTE else BEGIN_SECONDS
    for name, script in SCRIPTS.items():
        ssh.keep(name, partial(_ask, target, script), SSH_SECONDS)
    ssh.keep_all(FILES, partial(_read, target), SSH_SECONDS)


def panicked(console_log: Path) -> bool:
    """Whether the kernel said its last word in a panic."""
    with suppress(OSError), console_log.open("rb") as log:
        log.seek(max(0, console_log.stat().st_size - _PANIC_BYTES))
        return bool(_PANICKED.search(log.read()))
    return False


def without_empty(text: str) -> str:
    """What `head -v` printed, in the order of the files' names, without those that had nothing to say."""
    first, *parts = re.split(r"^(?===> .* <==$)", text, flags=re.MULTILINE)
    return first + "".join(sorted(part for part in parts if not re.fullmatch(r"==> .* <==\s*", part)))


def contents(text: str, errors: str = "") -> dict[str, str]:
    """The answers of FILES in what READ_FILES printed, with the errors that name them, as far as they are whole."""
    mark = text[:text.find("\n") + 1]
    read = dict(zip(PATHS, text.split(mark)[1:-1] if mark else (), strict=False))
    answers = {}
    for name, paths in FILES.items():
        if all(path in read for path in paths):
            parts = [f"==> {path} <==\n{read[path]}" if len(paths) > 1 else read[path] for path in paths]
            said = [line for line in errors.splitlines(keepends=True) if any(path in line for path in paths)]
            answers[name] = "".join(parts + said)
    return answers


def write(path: Path, text: str) -> None:
    """Write a file of evidence, bounded in size. A disk that is full loses the file, never the verdict."""
    with suppress(OSError):
        path.write_text(cut(text, MOST_CHARACTERS), encoding="utf-8", errors="replace")


def _ask(target: Patient, script: str, deadline: Deadline) -> str:
    result = target.run(script, deadline=deadline, check=False)
    return without_empty(result.stdout) + result.stderr


def _read(target: Patient, deadline: Deadline, answers: dict[str, str]) -> None:
    """Read all FILES: those that came to their end are answered also when a later one does not."""
    said, errors = bytearray(), ""

    def take(data: bytes) -> None:
        said.extend(data[:MOST_BYTES - len(said)])

    try:
        errors = target.run(READ_FILES, deadline=deadline, check=False, out=take).stderr
    finally:
        answers.update(contents(said.decode(errors="replace"), errors))


def _press(target: Patient, key: str, console_log: Path, wait: float, deadline: Deadline) -> str:
    """Returns what the console says to a sysrq key, when it begins to within `wait` seconds."""
    begin = end = console_log.stat().st_size
    target.sysrq(key, deadline)
    first, quiet = deadline.at_most(wait), deadline.at_most(QUIET_SECONDS)
    while deadline.sleep(_POLL_SECONDS) and not (quiet if end > begin else first).expired:
        if (size := console_log.stat().st_size) > end:
            end, quiet = size, deadline.at_most(QUIET_SECONDS)
    if end == begin:
        return _MUTE
    with console_log.open("rb") as log:
        log.seek(begin)
        return log.read(min(end - begin, MOST_CHARACTERS)).decode(errors="replace")
