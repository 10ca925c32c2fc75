"""Kept trees: a repository, one work tree and one `O=` directory per flavor, all below `trees/NAME/`.

The work tree is only ever moved from commit to commit by git, which writes just the files that differ: a build
after a small change compiles little. Whoever uses a tree holds its lock, for as long as the build runs.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import BuildError, InfrastructureError, UserError
from farm.host.workdir import Workdir
from farm.kernel import git

# How long to wait for another build in the same tree.
LOCK_SECONDS = 4 * 3600.0
# What a tree's repository and work tree take, in MiB (6.12: 330 + 1600, and room for the next one).
TREE_MIB = 2600
# Left in a kept `O=` directory as long as make runs.
RUNNING = ".farm-running"
# What an interrupted build may leave newer than RUNNING without harm: kconfig renames these into place, and
# without them every object would be compiled again.
_KEPT = ("include/config", "include/generated/autoconf.h", "include/generated/rustc_cfg")


@dataclass(frozen=True)
class Tree:
    """One kept tree; use it under `opened`."""

    directory: Path

    @property
    def repository(self) -> Path:
        return self.directory / "repository.git"

    @property
    def work(self) -> Path:
        return self.directory / "work"

    def output(self, flavor: str) -> Path:
        """The kept `O=` directory of a flavor."""
        return self.directory / "o" / flavor

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A temporary directory on the tree's file system; what a dead process left there goes first."""
        base = self.directory / "tmp"
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir()
        try:
            yield Path(tempfile.mkdtemp(dir=base))
        finally:
            shutil.rmtree(base, ignore_errors=True)

    def checkout(self, commit: str) -> None:
        """Make the work tree equal to the commit, writing only the files that differ. Raises InfrastructureError."""
        (self.repository / "index.lock").unlink(missing_ok=True)  # of a git that was killed; we hold the tree's lock
        self.work.mkdir(exist_ok=True)
        repository = git.Repository(self.repository)
        repository.run("read-tree", "--reset", "-u", commit, work_tree=self.work)
        repository.run("clean", "-ffdxq", work_tree=self.work)


def lock_name(name: str) -> str:
    """Name of the lock that whoever uses the tree holds."""
    return f"tree-{name}"


@contextmanager
def opened(workdir: Workdir, name: str) -> Iterator[Tree]:
    """The kept tree of that name, locked against other processes."""
    with workdir.locked(lock_name(name), Deadline(LOCK_SECONDS)):
        yield Tree(workdir.directory("trees", name))


@contextmanager
def compiling(output: Path) -> Iterator[None]:
    """Mark the `O=` directory while make runs in it, and mend it when the last make there was killed.

    A killed compiler may leave a cut-off object beside the `.cmd` file of an earlier build, and make would
    take it for good. Whatever was written since that make began is removed; ccache brings most of it back.
    """
    output.mkdir(parents=True, exist_ok=True)
    mark = output / RUNNING
    os.utime(output)  # when it was last used, for pruning
    if mark.exists():
        remove_newer(output, mark.stat().st_mtime_ns)
    else:
        mark.touch()
        handle = os.open(output, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    try:
        yield
    except (UserError, BuildError):  # make ended by itself; after any other exception it was stopped in the middle
        mark.unlink()
        raise
    mark.unlink()


def remove_newer(output: Path, since: int) -> int:
    """Remove what was written at or after `since` (ns since the epoch) by an interrupted make; returns how many."""
    kept = tuple(str(output / name) for name in _KEPT)
    removed = 0
    for folder, _, names in os.walk(output):
        for name in names:
            path = Path(folder, name)
            if name.startswith((".config", ".farm-")) or str(path).startswith(kept):
                continue
            with suppress(FileNotFoundError):
                if path.lstat().st_mtime_ns >= since:
                    path.unlink()
                    removed += 1
    return removed


def require_space(path: Path, need_mib: int, what: str) -> None:
    """Raises InfrastructureError when the disk has less than `need_mib` MiB left for `what`."""
    free = shutil.disk_usage(path).free >> 20
    if free < need_mib:
        raise InfrastructureError(
            f"{what} needs about {need_mib} MiB below {path}, and only {free} MiB are free. "
            "Make room, or let `farm cache prune --max-size 5G` do it, or set FARM_CACHE to a larger disk."
        )
