"""The one table of what the farm needs from the host, and the Debian package that brings it.

`make deps` installs from it and `farm doctor` reports on it. Imports the standard library only: it is read before
the virtual environment exists.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

# Debian keeps mke2fs and the like where an ordinary user's PATH does not look.
_ADMINISTRATION = ("/usr/sbin", "/sbin")


class Need(Enum):
    """What happens without it."""

    REQUIRED = "required"  # nothing can be run
    OPTIONAL = "optional"  # something is slower, or one kind of request is refused


@dataclass(frozen=True)
class Tool:
    """One thing the farm needs: a program, or files that something else reads."""

    # Name of the program, or a name for the files.
    name: str
    # Debian package that brings it.
    package: str
    # Continues the sentence "needed for …".
    purpose: str
    # Arguments that make the program print its version; empty for files.
    version: tuple[str, ...] = ("--version",)
    # The version within what it prints, as the first group.
    pattern: str = r"(\d+(?:\.\d+)+\S*)"
    # Patterns of paths below /, any one of which will do; empty for a program.
    files: tuple[str, ...] = ()
    need: Need = Need.REQUIRED
    # Needed only by a user who is not root.
    unprivileged: bool = False

    def find(self, root: Path = Path("/")) -> Path | None:
        """Where it is on this host, or None."""
        if self.files:
            return next((path for pattern in self.files for path in sorted(root.glob(pattern))), None)
        found = shutil.which(self.name) or shutil.which(self.name, path=os.pathsep.join(_ADMINISTRATION))
        return Path(found) if found else None


_KERNEL = "building kernels"
_IMAGE = "building the guest image"

TOOLS: tuple[Tool, ...] = (
    Tool("qemu-system-x86_64", "qemu-system-x86", "booting kernels", pattern=r"version (\d\S+)"),
    Tool("git", "git", "kernel trees and patches"),
    Tool("gcc", "gcc", _KERNEL, pattern=r"\) (\d\S+)"),
    Tool("make", "make", _KERNEL, pattern=r"Make (\d\S+)"),
    Tool("ld", "binutils", _KERNEL, pattern=r"\) (\d\S+)"),
    Tool("bison", "bison", _KERNEL),
    Tool("flex", "flex", _KERNEL),
    Tool("bc", "bc", _KERNEL),
    Tool("perl", "perl", _KERNEL, ("-e", 'printf "%vd", $^V')),
    Tool("cpio", "cpio", "kernels with a built-in initramfs or headers", need=Need.OPTIONAL),
    Tool("tar", "tar", "unpacking"),
    Tool("xz", "xz-utils", "unpacking kernel sources"),
    Tool("lz4", "lz4", _KERNEL, pattern=r"v(\d\S+\d)"),
    Tool("zstd", "zstd", "kernels compressed with it", pattern=r"v(\d\S+\d)", need=Need.OPTIONAL),
    Tool("depmod", "kmod", "kernels with modules", pattern=r"version (\d+)", need=Need.OPTIONAL),
    Tool("ccache", "ccache", "building kernels again quickly", need=Need.OPTIONAL),
    Tool("pahole", "pahole", "kernels with BTF", need=Need.OPTIONAL),
    Tool("C library headers", "libc6-dev", _KERNEL, files=("usr/include/stdio.h",)),
    Tool("openssl headers", "libssl-dev", _KERNEL, files=("usr/include/openssl/ssl.h",)),
    Tool("libelf headers", "libelf-dev", _KERNEL, files=("usr/include/libelf.h",)),
    Tool("linux-source-6.12", "linux-source-6.12", "the kernel that is built when none is named",
         files=("usr/src/linux-source-6.12.tar.*",)),
    Tool("linux-source-6.1", "linux-source-6.1", "`--source debian:linux-source-6.1`",
         files=("usr/src/linux-source-6.1.tar.*",), need=Need.OPTIONAL),
    Tool("mmdebstrap", "mmdebstrap", _IMAGE),
    Tool("mke2fs", "e2fsprogs", _IMAGE, ("-V",)),
    Tool("debugfs", "e2fsprogs", "bundles with a guest image", ("-V",), need=Need.OPTIONAL),
    Tool("ssh", "openssh-client", "`farm shell`", ("-V",), pattern=r"SSH_(\d\S+?),?\s"),
    Tool("gdb", "gdb", "`farm shell --gdb`", pattern=r"\) (\d\S+)", need=Need.OPTIONAL),
    Tool("unshare", "util-linux", _IMAGE, pattern=r"linux (\d\S+)"),
    Tool("newuidmap", "uidmap", "building the guest image without being root", (), unprivileged=True),
    Tool("fakeroot", "fakeroot", "building the guest image without being root", unprivileged=True),
    Tool("postgres", "postgresql", "the tests of results in PostgreSQL",
         files=("usr/lib/postgresql/*/bin/postgres",), need=Need.OPTIONAL),
    Tool("chromium", "chromium", "the tests of the nightly site in a browser", files=("usr/bin/chromium",),
         need=Need.OPTIONAL),
)


def missing(tools: Iterable[Tool] = TOOLS, *, root: bool | None = None) -> list[Tool]:
    """What this host lacks, in the table's order; `root` says for whom (default: the user of this process)."""
    privileged = os.geteuid() == 0 if root is None else root
    return [tool for tool in tools if not (tool.unprivileged and privileged) and tool.find() is None]


def packages_of(tools: Iterable[Tool]) -> list[str]:
    """The packages that bring the tools, each once."""
    return list(dict.fromkeys(tool.package for tool in tools))


def apt_line(packages: Iterable[str], *, root: bool | None = None, which: Callable[[str], str | None] = shutil.which,
             ) -> list[str]:
    """The command that installs packages: argv, led by sudo for a user who is not root and has it."""
    privileged = os.geteuid() == 0 if root is None else root
    prefix = [] if privileged or which("sudo") is None else ["sudo"]
    return [*prefix, "apt-get", "install", "--yes", "--no-install-recommends", *packages]
