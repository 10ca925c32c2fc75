"""The files that a bisection was given: what they hold belongs to what is asked.

A patch that is edited meanwhile makes other kernels of the same revisions, and other answers.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from farm.errors import UserError

# Path and digest of each file.
Inputs = tuple[tuple[str, str], ...]


def digests(paths: Iterable[Path]) -> Inputs:
    """Of each file, and of each file directly in a directory. Raises UserError for what cannot be read."""
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return tuple(dict.fromkeys((str(file.absolute()), _digest(file)) for file in files if not file.is_dir()))


def of_testcases(testcases: Sequence[str]) -> list[Path]:
    """The files of testcases that are named as `FILE::NAME`."""
    return [Path(testcase.partition("::")[0]) for testcase in testcases]


def require_unchanged(inputs: Inputs) -> None:
    """Raises UserError naming a file that is gone or holds something else than when the bisection began."""
    for name, digest in inputs:
        if _digest(Path(name)) != digest:
            raise UserError(f"{name} has changed since this bisection began, and its answers would no longer belong "
                            "together. Restore it, or begin anew in another --dir.")


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}.") from error
