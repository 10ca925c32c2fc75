"""What goes into a kernel build, what comes out of it, and how far it has come."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from farm.host.cache import Entry
from farm.model import KernelId

DEFAULT_SOURCE = "debian:linux-source-6.12"
DEFAULT_FLAVOR = "base"


@dataclass(frozen=True)
class BuildRequest:
    """Which kernel is wanted."""

    # `debian:<package>` or the path of a git repository with a kernel tree.
    source: str = DEFAULT_SOURCE
    # Revision in that repository; None is its HEAD. Debian's tarballs have none.
    rev: str | None = None
    # Patches to apply on top, in order: diffs, `git format-patch` files or mboxes.
    patches: tuple[Path, ...] = ()
    # Name of the flavor.
    flavor: str = DEFAULT_FLAVOR
    # `SYMBOL=value`, applied last.
    overrides: tuple[str, ...] = ()
    # Directories with the user's flavors.toml and *.config.j2, searched before the farm's own.
    config_dirs: tuple[Path, ...] = ()
    # Parallel compiler jobs; None is one for each CPU this process may use. Not part of the build's identity.
    jobs: int | None = None


@dataclass(frozen=True)
class Kernel:
    """A kernel that can be booted. Its files stay in the cache as long as this object lives."""

    id: KernelId
    # bzImage.
    image: Path
    # The final .config.
    config: Path | None = None
    # ELF image with symbols; only flavors with DWARF keep it.
    vmlinux: Path | None = None
    # The sources' scripts/decode_stacktrace.sh, kept beside vmlinux.
    decoder: Path | None = None
    # Zip archive with the sources' vmlinux-gdb.py and what it loads, kept beside vmlinux.
    gdb_scripts: Path | None = None
    # Addresses of symbols.
    system_map: Path | None = None
    # Tar archive of lib/modules/RELEASE; None when nothing is modular.
    modules: Path | None = None
    # The whole build log.
    log: Path | None = None
    # True when nothing had to be built.
    cached: bool = field(default=True, compare=False)
    # CPU seconds (user and system) that building it took, when it was built.
    cpu_seconds: float = 0.0
    # Keeps the cache entry from being pruned.
    entry: Entry | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Progress:
    """How far a build has come; `done` never decreases and equals `total` at the end."""

    # Objects finished.
    done: int
    # Objects in all, as far as known; at least 1.
    total: int
    # What is being done, e.g. `CC fs/xfs/xfs_log.o`.
    what: str


Report = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """For callers who do not watch."""
