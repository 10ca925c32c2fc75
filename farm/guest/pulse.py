"""The guest's pulse: its sshd is asked once a second whether it is there.

The question is ssh's own (RFC 4254, "Global Requests"): sshd answers it with a refusal, and no process is started in
the guest for it, which under memory pressure may be the very thing that hangs.
"""

import threading
import time
from contextlib import suppress

import paramiko

# Wall seconds from an answer to the next question.
BEAT = 1.0


class Pulse:
    """Asks over one connection until that is closed."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self._transport = transport
        self._stop = threading.Event()
        # When the open question was asked, on the monotonic clock; None while there is none.
        self._asked: float | None = None
        threading.Thread(target=self._ask, name="farm-pulse", daemon=True).start()

    @property
    def owing(self) -> float:
        """Seconds that the guest has owed an answer; 0 while it owes none."""
        asked = self._asked
        return 0.0 if asked is None else time.monotonic() - asked

    @property
    def lost(self) -> bool:
        """True when the guest's end, not the farm's, has closed the connection."""
        return not (self._transport.is_active() or self._stop.is_set())

    def stop(self) -> None:
        """Ask no more; to be called before the connection is closed."""
        self._stop.set()

    def _ask(self) -> None:
        while self._transport.is_active() and not self._stop.wait(BEAT):
            self._asked = time.monotonic()
            with suppress(paramiko.SSHException, OSError, EOFError):
                self._transport.global_request("keepalive@farm")
            self._asked = None
