"""Files of records, one line of JSON each, that are appended to and outlive whatever happens to the process next."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from farm.errors import InfrastructureError


def append(path: Path, entry: Any) -> None:
    """Write a record and wait until it is on disk. Raises InfrastructureError."""
    try:
        # A line that a dying process left cut off is ended first.
        torn = path.exists() and not _ends_whole(path)
        with path.open("a", encoding="utf-8") as out:
            out.write(("\n" if torn else "") + json.dumps(entry, sort_keys=True) + "\n")
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise InfrastructureError(f"cannot write {path} ({error.strerror})") from error


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read(path: Path) -> Iterator[Any]:
    """The records, earliest first; none when there is no file. A line that was cut off is no record."""
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        if not line.endswith(b"\n"):
            return
        try:
            yield json.loads(line)
        except ValueError:
            continue
