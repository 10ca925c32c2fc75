"""What is asked of a guest that failed: tables of file names and questions."""

import shlex
from collections.abc import Mapping

# Lines of one file that are shown.
_LINES = 400


def _each(*patterns: str) -> str:
    """A script that shows the files that match, each under its name, in one process: a slow guest has to start it."""
    # A pattern that matches nothing stays as it is, and is a file that head cannot open.
    return f'head -v -n {_LINES} {" ".join(patterns)} 2>/dev/null'


_MARK = "/proc/sys/kernel/random/boot_id"
_QUEUE = "/sys/kernel/debug/block/*"

# Which of QEMU's answers tells whether the guest runs at all.
STATUS = "status.txt"

# File name -> monitor command (HMP), answered by QEMU itself even when the guest is dead.
QEMU_QUERIES: Mapping[str, str] = {
    STATUS: "info status",
    "registers.txt": "info registers -a",
    "block-devices.txt": "info block",
}

# File name -> script for the guest's shell, for as long as ssh still answers; what tells most comes first, and last the
# kernel's log, most of which is on the console.
SCRIPTS: Mapping[str, str] = {
    # Requests in flight, waiting and started again, and the state of the queues (block/blk-mq-debugfs.c).
    "block.txt": _each(f"{_QUEUE}/state", f"{_QUEUE}/requeue_list", f"{_QUEUE}/hctx*/state", f"{_QUEUE}/hctx*/busy",
                       f"{_QUEUE}/hctx*/dispatch", f"{_QUEUE}/hctx*/tags", f"{_QUEUE}/hctx*/cpu*/*rq_list",
                       f"{_QUEUE}/sched/*", f"{_QUEUE}/rqos/*/*"),
    # --noflush: a status must not wait for the I/O that does not come back (dmsetup(8)).
    "dmsetup.txt": "for what in table 'status --noflush' 'info -c -o +blkdevs_used'; do "
                   'echo "==> dmsetup $what <=="; dmsetup $what; echo; done',
    "processes.txt": "ps axo pid,ppid,stat,wchan:32,args",
    "dmesg.txt": "dmesg",
}

# File name -> what is read for it, all by one command: that costs a slow guest more than the reading. Last come those
# that take a lock which whoever hangs may hold: swapon_mutex, crypto_alg_sem, slab_mutex.
FILES: Mapping[str, tuple[str, ...]] = {
    "meminfo.txt": ("/proc/meminfo",),
    "vmstat.txt": ("/proc/vmstat",),
    "pressure.txt": ("/proc/pressure/cpu", "/proc/pressure/io", "/proc/pressure/memory"),
    "swaps.txt": ("/proc/swaps",),
    "crypto.txt": ("/proc/crypto",),
    "slabinfo.txt": ("/proc/slabinfo",),
}
PATHS = tuple(path for paths in FILES.values() for path in paths)
# A line that nobody else prints, before and after each: cat, unlike head, keeps nothing back when it has to wait.
READ_FILES = shlex.join(["cat", _MARK, *(word for path in PATHS for word in (path, _MARK))])

# Sysrq keys (Documentation/admin-guide/sysrq.rst): blocked tasks, stacks of the active CPUs, memory, and all
# tasks last because that is the longest.
SYSRQ_KEYS = "wlmt"
