"""Admits virtual machines to this host so that all farms together never overcommit it.

A ledger directory in the cache holds one ticket file for every machine that runs or waits. Its holder keeps it
locked (flock), so the kernel gives it up when the holder dies, however it dies, and whoever looks next removes the
file. Tickets are numbered: only the first that waits is admitted, so none waits for ever. The ledger itself is read
and written under one more lock, held for milliseconds.

A machine at rest, which somebody looks at or which waits for a watchdog, counts with its memory alone.

Farms with different caches do not see each other's tickets, but they do see the memory that is really used.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import InfrastructureError, UserError
from farm.host.capacity import Capacity, measure
from farm.host.workdir import Workdir

# Memory that is left to the host, in MiB.
RESERVE_MIB = 512
# What QEMU takes beside the guest's memory, in MiB: mostly TCG's translated code (accel/tcg/translate-all.c).
OVERHEAD_MIB = 192
_LOCK = "admission"
# Seconds between two looks at the ledger.
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Ticket:
    """One virtual machine in the ledger."""

    # Virtual CPUs, under TCG each a busy thread; 0 for a machine at rest.
    cpus: int
    # Guest memory and QEMU's own, in MiB.
    memory_mib: int
    # True once it may run.
    admitted: bool = False
    # Process id of its QEMU, 0 while there is none: what that has taken already is no longer available.
    vm: int = 0


class Admission:
    """The right to run one virtual machine, as long as the process that holds it lives."""

    def __init__(self, workdir: Workdir, path: Path, descriptor: int) -> None:
        self._workdir = workdir
        self._path = path
        # Holds the lock. A child that inherits it (pass_fds) keeps the place until it ends as well.
        self.descriptor = descriptor

    def covers(self, pid: int) -> None:
        """Tell the process id of the machine's QEMU, so that the memory it uses is not counted twice."""
        with self._workdir.locked(_LOCK):
            _write(self.descriptor, _replace(_read(self.descriptor), vm=pid))

    def rest(self) -> None:
        """The machine does little but wait from now on: its CPUs go to whoever needs them, its memory stays its own."""
        with self._workdir.locked(_LOCK):
            _write(self.descriptor, _replace(_read(self.descriptor), cpus=0))

    def end(self) -> None:
        """Give the place back; also for children that inherited it. Harmless when repeated."""
        if self.descriptor < 0:
            return
        with suppress(OSError):
            self._path.unlink()
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)
        self.descriptor = -1


@contextmanager
def admitted(workdir: Workdir, *, cpus: int, memory_mib: int, deadline: Deadline) -> Iterator[Admission]:
    """Wait until this host has room for a machine, and hold the room for the length of the block.

    `memory_mib` is the guest's memory. A machine that has more CPUs than the host runs alone. Raises UserError when
    the machine never fits, InfrastructureError when there is no room before the deadline.
    """
    wanted = Ticket(cpus, memory_mib + OVERHEAD_MIB)
    capacity = measure()
    if wanted.memory_mib + RESERVE_MIB > capacity.memory_mib:
        raise UserError(
            f"a guest with {memory_mib} MiB of memory takes {wanted.memory_mib} MiB, and this host has "
            f"{capacity.memory_mib} MiB, of which {RESERVE_MIB} MiB stay free. Give the guest less memory."
        )
    ledger = workdir.directory("admission", os.uname().nodename)
    with workdir.locked(_LOCK, deadline):
        admission = Admission(workdir, *_enter(ledger, wanted))
    try:
        _wait(workdir, ledger, admission, deadline)
        yield admission
    finally:
        admission.end()


def _wait(workdir: Workdir, ledger: Path, admission: Admission, deadline: Deadline) -> None:
    while True:
        with workdir.locked(_LOCK, deadline):
            mine = _read(admission.descriptor)
            ahead, running = _look(ledger, admission)
            capacity = measure()
            refusal = f"{len(ahead)} machine(s) wait before it" if ahead else lack(mine, running, capacity)
            if not refusal:
                _write(admission.descriptor, _replace(mine, admitted=True))
                return
        if not deadline.sleep(_POLL_SECONDS):
            raise InfrastructureError(
                f"there was no room for a guest of {mine.cpus} CPUs and {mine.memory_mib} MiB within "
                f"{deadline.seconds:.3g} s: {refusal}."
            )


def lack(wanted: Ticket, running: Iterable[Ticket], capacity: Capacity) -> str:
    """Why the machine cannot run beside those that do, or "" when it can. Pure but for the size of their QEMUs."""
    running = list(running)
    together = sum(ticket.cpus for ticket in running) + wanted.cpus
    most = max([capacity.cpus, wanted.cpus, *(ticket.cpus for ticket in running)])
    if together > most:
        return f"{together - wanted.cpus} of {most} CPUs are taken"
    # Running machines have taken part of their memory already and will take the rest.
    outstanding = sum(max(0, ticket.memory_mib - _resident_mib(ticket.vm)) for ticket in running)
    free = capacity.available_mib - RESERVE_MIB - outstanding
    if wanted.memory_mib > free:
        return (
            f"{capacity.available_mib} MiB of memory are available, of which {RESERVE_MIB} MiB stay free and "
            f"{outstanding} MiB are promised to {len(running)} running machine(s)"
        )
    return ""


def _resident_mib(pid: int) -> int:
    """Memory that a process has really taken, 0 when there is none such."""
    with suppress(OSError, IndexError, ValueError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) if pid else 0
        return pages * os.sysconf("SC_PAGE_SIZE") >> 20
    return 0


def _enter(ledger: Path, wanted: Ticket) -> tuple[Path, int]:
    """Draw the next number; the ticket's file and the descriptor that holds its lock. The ledger is locked."""
    number = max((int(path.stem) for path in ledger.glob("*.ticket") if path.stem.isdigit()), default=0) + 1
    path = ledger / f"{number:012d}.ticket"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(descriptor, wanted)
        except OSError:
            path.unlink()
            os.close(descriptor)
            raise
    except OSError as error:
        raise InfrastructureError(
            f"cannot write {path} ({error.strerror}). Make room, or set FARM_CACHE to a place you can write to."
        ) from error
    return path, descriptor


def _look(ledger: Path, admission: Admission) -> tuple[list[Ticket], list[Ticket]]:
    """Who waits before this ticket, and who runs. Tickets of the dead are removed. The ledger is locked."""
    own = os.fstat(admission.descriptor)
    ahead, running, before = [], [], True
    for path in sorted(ledger.glob("*.ticket")):
        # Its holder may end just now; a text that is no ticket (a disk that was full) takes no room.
        with suppress(FileNotFoundError, ValueError, TypeError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if os.path.samestat(os.fstat(descriptor), own):
                    before = False
                elif _is_free(descriptor):
                    path.unlink()
                elif (ticket := _read(descriptor)).admitted:
                    running.append(ticket)
                elif before:
                    ahead.append(ticket)
            finally:
                os.close(descriptor)
    return ahead, running


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _replace(ticket: Ticket, **changes: int) -> Ticket:
    return Ticket(**{**asdict(ticket), **changes})


def _read(descriptor: int) -> Ticket:
    return Ticket(**json.loads(os.pread(descriptor, 4096, 0)))


def _write(descriptor: int, ticket: Ticket) -> None:
    # Of one length, so that whoever reads in between finds the old or the new text, never a mixture cut short.
    os.pwrite(descriptor, json.dumps(asdict(ticket)).ljust(200).encode(), 0)
