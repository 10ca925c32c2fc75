"""ssh to the guest: one kept connection, any number of commands on it at once."""

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from shlex import quote

import paramiko

from farm.deadline import Deadline
from farm.errors import HangError, InfrastructureError
from farm.guest.command import POLL_SECONDS, Command, Guard
from farm.guest.pulse import Pulse
from farm.guest.shell import CommandError, CommandResult, ConnectionLostError, Record
from farm.guest.stream import Running

# The library logs with tracebacks what it also raises.
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)

# The only algorithms that the guest's sshd offers (images/debian/overlay/etc/ssh/sshd_config); cheap under emulation.
CIPHER = "aes128-gcm@openssh.com"
KEX = "curve25519-sha256@libssh.org"
# The library's own limits; the farm's deadlines are what counts.
PATIENCE_SECONDS = 3600.0


class Ssh:
    """A connection to the guest's root. Methods may be called from any thread."""

    def __init__(self, port: int, key_file: Path, host_key: str, *, record: Record, guard: Guard) -> None:
        """`record` is told every command with its output; `guard` raises to end whatever waits for the guest.

        `host_key` is the only key accepted of the guest, as `ssh-ed25519 AAAA…`.
        """
        self._port = port
        self._key_file = key_file
        self._host_key = host_key.split()[1]
        self._record = record
        self._guard = guard
        self._transport: paramiko.Transport | None = None
        # Beats from the first login on.
        self.pulse: Pulse | None = None

    def connect(self, deadline: Deadline) -> None:
        """Connect as soon as sshd answers.

        Raises ConnectionLostError when it does not before the deadline; InfrastructureError when somebody else answers,
        or the farm's key cannot be read or is refused.
        """
        key = self._read_key()
        while True:
            transport = paramiko.Transport(self._answering_socket(deadline))
            try:
                self._log_in(transport, key, deadline)
            except _BrokenLoginError as error:
                transport.close()
                if deadline.expired:
                    raise self._silent(deadline) from error
            except BaseException:
                transport.close()
                raise
            else:
                self._transport = transport
                self.pulse = Pulse(transport)
                return

    def run(
        self,
        command: Sequence[str] | str,
        *,
        deadline: Deadline,
        input: bytes = b"",
        check: bool = True,
        guard: Guard | None = None,
        out: Callable[[bytes], None] | None = None,
    ) -> CommandResult:
        """Run a command, given as words or as a script for sh, to its end; `out` takes its output as it comes.

        Raises CommandError when it fails (unless `check` is false), HangError when it outlasts the deadline,
        ConnectionLostError when the connection breaks, and whatever the guard raises.
        """
        result = self._execute(Command(command, deadline, guard or self._guard, input, out))
        if check and result.status != 0:
            raise CommandError(result)
        return result

    def put(self, content: bytes | Path, remote: str, *, deadline: Deadline, mode: int = 0o644) -> None:
        """Write a file in the guest. Raises as `run` does, and InfrastructureError when `content` cannot be read."""
        try:
            data = content.read_bytes() if isinstance(content, Path) else content
        except OSError as error:
            raise InfrastructureError(f"cannot read {content!s} ({error.strerror})") from error
        self.run(f"cat >{quote(remote)} && chmod {mode:o} {quote(remote)}", deadline=deadline, input=data)

    def get(self, remote: str, local: Path, *, deadline: Deadline) -> None:
        """Copy a file out of the guest. Raises as `run` does; nothing is left at `local` then."""
        try:
            with local.open("wb") as file:
                def write(data: bytes) -> None:
                    file.write(data)

                result = self._execute(Command(["cat", remote], deadline, self._guard, out=write, keep=False))
            if result.status != 0:
                raise CommandError(result)
        except BaseException:
            local.unlink(missing_ok=True)
            raise

    def stream(self, command: Sequence[str] | str, on_line: Callable[[str], None] | None = None) -> Running:
        """Start a command that runs on."""
        return Running(command, self._execute, self._guard, on_line)

    def close(self) -> None:
        if self.pulse is not None:
            self.pulse.stop()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _execute(self, command: Command) -> CommandResult:
        return command.run(self._open, self._record)

    def _answering_socket(self, deadline: Deadline) -> socket.socket:
        """A connected socket on which sshd has begun to speak; QEMU accepts long before sshd listens."""
        while not deadline.expired:
            stream = socket.socket(socket.AF_INET)
            try:
                stream.settimeout(POLL_SECONDS)
                stream.connect(("127.0.0.1", self._port))
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._speaks(stream, deadline):
                    return stream
            except OSError:
                self._guard()
            except BaseException:
                stream.close()
                raise
            stream.close()
            deadline.sleep(POLL_SECONDS)
        raise self._silent(deadline)

    def _speaks(self, stream: socket.socket, deadline: Deadline) -> bool:
        """Wait for the first bytes; False when the other side hangs up instead."""
        while not deadline.expired:
            self._guard()
            try:
                return bool(stream.recv(4, socket.MSG_PEEK))
            except TimeoutError:
                continue
        return False

    def _silent(self, deadline: Deadline) -> ConnectionLostError:
        return ConnectionLostError(
            f"The guest's ssh (port {self._port} of this host) did not answer within {deadline.seconds:.0f} s.")

    def _read_key(self) -> paramiko.PKey:
        """Before the login, whose errors are the guest's."""
        try:
            return paramiko.Ed25519Key.from_private_key_file(str(self._key_file))
        except (OSError, paramiko.SSHException) as error:
            why = getattr(error, "strerror", None) or error
            raise InfrastructureError(f"cannot read the ssh key {self._key_file} ({why}). "
                                      "`farm image` builds an image with another.") from error

    def _log_in(self, transport: paramiko.Transport, key: paramiko.PKey, deadline: Deadline) -> None:
        options = transport.get_security_options()
        options.ciphers = (CIPHER,)
        options.kex = (KEX,)
        transport.banner_timeout = transport.auth_timeout = PATIENCE_SECONDS
        try:
            self._step(transport, transport.start_client, deadline)
            if transport.get_remote_server_key().get_base64() != self._host_key:
                raise InfrastructureError(
                    f"Something else than the guest answers on port {self._port}: its ssh host key is not the image's.")
            self._step(transport, lambda event: transport.auth_publickey("root", key, event), deadline)
            if not transport.is_authenticated():  # by an sshd that runs: what it was given is at fault, not its kernel
                raise InfrastructureError(
                    f"The guest's sshd refuses the key {self._key_file}: it was not made with this image, or the "
                    f"sshd_config there lets root in by no key. Remove {self._key_file.parent} and run `farm image`, "
                    "which makes both anew; give a recipe of your own the etc/ssh/sshd_config of images/debian.")
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise _BrokenLoginError(str(error)) from error

    def _step(
        self, transport: paramiko.Transport, start: Callable[[threading.Event], object], deadline: Deadline
    ) -> None:
        """Do a step of the login in the transport's thread while the guard is asked."""
        event = threading.Event()
        start(event)
        while not event.wait(POLL_SECONDS):
            self._guard()
            if deadline.expired:
                raise self._silent(deadline)
        if (error := transport.get_exception()) is not None and not isinstance(error, paramiko.AuthenticationException):
            raise error
        if not transport.is_active():
            raise EOFError("it hung up")

    def _open(self, line: str, deadline: Deadline, guard: Guard) -> paramiko.Channel:
        """Start a command line; in a thread, because paramiko waits for the guest's answer without an end."""
        transport = self._transport
        if transport is None or not transport.is_active():
            raise ConnectionLostError(f"The ssh connection to the guest is gone, so `{line[:200]}` was not run.")
        opened: Future[paramiko.Channel] = Future()
        threading.Thread(target=_start, args=(transport, line, opened), name="farm-ssh-open", daemon=True).start()
        while not deadline.expired:
            # Not by result(), whose timeout says nothing of what has come a moment later.
            wait([opened], POLL_SECONDS)
            if not opened.done():
                guard()
                continue
            try:
                return opened.result()
            except (paramiko.SSHException, OSError, EOFError) as error:
                why = error or "it hung up"
                raise ConnectionLostError(f"The guest's ssh did not start `{line[:200]}`: {why}.") from error
        raise HangError(f"The guest did not start `{line[:200]}` within {deadline.seconds:.0f} s.")


class _BrokenLoginError(Exception):
    """The connection broke before the login was complete; another try may succeed."""


def _start(transport: paramiko.Transport, line: str, opened: "Future[paramiko.Channel]") -> None:
    try:
        channel = transport.open_session(timeout=PATIENCE_SECONDS)
        channel.exec_command(line)
        opened.set_result(channel)
    except BaseException as error:  # raised where the result is asked for
        opened.set_exception(error)
