"""Nothing survives the farm: a janitor process sweeps up behind it, even after `kill -9`.

Every process that the farm starts carries the lease's id in its environment, and every temporary file lies in
the lease's scratch directory. The janitor, a process of its own session, waits for the farm's end, kills whatever
the lease covers (see `farm.host.janitor`), removes the scratch directory and ends.

Leases nest: the workers of pytest-xdist are children of a farm process and hold leases of their own.
"""

import atexit
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from farm.errors import InfrastructureError
from farm.host import janitor
from farm.host.janitor import JANITOR_VARIABLE, VARIABLE


class Lease:
    """The right of this process to have children and temporary files, and the janitor that ends it."""

    def __init__(self, parent: str = "") -> None:
        base = Path(os.environ.get("FARM_TMPDIR") or tempfile.gettempdir()).absolute()
        # The short name matters: unix socket paths end at 107 bytes.
        self.scratch = base / f"farm-{secrets.token_hex(4)}"
        self.pid = os.getpid()
        self._chain = f"{parent}:{self.scratch.name}".lstrip(":")
        # Neither end is inherited over exec; only the janitor gets the reading end.
        reading, self._held = os.pipe()
        try:
            self._janitor = subprocess.Popen(
                [sys.executable, "-I", "-S", janitor.__file__, str(self.scratch), str(self.pid)],
                stdin=reading, stdout=subprocess.DEVNULL, start_new_session=True, cwd="/",
                env={**_without_leases(), JANITOR_VARIABLE: self._chain},
            )
            # Only now: a farm that is killed in between leaves nothing.
            self.scratch.mkdir(mode=0o700)
        except OSError as error:
            os.close(self._held)
            raise InfrastructureError(
                f"cannot make a temporary directory in {base} ({error.strerror}). Set FARM_TMPDIR to a directory that "
                "you can write to."
            ) from error
        finally:
            os.close(reading)

    @property
    def ended(self) -> bool:
        return self._held < 0

    def environment(self) -> dict[str, str]:
        """What to add to the environment of a child so that it ends with this lease."""
        return {VARIABLE: self._chain}

    def end(self) -> None:
        """Let the janitor sweep and wait for it; harmless when repeated or called in a forked child."""
        if os.getpid() != self.pid or self.ended:
            return
        # Not by closing alone: a forked child may hold the pipe open.
        with suppress(OSError):
            os.write(self._held, b".")
        status = self._janitor.wait()
        if status != 0:
            janitor.sweep(self.scratch)
        os.close(self._held)
        self._held = -1


_current: Lease | None = None
_guard = threading.Lock()


def current() -> Lease:
    """The lease of this process, taken at first use and ended at exit."""
    global _current  # noqa: PLW0603 - one lease a process, like its pid
    with _guard:
        if _current is None or _current.ended or _current.pid != os.getpid():
            _current = Lease(os.environ.get(VARIABLE, ""))
            atexit.register(_current.end)
        return _current


def _renew_guard() -> None:
    global _guard  # noqa: PLW0603 - a fork may happen while another thread holds it
    _guard = threading.Lock()


os.register_at_fork(after_in_child=_renew_guard)


def _without_leases() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != VARIABLE}


def scratch_directory(prefix: str) -> Path:
    """A fresh private directory that ends with this process."""
    return Path(tempfile.mkdtemp(prefix=prefix + "-", dir=current().scratch))
