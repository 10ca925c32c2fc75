"""What an emulator does to a kernel that is in order. Pure."""

import re

from farm.model import Finding

# What may follow from a timer that never fires.
STALLS = frozenset({"rcu-stall", "hung-task", "soft-lockup", "workqueue-lockup"})
# kernel/rcu/tree_stall.h, rcu_check_gp_kthread_expired_fqs_timer.
_NOT_WOKEN = re.compile(r"kthread timer wakeup didn't happen for \d+ jiffies")


def shows_a_lost_timer(report: Finding) -> bool:
    """Whether RCU has stalled because the timer of its own thread never fired.

    A kernel may bring that about as well. While it boots in QEMU 7.2's TCG on a busy host, it is the emulator once in
    some hundred boots: a CPU that waits (hlt) is not told of its timer, and does so for ever.
    """
    return report.kind == "rcu-stall" and _NOT_WOKEN.search(report.text) is not None
