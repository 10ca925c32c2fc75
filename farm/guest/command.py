"""One command on an ssh channel: moves its input and output, and ends it in the guest when it has to end early.

Commands run in a process group of their own, and the first line they print is its number: that is how a command
that outlasts its deadline is ended in the guest too, with whoever descends from it (sshd of Debian 12 refuses the
protocol's own signals for root).
"""

import select
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files

import paramiko

from farm.deadline import Deadline
from farm.errors import FarmError, HangError
from farm.guest.shell import (
    MOST_BYTES,
    CommandResult,
    ConnectionLostError,
    Record,
    StoppedError,
    as_typed,
    brief,
    entry,
    visible,
    words_of,
)

# How often a waiting command looks whether it has to end early, in seconds.
POLL_SECONDS = 0.05
CHUNK = 32768
# What ending a command in the guest may take before it is left alone.
KILL_SECONDS = 2.0

# Defines `farm_end GROUP`, in any sh.
END = (files("farm.guest") / "scripts" / "end.sh").read_text()

# Raises to end whatever waits for the guest.
Guard = Callable[[], None]
# Opens a channel and starts a command line on it; raises HangError at the deadline.
Open = Callable[[str, Deadline, Guard], paramiko.Channel]


@dataclass
class Command:
    """A command to run, and what has come of it."""

    # A list of words, or a script for sh.
    command: Sequence[str] | str
    deadline: Deadline
    guard: Guard
    # Written to its standard input.
    input: bytes = b""
    # Takes standard output as it comes.
    out: Callable[[bytes], None] | None = None
    # Keep standard output for the result, and for the record.
    keep: bool = True
    # Collected by run().
    _stdout: bytearray = field(default_factory=bytearray)
    _stderr: bytearray = field(default_factory=bytearray)
    _group: int = 0
    _first: bytes = b""

    def run(self, start: Open, record: Record) -> CommandResult:
        """Run it to its end and record it, however it ends.

        Raises HangError when it outlasts the deadline, ConnectionLostError when the connection breaks, and
        whatever the guard raises; the command is ended in the guest then, as far as the guest listens.
        """
        began, started, error, status = time.monotonic(), time.time(), "", -1
        try:
            self.guard()
            channel = start(self._line(), self.deadline, self.guard)
            try:
                status = self._pump(channel)
            except EOFError as problem:  # paramiko's, of a connection that breaks while something is sent
                raise self._broken() from problem
            except BaseException:
                self._kill(start)
                raise
            finally:
                with suppress(EOFError):
                    channel.close()
        except BaseException as problem:
            error = str(problem) or repr(problem)
            raise
        finally:
            result = CommandResult(
                words_of(self.command), status, self.stdout,
                self._stderr.decode(errors="replace"), time.monotonic() - began)
            record(entry(result, started=started, error=error, input=self.input))
        return result

    @property
    def stdout(self) -> str:
        """What it has printed so far, as far as it is kept."""
        return bytes(self._stdout).decode(errors="replace")

    def _line(self) -> str:
        """What sshd gets: sshd makes each session a process group (OpenSSH, session.c, do_exec_no_pty)."""
        match words_of(self.command):
            case ("sh", "-c", script):
                return f"echo $$; {script}"
            case words:
                return f"echo $$; exec {as_typed(words)}"

    def _pump(self, channel: paramiko.Channel) -> int:
        """Move input and output until the command has ended; its exit status."""
        rest = memoryview(self.input)
        if not rest:
            channel.shutdown_write()
        checked = 0.0
        while True:
            busy = self._receive(channel)
            if rest and channel.send_ready():
                rest = rest[_send(channel, rest[:CHUNK]):]
                busy = True
                if not rest:
                    channel.shutdown_write()
            if not busy and channel.exit_status_ready() and (channel.eof_received or channel.closed):
                return self._status(channel)
            if not busy or time.monotonic() - checked > POLL_SECONDS:
                checked = time.monotonic()
                self._check(channel)
            if not busy:
                _idle(channel, bool(rest))

    def _receive(self, channel: paramiko.Channel) -> bool:
        """Take what has arrived; False when nothing has."""
        busy = False
        if channel.recv_ready():
            self._take(channel.recv(CHUNK))
            busy = True
        if channel.recv_stderr_ready():
            _append(self._stderr, channel.recv_stderr(CHUNK))
            busy = True
        return busy

    def _take(self, data: bytes) -> None:
        if not self._group:
            line, newline, data = (self._first + data).partition(b"\n")
            self._first = line[:CHUNK]
            if not newline:
                return
            group = int(line) if line.isdigit() and len(line) < 10 else 0
            # What is no process id comes from a guest gone mad; `kill -- -1` would end all that it runs.
            if group < 2:
                raise ConnectionLostError(f"The guest's shell printed {line[:80]!r} instead of its process id.")
            self._group = group
        if self.keep:
            _append(self._stdout, data)
        if self.out is not None:
            self.out(data)

    def _status(self, channel: paramiko.Channel) -> int:
        """The exit status; a channel closed without one is a command ended by a signal, or a lost connection."""
        status = channel.recv_exit_status()
        if status == -1:
            # paramiko closes the channels of a lost connection a moment before it calls the connection inactive.
            time.sleep(POLL_SECONDS)
            self._check(channel)
        return status

    def _check(self, channel: paramiko.Channel) -> None:
        try:
            self.guard()
        except StoppedError:
            raise
        except FarmError:
            self._group = 0  # the guest is in no state to kill anything
            raise
        if self.deadline.expired:
            said = visible((self._stderr or self._stdout).decode(errors="replace").strip(), 5, 500)
            raise HangError(f"`{brief(self.command)}` did not end within {self.deadline.seconds:.0f} s"
                            + (f". It last said:\n{said}" if said else "."))
        if not channel.get_transport().is_active():
            raise self._broken()

    def _broken(self) -> ConnectionLostError:
        return ConnectionLostError(f"The ssh connection to the guest broke while `{brief(self.command)}` ran.")

    def _kill(self, start: Open) -> None:
        if self._group:
            with suppress(FarmError, EOFError):
                channel = start(ending(self._group), Deadline(KILL_SECONDS), lambda: None)
                channel.shutdown_write()
                channel.status_event.wait(KILL_SECONDS)
                channel.close()


def ending(group: int) -> str:
    """The script that ends a command by its process group, and what it started in other groups."""
    return f"{END}farm_end {group}"


def _append(buffer: bytearray, data: bytes) -> None:
    """Keep data up to a limit: the guest may be broken, and the farm's memory is not."""
    buffer += data[:max(0, MOST_BYTES - len(buffer))]


def _idle(channel: paramiko.Channel, sending: bool) -> None:
    """Sleep until something happens, at most one poll."""
    if channel.eof_received:
        channel.status_event.wait(POLL_SECONDS)
    elif sending:
        time.sleep(POLL_SECONDS / 10)
    else:
        select.select([channel], [], [], POLL_SECONDS)


def _send(channel: paramiko.Channel, data: memoryview) -> int:
    try:
        return channel.send(bytes(data))
    except OSError:  # the command closed its input, or ended
        return len(data)
