"""Where the farm keeps things: its cache, its run directories, and the data it is shipped with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

import farm
from farm.deadline import Deadline
from farm.errors import InfrastructureError

# How long to wait for a lock when the caller does not say.
_LOCK_SECONDS = 3600.0


@dataclass(frozen=True)
class Workdir:
    """The farm's own directory: everything below it can be rebuilt, and nothing else is written to."""

    # Root; $FARM_CACHE or the user's cache directory.
    root: Path

    @classmethod
    def default(cls) -> "Workdir":
        return cls(Path(os.environ.get("FARM_CACHE") or platformdirs.user_cache_dir("farm")).absolute())

    def directory(self, *parts: str) -> Path:
        """A directory below the root, made when missing. Raises InfrastructureError when it cannot be."""
        path = self.root.joinpath(*parts)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InfrastructureError(
                f"cannot make the directory {path} ({error.strerror}). Set FARM_CACHE to a place you can write to."
            ) from error
        return path

    @contextmanager
    def locked(self, name: str, deadline: Deadline | None = None) -> Iterator[None]:
        """Hold a lock that all farm processes on this host share; the system releases it when one dies.

        Raises InfrastructureError when another process holds it beyond the deadline (default: one hour).
        """
        path = self.directory("locks") / f"{name}.lock"
        wait = deadline or Deadline(_LOCK_SECONDS)
        try:
            lock = FileLock(path).acquire(timeout=wait.remaining())
        except Timeout as error:
            raise InfrastructureError(
                f"another farm process still holds {path} after {wait.seconds:.0f} s"
            ) from error
        with lock:
            yield


def data_directory(name: str) -> Path:
    """`configs`, `images` or `testcases`: beside the package in a checkout, inside it when installed."""
    package = Path(farm.__file__).parent
    beside = package.parent / name
    return beside if beside.is_dir() else package / "data" / name


def results_directory() -> Path:
    """Where results are kept that nothing can rebuild: $FARM_DATA or the user's data directory."""
    return Path(os.environ.get("FARM_DATA") or platformdirs.user_data_dir("farm")).absolute()
