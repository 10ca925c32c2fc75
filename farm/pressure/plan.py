"""Ways to make memory scarce in the guest, as values with a text form, and what they come down to."""

from dataclasses import dataclass
from importlib.resources import files
from typing import ClassVar

from farm import textform
from farm.textform import Kind, Registry

PRESSURES: Registry[Kind] = Registry("pressure")

HOLD_DIRECTORY = "/run/farm/hold"


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


def holder_argv(spec: KeepFree) -> tuple[str, ...]:
    """The command of the memory holder; it prints `farm-held KiB`, what is available, and runs until it is stopped.

    What it holds lasts until HOLD_DIRECTORY is unmounted.
    """
    script = (files("farm.pressure") / "scripts" / "hold.sh").read_text()
    return ("bash", "-c", script, "farm-hold", HOLD_DIRECTORY, str(spec.free >> 10),
            "fixed" if spec.fixed else "follow")
