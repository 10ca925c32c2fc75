"""A directory that one process at a time works in: a bisection, a qualification, a reproduction."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from farm.errors import UserError

# Name of the file that a process holds while it works in a directory.
LOCK = "lock"


@contextmanager
def alone_in(directory: Path, doing: str) -> Iterator[None]:
    """Be the only process that works in a directory, which is made when missing.

    `doing` is for the sentence about the other one: `another process bisects in ...`. Raises UserError.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / LOCK).acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"another process {doing} in {directory}.") from error
    except OSError as error:
        raise UserError(f"{directory} cannot be made or written to: {error.strerror}.") from error
    with lock:
        yield


def is_taken(directory: Path) -> bool:
    """Whether another process is `alone_in` a directory at this moment. Raises OSError."""
    try:
        with FileLock(directory / LOCK).acquire(timeout=0):
            return False
    except Timeout:
        return True
