"""An ssh server of this process: enough of one to play the guest's."""

import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import paramiko

# What a thread gets that writes to a channel when its client has gone: paramiko tells of a broken connection by
# EOFError (Packetizer.write_all), of a closed channel by OSError.
_GONE = (OSError, EOFError)


class Sshd:
    """Runs commands with sh, each in a session of its own, as OpenSSH's server does."""

    def __init__(self, host_key: Path, client_key: str) -> None:
        """`client_key` is the base64 of the only public key let in."""
        self._host_key = paramiko.Ed25519Key.from_private_key_file(str(host_key))
        self._client_key = client_key
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        # Cleared, the server hangs at the next command as a dead guest does.
        self.answers = threading.Event()
        self.answers.set()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(stream)
            transport.add_server_key(self._host_key)
            self._transports.append(transport)
            transport.start_server(event=threading.Event(), server=_Login(self._client_key, self.answers))

    def hang_up(self) -> None:
        """Break all connections."""
        for transport in self._transports:
            with suppress(OSError):  # closed already
                transport.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.answers.set()
        # accept() in another thread does not notice a close.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for transport in self._transports:
            transport.close()


class _Login(paramiko.ServerInterface):
    def __init__(self, client_key: str, answers: threading.Event) -> None:
        self._client_key = client_key
        self._answers = answers

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        good = username == "root" and key.get_base64() == self._client_key
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_global_request(self, kind: str, msg: paramiko.Message) -> bool:
        self._answers.wait()
        return False

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._answers.wait()
        threading.Thread(target=_execute, args=(channel, command), daemon=True).start()
        return True


def _execute(channel: paramiko.Channel, command: bytes) -> None:
    """As sshd does, begin when the client was told that the command is started: nothing of it may come before that.

    The farm sends input, or its end, when it was told so.
    """
    with suppress(*_GONE):
        _run(channel, command, channel.recv(65536))


def _run(channel: paramiko.Channel, command: bytes, data: bytes) -> None:
    child = subprocess.Popen(
        ["/bin/sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True)
    pumps = [
        threading.Thread(target=_copy, args=(child.stdout, channel.sendall), daemon=True),
        threading.Thread(target=_copy, args=(child.stderr, channel.sendall_stderr), daemon=True),
    ]
    threading.Thread(target=_feed, args=(channel, child, data), daemon=True).start()
    for pump in pumps:
        pump.start()
    for pump in pumps:
        pump.join()
    status = child.wait()
    if status >= 0:
        channel.send_exit_status(status)
    channel.close()


def _copy(source, write) -> None:
    try:
        while data := source.read1(65536):
            write(data)
    except _GONE:
        source.close()


def _feed(channel: paramiko.Channel, child: "subprocess.Popen[bytes]", data: bytes) -> None:
    with suppress(*_GONE):
        while data:
            child.stdin.write(data)
            child.stdin.flush()
            data = channel.recv(65536)
        child.stdin.close()
