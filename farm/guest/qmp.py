"""QMP: a synchronous face over the official asyncio client, one event loop thread for each QEMU."""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from qemu.qmp import EventListener, ExecuteError, QMPClient, QMPError

from farm.deadline import Deadline
from farm.errors import InfrastructureError

# The library logs a lost connection as an error; here it is how QEMU ends.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Event:
    """Something QEMU reports of its own accord, such as RESET, SHUTDOWN, STOP or GUEST_PANICKED."""

    name: str
    data: Mapping[str, Any]
    # Seconds since the epoch on the host's clock, as QEMU gives them.
    time: float


class Qmp:
    """One QMP connection. Methods may be called from any thread, except from `on_event`."""

    def __init__(self, connection: socket.socket, on_event: Callable[[Event], None], deadline: Deadline) -> None:
        """Take the near end of QEMU's socket pair and negotiate; `on_event` is called in the loop's thread.

        Raises InfrastructureError when QEMU does not answer before the deadline.
        """
        self._on_event = on_event
        self._loop = asyncio.new_event_loop()
        # The library leaves the exception of a lost connection in a future that nobody asks.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._thread = threading.Thread(target=self._loop.run_forever, name="farm-qmp", daemon=True)
        self._thread.start()
        self._closed = False
        try:
            self._client = self._wait(self._connect(connection), deadline, "greet")
        except BaseException:
            self.close()
            raise

    @property
    def version(self) -> str:
        """QEMU's version as it greeted, e.g. `7.2.22`; with the distribution's own where it has one."""
        greeting = self._client.greeting
        said: Any = greeting.QMP.version if greeting else {}
        number = ".".join(str(said.get("qemu", {}).get(part, "?")) for part in ("major", "minor", "micro"))
        return f"{number} {said.get('package', '')}".strip()

    def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, *, deadline: Deadline
    ) -> Any:
        """Run a QMP command and return its result.

        Raises InfrastructureError when QEMU refuses it, is gone, or does not answer before the deadline.
        """
        return self._wait(self._client.execute(command, arguments), deadline, command)

    def human(self, command: str, *, deadline: Deadline, cpu: int = 0) -> str:
        """Run a command of QEMU's human monitor, e.g. `info registers -a`, and return what it prints.

        `cpu` is the one whose registers and memory are meant, where that makes a difference.
        """
        arguments = {"command-line": command, "cpu-index": cpu}
        return str(self.execute("human-monitor-command", arguments, deadline=deadline))

    def close(self) -> None:
        """End the connection and the thread; harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        with suppress(InfrastructureError, AttributeError):
            self._wait(self._disconnect(), Deadline(0.5), "close")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _connect(self, connection: socket.socket) -> QMPClient:
        client = QMPClient("farm")
        listener = EventListener()
        client.register_listener(listener)
        await client.connect(connection)
        self._pump = asyncio.get_running_loop().create_task(self._hand_on(listener))
        return client

    async def _hand_on(self, listener: EventListener) -> None:
        async for message in listener:
            stamp: Any = message.get("timestamp", {})
            data: Any = message.get("data", {})
            seconds = stamp.get("seconds", 0) + stamp.get("microseconds", 0) / 1e6
            self._on_event(Event(str(message["event"]), data, seconds))

    async def _disconnect(self) -> None:
        self._pump.cancel()
        with suppress(Exception):
            await self._client.disconnect()

    def _wait(self, work: Coroutine[Any, Any, _Result], deadline: Deadline, what: str) -> _Result:
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # the loop is closed
            work.close()
            raise InfrastructureError(f"QEMU is gone: it was asked to `{what}`") from None
        try:
            return future.result(deadline.remaining())
        except FutureTimeoutError as error:
            future.cancel()
            raise InfrastructureError(f"QEMU did not answer `{what}` within {deadline.seconds:.1f} s") from error
        except ExecuteError as error:
            raise InfrastructureError(f"QEMU refused `{what}`: {error}") from error
        except (QMPError, OSError, EOFError) as error:
            raise InfrastructureError(f"QEMU is gone: it was asked to `{what}` ({error})") from error
