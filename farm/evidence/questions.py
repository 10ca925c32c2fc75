"""What is asked of a guest that failed: tables of file names and questions."""

from collections.abc import Mapping

# Lines of one file that are shown.
_LINES = 400


def _each(*patterns: str) -> str:
    """A script that shows the files that match, each under its name; few processes, which a slow guest has to start."""
    return f'set -- $(ls -d {" ".join(patterns)} 2>/dev/null); [ $# = 0 ] || head -v -n {_LINES} "$@" 2>/dev/null'


_QUEUE = "/sys/kernel/debug/block/*"

# File name -> monitor command (HMP), answered by QEMU itself even when the guest is dead.
QEMU_QUERIES: Mapping[str, str] = {
    "registers.txt": "info registers -a",
    "block-devices.txt": "info block",
}

# File name -> script for the guest's shell, for as long as ssh still answers.
SCRIPTS: Mapping[str, str] = {
    "dmesg.txt": "dmesg",
    # --noflush: a status must not wait for the I/O that does not come back (dmsetup(8)).
    "dmsetup.txt": "for what in table 'status --noflush' 'info -c' 'ls --tree'; do "
                   'echo "==> dmsetup $what <=="; dmsetup $what; echo; done',
    "meminfo.txt": "cat /proc/meminfo",
    "vmstat.txt": "cat /proc/vmstat",
    "slabinfo.txt": "cat /proc/slabinfo",
    "swaps.txt": "cat /proc/swaps",
    "pressure.txt": _each("/proc/pressure/*"),
    "crypto.txt": "cat /proc/crypto",
    "processes.txt": "ps axo pid,ppid,stat,wchan:32,args",
    # Requests in flight, waiting and started again, and the state of the queues (block/blk-mq-debugfs.c).
    "block.txt": _each(f"{_QUEUE}/state", f"{_QUEUE}/requeue_list", f"{_QUEUE}/hctx*/state", f"{_QUEUE}/hctx*/busy",
                       f"{_QUEUE}/hctx*/dispatch", f"{_QUEUE}/hctx*/tags", f"{_QUEUE}/hctx*/cpu*/*rq_list",
                       f"{_QUEUE}/sched/*", f"{_QUEUE}/rqos/*/*"),
}

# Sysrq keys (Documentation/admin-guide/sysrq.rst): blocked tasks, stacks of the active CPUs, memory, and all
# tasks last because that is the longest.
SYSRQ_KEYS = "wlmt"
