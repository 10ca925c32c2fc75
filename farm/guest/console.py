"""The serial console. It is evidence: nothing is ever typed on it, apart from sysrq keys to a kernel that hangs.

Every byte is drained without pause, because a guest whose console is not read stands still, written to the log and
handed to whoever listens. pexpect matches what is waited for. QEMU's own `logfile=` would do for the log, but it
writes bytes twice when the socket is full for a moment (seen with 7.2).
"""

import queue
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pexpect
from pexpect.spawnbase import SpawnBase

from farm.deadline import Deadline
from farm.errors import InfrastructureError
from farm.guest.shell import visible

# How often a wait looks whether it has to end early, in seconds.
GUARD_SECONDS = 0.05
# A match must lie within the last bytes read: a regular expression over the whole log would cost minutes.
WINDOW = 4096


class ConsoleClosedError(Exception):
    """QEMU closed its end: it has ended."""


if TYPE_CHECKING:
    _Spawn = SpawnBase[bytes]  # generic in the type stubs only
else:
    _Spawn = SpawnBase


class Ear(_Spawn):
    """Hears what the console prints from its creation on, for pexpect."""

    def __init__(self, leave: Callable[["Ear"], None]) -> None:
        super().__init__(timeout=None, maxread=65536, searchwindowsize=WINDOW)
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._leave = leave
        self.delayafterread = None

    def hear(self, data: bytes) -> None:
        """Take a chunk; an empty one is the end."""
        self._chunks.put(data)

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> bytes:
        """What pexpect calls for more; `size` is not a limit here because the chunks are in memory already."""
        try:
            data = self._chunks.get(timeout=timeout)
        except queue.Empty:
            raise pexpect.TIMEOUT("nothing on the console") from None
        if not data:
            raise pexpect.EOF("console closed")
        return data

    def wait_for(self, pattern: bytes, deadline: Deadline, guard: Callable[[], None] = lambda: None) -> bool:
        """Wait until a regular expression matches; False when the deadline passes first.

        End the pattern with `\\r?\\n`, or it matches a line that is still being printed. `guard` is called while
        waiting and raises to end the wait. Raises ConsoleClosedError when QEMU ends.
        """
        while True:
            try:
                self.expect([pattern], timeout=min(GUARD_SECONDS, deadline.remaining()))
            except pexpect.EOF as error:
                raise ConsoleClosedError from error
            except pexpect.TIMEOUT:
                guard()
                if deadline.expired:
                    return False
            else:
                return True

    def __enter__(self) -> "Ear":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(self)


class Console:
    """The near end of QEMU's console socket."""

    def __init__(self, connection: socket.socket, log: Path, consumer: Callable[[bytes], None]) -> None:
        """Drain `connection` into `log` and `consumer`, chunk by chunk, until QEMU closes it.

        A log that exists is appended to: a power cycle continues it.
        """
        self.log = log
        self._connection = connection
        self._consumer = consumer
        self._lock = threading.Lock()
        self._ears: list[Ear] = []
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._drain, name="farm-console", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def listen(self) -> Ear:
        """An ear for what comes from now on; to be used as a context manager."""
        ear = Ear(self._leave)
        with self._lock:
            self._ears.append(ear)
        return ear

    def type(self, text: str) -> None:
        """Send characters, as the key after a break is one. Does nothing when QEMU has ended."""
        with suppress(OSError):
            self._connection.sendall(text.encode())

    def tail(self, lines: int = 30) -> str:
        """The last lines of the log, with what could move a terminal's cursor made visible."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - lines * 400))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return visible(text, lines, lines * 400)

    def finish(self, deadline: Deadline) -> None:
        """Wait for the last bytes of a QEMU that has ended, then close. Raises what a consumer raised."""
        if self._thread.ident is not None:
            self._thread.join(deadline.remaining())
        self._connection.close()
        if self._failure is not None:
            raise self._failure

    def _leave(self, ear: Ear) -> None:
        with self._lock, suppress(ValueError):
            self._ears.remove(ear)

    def _drain(self) -> None:
        with ExitStack() as files:
            try:
                log = files.enter_context(self.log.open("ab", buffering=0))
                takers: list[Callable[[bytes], object]] = [log.write, self._consumer]
            except OSError as error:
                takers, self._failure = [self._consumer], self._cannot_write(error)
            data = b"-"
            while data:
                data = self._receive()
                for taker in takers if data else ():
                    self._hand(data, taker)
                with self._lock:
                    for ear in self._ears:
                        ear.hear(data)

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(65536)
        except OSError:
            return b""

    def _hand(self, data: bytes, taker: Callable[[bytes], object]) -> None:
        """A taker that fails is told of by finish(), where somebody can hear it; draining goes on."""
        try:
            taker(data)
        except OSError as error:
            self._failure = self._failure or self._cannot_write(error)
        except BaseException as error:
            self._failure = self._failure or error

    def _cannot_write(self, error: OSError) -> InfrastructureError:
        return InfrastructureError(f"the console could not be written to {self.log} ({error.strerror})")
