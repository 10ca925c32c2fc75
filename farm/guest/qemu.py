"""One QEMU process with its sockets; the pieces of a guest that exist without the guest's help."""

import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import BootError, InfrastructureError, UserError
from farm.guest.console import Console, ConsoleClosedError
from farm.guest.qmp import Event, Qmp
from farm.host import process

# A healthy QEMU ends within a few milliseconds of `quit`; what does not is killed.
QUIT_SECONDS = 0.4
GREETING_SECONDS = 20.0
ANSWER_SECONDS = 5.0

# Seconds that QEMU may take to be gone once its sockets are closed.
ENDING_SECONDS = 5.0
# The signals by which a program with a bug ends.
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)

# images/debian prints the first when userspace is up; a panic ends the wait for it.
_BOOTED = rb"(farm-guest ready|Kernel panic - not syncing[^\r\n]*)\r?\n"

# What each argument list is made of: the console's and QMP's file descriptors on QEMU's side.
ArgvOf = Callable[[int, int], list[str]]


class Qemu:
    """A QEMU process, from its start to its end."""

    def __init__(
        self,
        argv_of: ArgvOf,
        *,
        scratch: Path,
        log: Path,
        console_log: Path,
        on_console: Callable[[bytes], None],
        on_event: Callable[[Event], None],
        replaceable: bool = False,
    ) -> None:
        """Start QEMU and connect to it.

        `log` gets its standard error, `console_log` every byte of the console; both are continued. A crash of a
        `replaceable` QEMU is its owner's affair alone. Raises InfrastructureError with what QEMU said when it ends at
        once, UserError when its ssh port is taken or it is not installed.
        """
        self.replaceable = replaceable
        self.started = time.monotonic()
        self._log = log
        self._exit = ExitStack()
        try:
            self._start(argv_of, scratch, console_log, on_console, on_event)
        except BaseException:
            self.stop()
            raise

    def _start(
        self, argv_of: ArgvOf, scratch: Path, console_log: Path, on_console: Callable[[bytes], None],
        on_event: Callable[[Event], None],
    ) -> None:
        console, console_far = socket.socketpair()
        qmp, qmp_far = socket.socketpair()
        self._exit.callback(qmp.close)
        with console_far, qmp_far, self._log.open("ab") as errors:
            handles = (console_far.fileno(), qmp_far.fileno())
            self.argv = argv_of(*handles)
            self.console = Console(console, console_log, on_console)
            self._exit.callback(lambda: self.console.finish(Deadline(1.0)))
            self._child: subprocess.Popen[bytes] = process.spawn(
                self.argv, env={"TMPDIR": str(scratch)}, stdout=errors, stderr=errors, pass_fds=handles)
            self._exit.callback(self._end_process)
        # Opened before the first byte is read, so that a wait for something of the boot cannot miss it.
        self.boot_ear = self.console.listen()
        self.console.start()
        try:
            self.qmp = Qmp(qmp, on_event, Deadline(GREETING_SECONDS))
        except InfrastructureError as error:
            raise self._why_dead(error) from error
        self._exit.callback(self.qmp.close)

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    @property
    def pid(self) -> int:
        return self._child.pid

    def wait_for_userspace(self, deadline: Deadline, guard: Callable[[], None] = lambda: None) -> float:
        """Wait for the ready line; the seconds since QEMU started. To be called once.

        `guard` raises to end the wait. Raises BootError when the deadline passes or the kernel panics,
        InfrastructureError when QEMU ends.
        """
        with self.boot_ear as ear:
            try:
                arrived = ear.wait_for(_BOOTED, deadline, guard)
            except ConsoleClosedError:
                with suppress(subprocess.TimeoutExpired):
                    self._child.wait(ENDING_SECONDS)
                raise InfrastructureError(self._obituary()) from None
        if not arrived:
            raise BootError(f"The guest did not get ready within {deadline.seconds:.0f} s.")
        if isinstance(ear.after, bytes) and b"panic" in ear.after:
            raise BootError("The kernel panicked while it booted.")
        return time.monotonic() - self.started

    @property
    def crashed(self) -> bool:
        """True when QEMU ended by a bug of its own."""
        return -(self._child.poll() or 0) in CRASHES

    @property
    def ending(self) -> str:
        """How QEMU ended by itself, in a sentence with the end of what it said; "" while it runs or is replaced."""
        return "" if self.alive or (self.replaceable and self.crashed) else self._obituary()

    def _obituary(self) -> str:
        status = self._child.poll()
        if status is None:
            return "QEMU closed its console and still runs."
        how = f"with status {status}" if status >= 0 else f"by signal {-status} ({_signal_name(-status)})"
        said = self._said()
        return f"QEMU ended {how}" + (f":\n{said}" if said else ".")

    def ssh_port(self) -> int:
        """The port of this host's loopback that leads to the guest's ssh, as QEMU tells it.

        Raises InfrastructureError when QEMU does not say.
        """
        shown = self.qmp.human("info usernet", deadline=Deadline(ANSWER_SECONDS))
        match = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s", shown)
        if not match:
            raise InfrastructureError(f"QEMU does not name the port it forwards to the guest's ssh:\n{shown}")
        return int(match[1])

    def send_break(self, deadline: Deadline) -> None:
        """A break on the serial line: the key typed next is a sysrq key (drivers/tty/serial/serial_core.c)."""
        self.qmp.execute("chardev-send-break", {"id": "console"}, deadline=deadline)

    def stop(self) -> None:
        """End QEMU and everything that belongs to it; harmless when repeated."""
        if hasattr(self, "qmp") and self.alive:
            with suppress(InfrastructureError):
                self.qmp.execute("quit", deadline=Deadline(QUIT_SECONDS))
                with suppress(subprocess.TimeoutExpired):
                    self._child.wait(QUIT_SECONDS)
        self._exit.close()

    def _end_process(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()

    def _said(self) -> str:
        with suppress(OSError):
            return "\n".join(self._log.read_text(errors="replace").strip().splitlines()[-15:])
        return ""

    def _why_dead(self, error: InfrastructureError) -> Exception:
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(1.0)
        if self.alive:
            return error
        if "Could not set up host forwarding rule" in self._said():
            rule = next((part for word in self.argv for part in word.split(",") if part.startswith("hostfwd=")), "")
            port = rule.rpartition(":127.0.0.1:")[2].partition("-")[0]
            return UserError(f"Port {port} of this host is in use, so the guest's ssh cannot have it. "
                             "Choose another with --ssh-port, or leave the option out.")
        return InfrastructureError(f"{self._obituary()}\nThe whole command is in qemu.txt beside {self._log}.")


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return "unknown"
