"""Ways to make memory scarce in the guest, or seem so, as values with a text form, and what they come down to."""

from dataclasses import dataclass
from importlib.resources import files
from typing import ClassVar

from farm import textform
from farm.textform import Kind, Registry

PRESSURES: Registry[Kind] = Registry("pressure")

HOLD_DIRECTORY = "/run/farm/hold"
_FUNCTIONS = r"[A-Za-z_]\w*(\+[A-Za-z_]\w*)*"


@PRESSURES.register
@dataclass(frozen=True)
class KeepFree(Kind):
    """A holder in the guest takes memory until so much is still available.

    It goes on adjusting, and gives memory back to whoever needs it; `fixed` keeps what it took, so that what others
    need beyond `free` has to be reclaimed.
    """

    kind: ClassVar[str] = "keep-free"
    # Bytes of MemAvailable to leave.
    free: int = textform.size(hint="a number of bytes such as 64M, at least 16M", least=16 << 20)
    fixed: bool = textform.flag()


@PRESSURES.register
@dataclass(frozen=True)
class Balloon(Kind):
    """The host takes memory away by virtio-balloon until the guest has so much in all."""

    kind: ClassVar[str] = "balloon"
    # Bytes that the guest keeps.
    memory: int = textform.size(hint="a number of bytes such as 128M, at least 64M", least=64 << 20)


@dataclass(frozen=True)
class Faults(Kind):
    """Allocations fail that certain functions ask for (lib/fault-inject.c); those that may sleep succeed."""

    # Directory of the fault in debugfs.
    directory: ClassVar[str] = ""
    # Functions, with + between them; whatever lies between the first and the last in memory counts too.
    within: str = textform.text(None, _FUNCTIONS, "the names of functions, with + between them")
    # Functions likewise: what they ask for, or whoever they call, succeeds all the same; "" for none.
    sparing: str = textform.text("", _FUNCTIONS, "the names of functions, with + between them")
    # Every so many-th of them fails.
    every: int = textform.number(2, hint="a number of allocations, at least 1", least=1)
    # Those that may sleep fail as well.
    sleeping: bool = textform.flag()


@PRESSURES.register
@dataclass(frozen=True)
class FailSlab(Faults):
    """kmalloc() and kmem_cache_alloc() fail (mm/failslab.c)."""

    kind: ClassVar[str] = "fail-slab"
    directory: ClassVar[str] = "failslab"


@PRESSURES.register
@dataclass(frozen=True)
class FailPageAlloc(Faults):
    """alloc_pages() fails, in every order (mm/page_alloc.c or mm/fail_page_alloc.c)."""

    kind: ClassVar[str] = "fail-page-alloc"
    directory: ClassVar[str] = "fail_page_alloc"


def faults_argv(spec: Faults, what: str) -> tuple[str, ...]:
    """The command that starts the faults (`start`), or stops them and prints `farm-injected COUNT` (`stop`)."""
    script = (files("farm.pressure") / "scripts" / "faults.sh").read_text()
    return ("bash", "-c", script, "farm-faults", spec.directory, what, str(spec.every),
            spec.within.replace("+", " "), spec.sparing.replace("+", " "), "N" if spec.sleeping else "Y")


def holder_argv(spec: KeepFree) -> tuple[str, ...]:
    """The command of the memory holder; it prints `farm-held KiB`, what is available, and runs until it is stopped.

    What it holds lasts until HOLD_DIRECTORY is unmounted.
    """
    script = (files("farm.pressure") / "scripts" / "hold.sh").read_text()
    return ("bash", "-c", script, "farm-hold", HOLD_DIRECTORY, str(spec.free >> 10),
            "fixed" if spec.fixed else "follow")
