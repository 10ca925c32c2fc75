"""Processes that were killed and do not end: they stand, or spin, in the kernel.

What a testcase started it kills before its end, so a deadlock of two such tasks would go with the guest, unless the
testcase lasts longer than the kernel's own watchdog for hung tasks, which a pass would have to wait for each time.
"""

import re
from dataclasses import dataclass

from farm.deadline import Pace
from farm.guest.shell import Shell
from farm.watchdogs import HUNG_TASK

# Base seconds that a killed process has. The hung-task watchdog, which names the place, looks at what has not run since
# before its last look, and looks again after a quarter of its time: let it speak first.
LEAST_SECONDS = 2 * HUNG_TASK
# Base seconds for one answer, and wall seconds between two.
ASK_SECONDS = 10.0
POLL_SECONDS = 0.2

# SIGKILL waits to be taken: bit 8 of the signals that are pending for the thread or its process (fs/proc/array.c,
# render_sigset_t). Each thread is asked: the first one may be a zombie, which has ended and keeps what was pending,
# while another hangs.
_ASK = r"""
cat /proc/[0-9]*/task/[0-9]*/status 2>/dev/null | awk '
  /^Name:/ { name = substr($0, 7) }
  /^State:/ { state = $2 }
  /^Pid:/ { pid = $2 }
  /^(SigPnd|ShdPnd):/ && state !~ /[ZX]/ && $2 ~ /[13579bdf]..$/ { print state, pid, name }'
"""
_LINE = re.compile(r"(?P<state>[A-Za-z]) (?P<pid>\d{1,10}) (?P<name>.{1,64})", re.ASCII)


@dataclass(frozen=True)
class Lingering:
    """A thread that does not end."""

    name: str
    pid: int
    # As ps(1) has it, e.g. `D` (it waits for something in the kernel) or `R` (it runs there).
    state: str

    def __str__(self) -> str:
        return f"{self.name} ({self.pid}, state {self.state})"


def lingering(shell: Shell, pace: Pace) -> tuple[Lingering, ...]:
    """Who was killed and is still there, when all have had the time; returns at once when there is nobody.

    Raises what the shell raises.
    """
    deadline = pace.deadline(LEAST_SECONDS)
    while True:
        left = parse(shell.run(_ASK, deadline=pace.deadline(ASK_SECONDS)).stdout)
        if not left or not deadline.sleep(POLL_SECONDS):
            return left


def parse(text: str) -> tuple[Lingering, ...]:
    """What the guest printed, each process once; what is no such line is passed over."""
    matches = filter(None, map(_LINE.fullmatch, text.splitlines()))
    return tuple(dict.fromkeys(Lingering(match["name"], int(match["pid"]), match["state"]) for match in matches))
