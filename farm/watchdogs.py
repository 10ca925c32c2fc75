"""The watchdogs: how long each kind of hang is given, in the order in which they have to fire.

The order is what gives one hang always the same title: the guest's own watchdogs come first, from the most to the
least specific, then the farm's. Figures are base seconds (KVM) and stretch with the pace.
"""

from farm.deadline import Pace

RCU_STALL = 4.0
WORKQUEUE_STALL = 5.0
SOFT_LOCKUP = 6.0
HUNG_TASK = 8.0
# All CPUs with interrupts off, which no watchdog above sees: later than a hard lockup detector, where there is one.
FREEZE = 7.0
# A boot in which the console says nothing more.
BOOT_SILENCE = 10.0
NO_PROGRESS = 14.0
# Questions over ssh that nobody answers.
SILENCE = 16.0

# The kernel takes no more for watchdog_thresh (kernel/watchdog.c, watchdog_sysctls): a slower guest keeps the order.
MOST_THRESHOLD = 60


def watchdog_parameters(pace: Pace) -> tuple[str, ...]:
    """Kernel command line that sets the guest's watchdogs in order, stretched to the pace.

    A soft lockup is reported after twice watchdog_thresh (kernel/watchdog.c, get_softlockup_thresh); sysctls
    on the command line are set before init runs (fs/proc/proc_sysctl.c, do_sysctl_args).
    """
    factor = min(pace.factor, 2 * MOST_THRESHOLD / SOFT_LOCKUP)

    def whole(base: float) -> int:
        return max(3, round(base * factor))

    hung = max(3, round(pace.seconds(HUNG_TASK)))
    return (
        f"rcupdate.rcu_cpu_stall_timeout={whole(RCU_STALL)}",
        f"workqueue.watchdog_thresh={whole(WORKQUEUE_STALL)}",
        f"sysctl.kernel.watchdog_thresh={whole(SOFT_LOCKUP / 2)}",
        f"sysctl.kernel.hung_task_timeout_secs={hung}",
        f"sysctl.kernel.hung_task_check_interval_secs={max(1, hung // 4)}",
        "sysctl.kernel.hung_task_warnings=-1",
    )
