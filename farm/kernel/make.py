"""How the kernel's make is called: the same everywhere, so that ccache and make find what is already built."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Variables of the caller's environment that would change the build behind the back of its cache key, and those
# of an outer make, whose job server and options are not ours.
_UNSET = (
    "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MAKEFILES", "GNUMAKEFLAGS", "ARCH", "SUBARCH",
    "CROSS_COMPILE", "CC", "LD", "LLVM", "HOSTCC", "KBUILD_OUTPUT", "O", "V", "W", "C", "M", "KCFLAGS", "KCPPFLAGS",
    "KAFLAGS", "HOSTCFLAGS", "CFLAGS", "LDFLAGS", "LOCALVERSION", "KCONFIG_CONFIG", "KCONFIG_ALLCONFIG",
    "KCONFIG_WERROR", "KCONFIG_DEFCONFIG_LIST", "INSTALL_MOD_PATH", "INSTALL_MOD_STRIP", "CONFIG_",
    "GREP_OPTIONS", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE",
)
# Makes the banner of the kernel, and with it every object, the same from build to build.
_FIXED = {
    "KBUILD_BUILD_TIMESTAMP": "2000-01-01", "KBUILD_BUILD_USER": "farm", "KBUILD_BUILD_HOST": "farm",
    "KBUILD_BUILD_VERSION": "1",
}
# A build of one flavor takes 60 to 100 MB.
CCACHE_SIZE = "3G"


@dataclass(frozen=True)
class Make:
    """make in one work tree and one `O=` directory."""

    source: Path
    output: Path
    # Where ccache keeps its objects.
    ccache: Path
    jobs: int

    def argv(self, targets: Sequence[str]) -> list[str]:
        """The command. `env -u` drops what the caller's environment has and the kernel's Makefile would read."""
        variables = {**_FIXED, **self._ccache()}
        compiler = ["CC=ccache gcc", "HOSTCC=ccache gcc"] if shutil.which("ccache") else []
        return [
            "env", *(word for name in _UNSET for word in ("-u", name)),
            *(f"{name}={value}" for name, value in variables.items()),
            "make", "-C", str(self.source), f"O={self.output}", f"-j{self.jobs}",
            "LOCALVERSION=",  # set: scripts/setlocalversion adds no "+"
            f"KCFLAGS={' '.join(self.prefix_maps())}",
            *compiler, *targets,
        ]

    def prefix_maps(self) -> list[str]:
        """Debug information and __FILE__ name the same files wherever the cache lies: /build/fs/..., and fs/...

        ccache compiles some objects with paths relative to CCACHE_BASEDIR, which the kernel's own map misses.
        """
        relative = os.path.relpath(self.source, self.output)
        return [f"-fdebug-prefix-map={self.output}=/build", f"-fdebug-prefix-map={self.source}=/build",
                f"-ffile-prefix-map={relative}/="]

    def _ccache(self) -> dict[str, str]:
        return {
            # Never CCACHE_DEPEND: only what is preprocessed is searched for .incbin, which ccache cannot follow. The
            # kernel itself is included so (arch/x86/boot/compressed/mkpiggy.c): with an equal length an old one was
            # taken for the new.
            "CCACHE_DIR": str(self.ccache), "CCACHE_MAXSIZE": CCACHE_SIZE, "CCACHE_COMPILERCHECK": "content",
            "CCACHE_BASEDIR": str(self.source.parent),
        }
