"""The guest as whoever collects evidence sees it: also broken, also dead."""

from collections.abc import Sequence

from farm.deadline import Deadline
from farm.errors import InfrastructureError
from farm.guest.qemu import Qemu
from farm.guest.shell import CommandResult
from farm.guest.ssh import Ssh

# A guest that is asked without a deadline gets this many seconds.
ANSWER_SECONDS = 30.0


class Patient:
    """A guest that may be dead: nothing asked of it waits for more than its deadline, whatever the state."""

    def __init__(self, qemu: Qemu | None, ssh: Ssh | None) -> None:
        self._qemu = qemu
        self._ssh = ssh

    def run(self, argv: Sequence[str], *, deadline: Deadline | None = None, check: bool = True) -> CommandResult:
        """Run a command. Raises FarmError when ssh does not answer."""
        if self._ssh is None:
            raise InfrastructureError("there is no ssh connection to the guest")
        return self._ssh.run(argv, deadline=deadline or Deadline(ANSWER_SECONDS), check=check, guard=lambda: None)

    def sysrq(self, key: str) -> None:
        """Send a break and a sysrq key over the serial line. Raises InfrastructureError when QEMU is gone."""
        qemu = self._present()
        qemu.send_break()
        qemu.console.type(key)

    def human_monitor(self, command: str, deadline: Deadline) -> str:
        """Ask QEMU's own monitor. Raises InfrastructureError when QEMU is gone or does not answer."""
        return self._present().qmp.human(command, deadline=deadline)

    def _present(self) -> Qemu:
        if self._qemu is None:
            raise InfrastructureError("QEMU does not run")
        return self._qemu
