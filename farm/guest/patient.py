"""The guest as whoever collects evidence sees it: also broken, also dead."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import InfrastructureError
from farm.guest.qemu import Qemu
from farm.guest.registers import Cpu, parse_cpus, parse_words
from farm.guest.shell import CommandResult
from farm.guest.ssh import Ssh
from farm.host import process

# A guest that is asked without a deadline gets this many seconds.
ANSWER_SECONDS = 30.0
# QEMU answers in milliseconds, also for a dead guest; one that is starved gets this many seconds.
MONITOR_SECONDS = 1.0
# States of a process that does not run because somebody stopped or traces it (Documentation/filesystems/proc.rst),
# and how long it has to be in one without having run: what is stopped and continued in turns is only slow.
STOPPED_STATES = frozenset("Tt")
STILL_SECONDS = 0.3
# QEMU begins a dump at once, or hangs.
BEGIN_SECONDS = 5.0
# How often it is asked how far it has come, in seconds.
DUMP_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Vital:
    """What can be told of a running QEMU and its guest at one moment, without asking the guest."""

    # When QEMU was started, on the monotonic clock.
    started: float
    # State of QEMU's process, a letter, and how often it has been scheduled so far.
    state: str
    switches: int
    # Whether the guest's userspace has shown itself.
    userspace: bool = False
    # Seconds that the guest's ssh has owed an answer; None before the first login.
    owing: float | None = None
    # Whether the ssh connection broke.
    lost: bool = False


class Patient:
    """A guest that may be dead: nothing asked of it waits for more than its deadline, whatever the state."""

    def __init__(self, qemu: Qemu | None, ssh: Ssh | None) -> None:
        self._qemu = qemu
        self._ssh = ssh

    def run(
        self, command: Sequence[str] | str, *, deadline: Deadline | None = None, check: bool = True,
        out: Callable[[bytes], None] | None = None,
    ) -> CommandResult:
        """Run a command, given as words or as a script for sh; `out` takes its output as it comes.

        Raises FarmError when ssh does not answer.
        """
        self._present()
        if self._ssh is None:
            raise InfrastructureError("there is no ssh connection to the guest")
        return self._ssh.run(
            command, deadline=deadline or Deadline(ANSWER_SECONDS), check=check, guard=lambda: None, out=out)

    def sysrq(self, key: str, deadline: Deadline) -> None:
        """Send a break and a sysrq key over the serial line. Raises InfrastructureError when QEMU is gone."""
        qemu = self._present()
        qemu.send_break(deadline)
        qemu.console.type(key)

    def human_monitor(self, command: str, deadline: Deadline) -> str:
        """Ask QEMU's own monitor. Raises InfrastructureError when QEMU is gone or does not answer."""
        return self._present().qmp.human(command, deadline=deadline)

    @property
    def ending(self) -> str:
        """How QEMU ended by itself, in a sentence; "" while it runs or is off."""
        return self._qemu.ending if self._qemu is not None else ""

    def vital(self) -> Vital | None:
        """The signs of life at this moment; None while the target is off."""
        if self._qemu is None:
            return None
        state, switches = process.scheduling(self._qemu.pid)
        pulse = self._ssh.pulse if self._ssh is not None else None
        return Vital(
            self._qemu.started, state, switches, userspace=self._ssh is not None,
            owing=pulse.owing if pulse else None, lost=pulse is not None and pulse.lost)

    def cpus(self) -> list[Cpu] | None:
        """Where the CPUs stand, those in 64-bit mode; None when QEMU does not answer."""
        try:
            return parse_cpus(self.human_monitor("info registers -a", Deadline(MONITOR_SECONDS)))
        except InfrastructureError:
            return None

    def stack(self, cpu: Cpu, words: int) -> list[int]:
        """The innermost words of eight bytes on a CPU's stack; empty when QEMU does not answer."""
        try:
            return parse_words(self._present().qmp.human(
                f"x /{words}gx {cpu.rsp:#x}", deadline=Deadline(MONITOR_SECONDS), cpu=cpu.index))
        except InfrastructureError:
            return []

    def dump_memory(self, path: Path, deadline: Deadline) -> None:
        """Write all of the guest's memory to an ELF file.

        The guest stands still meanwhile. Raises InfrastructureError when QEMU is gone, cannot write the file or is
        not done before the deadline; the file is of no use then.
        """
        qmp = self._present().qmp
        # paging=false: physical memory, whatever the guest's page tables say. detach: QEMU answers while it writes.
        # ELF: QEMU 7.2 leaves out of its kdump formats what libkdumpfile, and so drgn, tells the architecture by.
        qmp.execute("dump-guest-memory", {"paging": False, "protocol": f"file:{path}", "detach": True},
                    deadline=deadline.at_most(BEGIN_SECONDS))
        while (status := qmp.execute("query-dump", deadline=deadline)["status"]) == "active":
            if not deadline.sleep(DUMP_POLL_SECONDS):
                raise InfrastructureError(f"QEMU did not dump the memory within {deadline.seconds:.0f} s")
        if status != "completed":
            raise InfrastructureError(f"QEMU could not write {path.name} ({status})")

    def _present(self) -> Qemu:
        if self._qemu is None:
            raise InfrastructureError("QEMU does not run")
        seen = process.scheduling(self._qemu.pid)
        if seen[0] in STOPPED_STATES:
            Deadline(STILL_SECONDS).sleep(STILL_SECONDS)
            if process.scheduling(self._qemu.pid) == seen:
                raise InfrastructureError(f"QEMU is stopped (state {seen[0]}) and answers nothing")
        return self._qemu
