"""What sweeps up behind a farm process. Runs as a program of its own, so it imports the standard library only.

Usage: janitor.py SCRATCH FARM_PID, with the reading end of the lease's pipe as standard input.

Whom a lease covers is found when it ends and is never registered, so there is no moment at which a new child
is not yet covered:

- whoever carries the lease's id in its environment (`/proc/PID/environ` shows it from exec on);
- whoever holds the writing end of the lease's pipe: forks of the farm that never call exec, and children
  between fork and exec (the pipe closes itself at exec);
- the sessions and the descendants of all these, which covers children whose environment was wiped.

Only a process that wiped its environment, left its session and lost its parents, all three and before the lease ended,
would escape.
"""

import os
import select
import shutil
import signal
import stat
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# In the environment of what ends with a lease: the ids of all leases around it, outermost first.
VARIABLE = "FARM_LEASE"
# The same in a janitor's own environment: janitors of inner leases are waited for, not killed.
JANITOR_VARIABLE = "FARM_JANITOR"

# How long the janitor goes on killing: milliseconds, but for a process that waits for a slow disk and dies after that.
# What it would still write must not outlive the directory's removal.
_SWEEP_SECONDS = 60.0
# How long it waits for processes to stop; one that waits for a disk does so later.
_HALT_SECONDS = 2.0
# How long it waits for processes in the middle of exec to show whose they are.
_EXEC_SECONDS = 1.0
# PF_KTHREAD of include/linux/sched.h: kernel threads have no environment.
_PF_KTHREAD = 0x00200000


class Process(NamedTuple):
    """What /proc tells of one process. No dataclass: every command starts a janitor, and waits for what it imports."""

    pid: int
    parent: int
    session: int
    # Ids of the leases that it ends with.
    leases: frozenset[str]
    # Ids of the leases whose janitor it is, and of those around them.
    janitor_of: frozenset[str]
    # In exec, after its files were closed and before its new environment can be read.
    is_starting: bool
    # Stopped, by a signal or a debugger.
    is_halted: bool = False


def processes() -> dict[int, Process]:
    """All processes of this host that are not zombies, by process id."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                process = _read(Path(entry.path))
                if process is not None:
                    found[process.pid] = process
    return found


def _read(directory: Path) -> Process | None:
    # The name, in parentheses, may itself hold spaces and parentheses; fields as in proc(5), counted from the third.
    head, _, tail = (directory / "stat").read_bytes().rpartition(b")")
    field = tail.split()
    if field[0] == b"Z":
        return None
    environment, readable = b"", False
    with suppress(OSError):
        environment, readable = (directory / "environ").read_bytes(), True
    ids = {VARIABLE: frozenset[str](), JANITOR_VARIABLE: frozenset[str]()}
    for variable in environment.split(b"\0"):
        name, _, value = variable.decode(errors="replace").partition("=")
        if name in ids:
            ids[name] = frozenset(value.split(":"))
    # Field 51 is the end of the environment in memory: 0 until fs/binfmt_elf.c:create_elf_tables() has set it, while
    # a program that was started with an empty environment has an end like any other.
    unset = readable and not environment and int(field[48]) == 0 and not int(field[6]) & _PF_KTHREAD
    return Process(
        int(head.split(b" ", 1)[0]), int(field[1]), int(field[3]), ids[VARIABLE], ids[JANITOR_VARIABLE], unset,
        field[0] in (b"T", b"t"),
    )


def covered(lease_id: str, holders: Iterable[int], spared: Iterable[int], alive: dict[int, Process]) -> set[int]:
    """Which of the processes end with the lease; `holders` have its pipe open."""
    exempt = set(spared) | {pid for pid, process in alive.items() if process.janitor_of}
    marked = {pid for pid, process in alive.items() if lease_id in process.leases} | set(holders)
    marked -= exempt
    led = {pid for pid in marked if pid in alive and alive[pid].session == pid}
    marked |= {pid for pid, process in alive.items() if process.session in led} - exempt
    while more := {pid for pid, process in alive.items() if process.parent in marked} - exempt - marked:
        marked |= more
    return marked


def _holders(pipe: int) -> set[int]:
    """Process ids that have the pipe with this inode open."""
    found = set()
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            for entry in (process / "fd").iterdir() if process.name.isdigit() else ():
                with suppress(OSError):
                    if str(entry.readlink()) == f"pipe:[{pipe}]":
                        found.add(int(process.name))
    return found


def sweep(scratch: Path, spare: int = 0, pipe: int = 0) -> None:
    """Kill all that the lease covers, but neither `spare` nor this process, and remove the scratch directory."""
    begun = time.monotonic()
    spared = {os.getpid(), spare}
    lease_id = scratch.name
    halted: set[int] = set()
    while (spent := time.monotonic() - begun) < _SWEEP_SECONDS:
        # Holders first: one that execs in between then shows its environment.
        holders = _holders(pipe) if pipe else set()
        alive = processes()
        ending = covered(lease_id, holders, spared, alive)
        waited = any(lease_id in process.janitor_of for pid, process in alive.items() if pid != os.getpid())
        starting = spent < _EXEC_SECONDS and any(process.is_starting for process in alive.values())
        if not ending and not waited and not starting:
            break
        # Nobody dies before all are known: of what a server starts meanwhile, its parent alone may tell whose it is.
        running = ending - halted or any(not alive[pid].is_halted for pid in ending if pid in alive)
        sent = signal.SIGSTOP if running and spent < _HALT_SECONDS else signal.SIGKILL
        for pid in ending:
            with suppress(OSError):
                os.kill(pid, sent)
        halted |= ending
        time.sleep(0.01)
    remove(scratch)


def remove(directory: Path) -> None:
    """Remove a tree, also one with directories that were made unreadable."""
    _open_up(directory)
    for folder, names, _ in os.walk(directory):
        for name in names:
            _open_up(Path(folder, name))
    shutil.rmtree(directory, ignore_errors=True)


def _open_up(folder: Path) -> None:
    with suppress(OSError):
        if not folder.is_symlink():
            folder.chmod(stat.S_IRWXU)


def _wait_for_the_end(farm_pid: int) -> None:
    """Return when the farm writes to the pipe, when the pipe's last writer is gone, or when the farm has died.

    The pipe alone is not enough: a fork of the farm that lives on would hold it open for ever.
    """
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    with suppress(OSError):
        poll.register(os.pidfd_open(farm_pid), select.POLLIN)
    if os.getppid() == farm_pid:
        poll.poll()


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    scratch, farm_pid = Path(sys.argv[1]), int(sys.argv[2])
    _wait_for_the_end(farm_pid)
    # On an ordinary end the farm waits for this process and must not be killed; a dead farm's number may be reused.
    sweep(scratch, spare=farm_pid, pipe=os.fstat(0).st_ino)


if __name__ == "__main__":
    main()
