"""What builds keep beside their results, and can do without: work trees, `O=` directories, compiler cache.

None of it is needed to use a kernel that was built; all of it makes the next build quick.
"""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import InfrastructureError
from farm.host.workdir import Workdir
from farm.kernel.trees import Tree, lock_name


@dataclass(frozen=True)
class Kept:
    """One thing that may be removed to make room."""

    # `tree` (repository and work tree), `output` (an O= directory) or `ccache`.
    kind: str
    path: Path
    # Bytes on disk.
    size: int
    # Seconds since the epoch when a build last used it.
    used: float
    # Name of the lock that a build holds.
    lock: str


def kept(workdir: Workdir) -> list[Kept]:
    """All that is kept, least recently used first; a tree comes after its O= directories."""
    found = []
    for directory in sorted((workdir.root / "trees").glob("*")):
        tree, lock = Tree(directory), lock_name(directory.name)
        outputs = [
            Kept("output", path, _size(path), _time(path), lock) for path in sorted((directory / "o").glob("*"))]
        newest = max([_time(tree.work), *(output.used for output in outputs)])
        size = _size(tree.repository) + _size(tree.work)
        found += [*outputs, Kept("tree", directory, size, newest, lock)]
    ccache = workdir.root / "ccache"
    if ccache.is_dir():
        newest = max([_time(ccache), *(one.used for one in found)])
        found.append(Kept("ccache", ccache, _size(ccache), newest, "ccache"))  # a build in progress starts it anew
    return sorted(found, key=lambda one: one.used)


def remove(workdir: Workdir, one: Kept) -> bool:
    """Remove it unless a build uses it now. It is renamed first: nothing half-removed is ever used."""
    try:
        with workdir.locked(one.lock, Deadline(0)):
            grave = one.path.with_name(f".removed-{one.path.name}")
            shutil.rmtree(grave, ignore_errors=True)
            with suppress(FileNotFoundError):
                one.path.rename(grave)
            shutil.rmtree(grave, ignore_errors=True)
    except InfrastructureError:
        return False
    return True


def _time(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _size(path: Path) -> int:
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += Path(folder, name).lstat().st_blocks * 512
    return total
