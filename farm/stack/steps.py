"""The commands a stack is made of, as values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from farm.stack.layers import Layer
from farm.stack.rules import Ground

# In the guest's memory: keys that only a file can carry, and detached headers.
RUN = "/run/farm"
MOUNTS = "/mnt"
# libblkid looks for the second LUKS2 header up to 4 MiB from the start (luks.c) and for Promise RAID up to 3087 sectors
# from the end (promise_raid.c).
ZERO_ENDS = """\
sectors=$(blockdev --getsz "$1")
zero() { dd if=/dev/zero of="$1" oflag=direct status=none bs="$2" count="$3" seek="$4"; }
zero "$1" 1M 5 0
zero "$1" 64K 32 $(( sectors / 128 - 32 ))
zero "$1" 4096 $(( sectors % 128 / 8 )) $(( sectors / 128 * 16 ))
"""


@dataclass(frozen=True)
class Step:
    """One command in the guest."""

    # Name of the layer it belongs to, e.g. `farm-data-2-luks2`.
    layer: str
    argv: tuple[str, ...]
    # Fed to its standard input.
    input: bytes = b""
    # What takes its effect back; empty when there is nothing to take back.
    undo: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerPlan:
    """The commands of one layer, and what they make."""

    name: str
    layer: Layer
    # The block device it offers, or for a top layer the one it lies on.
    device: str
    # The directory it is mounted on, or "".
    mountpoint: str
    # First time only, before it is opened.
    format: tuple[Step, ...]
    # Each time; the undo of these closes it.
    open: tuple[Step, ...]
    # First time only, after it was opened.
    settle: tuple[Step, ...] = ()
    # Last of all, when the stack is closed for good.
    forget: tuple[Step, ...] = ()


def undoing(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """What takes the effects of these steps back, last one first."""
    return tuple(Step(step.layer, step.undo) for step in reversed(steps) if step.undo)


@dataclass(frozen=True)
class Place:
    """Where a layer goes."""

    name: str
    # Device beneath.
    below: str
    ground: Ground
    # Bytes of key material for this layer, derived from the seed.
    key: Callable[[int], bytes]
    # Kernel algorithm -> driver, as looked up in the guest.
    drivers: Mapping[str, str]

    @property
    def mapped(self) -> str:
        return f"/dev/mapper/{self.name}"

    def step(self, *argv: str, input: bytes = b"", undo: tuple[str, ...] = ()) -> Step:
        return Step(self.name, argv, input, undo)

    def shell(self, script: str, *words: str, undo: tuple[str, ...] = ()) -> Step:
        """A few lines of shell; `words` arrive as $1, $2 and so on."""
        return Step(self.name, ("sh", "-ec", script, "sh", *words), b"", undo)

    def zero_ends(self) -> Step:
        """Write the parts that every tool reads to look for old signatures.

        Without it, an integrity layer that was not wiped reports them as corrupt, rightly.
        """
        return self.shell(ZERO_ENDS, self.mapped)
