"""The layers a stack is made of, as data, and the text form of a stack."""

from dataclasses import dataclass
from typing import ClassVar

from farm.errors import UserError
from farm.stack.locate import SIZES
from farm.textform import Kind, Registry, choice, flag, number, text

_SECTOR_SIZE_HINT = "512, 1024, 2048, 4096, or 0 for the default"
_SECTOR_SIZES = (0, *SIZES)


@dataclass(frozen=True)
class Layer(Kind):
    """One layer; its fields are its options."""

    # True for a layer that only something mounted or swapped on can use: nothing lies on it.
    top: ClassVar[bool] = False


LAYERS: Registry[Layer] = Registry("layer")


@LAYERS.register
@dataclass(frozen=True)
class Partition(Layer):
    """A partition made in the kernel (BLKPG), without a table on the disk."""

    kind: ClassVar[str] = "partition"
    # First 512-byte sector.
    start: int = number(2048, hint="a number of 512-byte sectors")
    # Length in 512-byte sectors, 0 for the rest of the disk.
    size: int = number(0, hint="a number of 512-byte sectors, 0 for the rest")


@LAYERS.register
@dataclass(frozen=True)
class Linear(Layer):
    """A dm-linear window."""

    kind: ClassVar[str] = "linear"
    # First 512-byte sector of the device beneath.
    offset: int = number(0, hint="a number of 512-byte sectors")
    # Length in 512-byte sectors, 0 for the rest.
    size: int = number(0, hint="a number of 512-byte sectors, 0 for the rest")


@LAYERS.register
@dataclass(frozen=True)
class Mirror(Layer):
    """A dm-mirror (drivers/md/dm-raid1.c) of the two halves of what is beneath, which count as equal from the start."""

    kind: ClassVar[str] = "mirror"


@LAYERS.register
@dataclass(frozen=True)
class Integrity(Layer):
    """dm-integrity on its own, with checksums that it computes itself."""

    kind: ClassVar[str] = "integrity"
    # How data and tags are kept together over a power cut; `inline` keeps tags in the namespace's metadata.
    mode: str = choice("journal", "bitmap", "direct", "inline")
    # Checksum; hmac-sha256 is keyed.
    hash: str = choice("crc32c", "xxhash64", "sha256", "hmac-sha256")
    # Bytes covered by one tag; 0 for the logical block size beneath.
    sector_size: int = number(0, hint=_SECTOR_SIZE_HINT, choices=_SECTOR_SIZES)
    # Write everything once, so that blocks nobody wrote can be read.
    wipe: bool = flag()


@LAYERS.register
@dataclass(frozen=True)
class Crypt(Layer):
    """dm-crypt with a plain key and no header."""

    kind: ClassVar[str] = "crypt"
    # A cipher as dm-crypt names it; `capi:` names the kernel's drivers directly.
    cipher: str = text(
        "aes-xts-plain64",
        r"(aes-xts-plain64|aes-cbc-essiv:sha256|aes-cbc-plain64|capi:[a-z0-9_(),-]+-(plain|plain64|plain64be|benbi|null))",
        "aes-xts-plain64, aes-cbc-essiv:sha256, aes-cbc-plain64 or capi:<drivers>-<iv>",
    )
    # Encrypt asynchronously: wraps the cipher in the kernel's cryptd, whose driver is looked up in the guest.
    cryptd: bool = flag()
    # Bytes per encryption sector, 0 for dm-crypt's own 512.
    sector_size: int = number(0, hint=_SECTOR_SIZE_HINT, choices=_SECTOR_SIZES)
    # Decrypt in the context of the completion instead of a workqueue.
    no_read_workqueue: bool = flag()
    # Encrypt in the context of the submitter instead of a workqueue.
    no_write_workqueue: bool = flag()


@LAYERS.register
@dataclass(frozen=True)
class Luks2(Layer):
    """dm-crypt with a LUKS2 header, optionally with authenticated encryption over dm-integrity."""

    kind: ClassVar[str] = "luks2"
    cipher: str = choice(
        "aes-xts-plain64", "aes-cbc-essiv:sha256", "aes-gcm-random", "chacha20-random", "aegis128-random"
    )
    # Authentication; `aead` and `poly1305` belong to the AEAD ciphers.
    integrity: str = choice("none", "hmac-sha256", "aead", "poly1305")
    # Encrypt asynchronously, as for `crypt`; what lies on the disk is the same.
    cryptd: bool = flag()
    # Bytes per encryption sector, 0 for cryptsetup's choice.
    sector_size: int = number(0, hint=_SECTOR_SIZE_HINT, choices=_SECTOR_SIZES)
    # Rounds of the key derivation; cryptsetup's own choice would take long under emulation.
    iterations: int = number(1000, hint="a number of rounds, at least 1000", least=1000)
    # Where dm-crypt gets the key from: the kernel's keyring, or its table, as always with cryptd.
    key: str = choice("keyring", "table")
    # Where the header lies: on the device, or in a file in the guest's memory that is gone with the guest.
    header: str = choice("inside", "detached")
    # Write everything once, so that blocks nobody wrote can be read.
    wipe: bool = flag()
    # Decrypt in the context of the completion instead of a workqueue.
    no_read_workqueue: bool = flag()
    # Encrypt in the context of the submitter instead of a workqueue.
    no_write_workqueue: bool = flag()


@LAYERS.register
@dataclass(frozen=True)
class Xfs(Layer):
    """XFS, mounted."""

    kind: ClassVar[str] = "xfs"
    top: ClassVar[bool] = True


@LAYERS.register
@dataclass(frozen=True)
class Ext4(Layer):
    """ext4, mounted."""

    kind: ClassVar[str] = "ext4"
    top: ClassVar[bool] = True
    # What goes through its journal.
    data: str = choice("ordered", "journal", "writeback")


@LAYERS.register
@dataclass(frozen=True)
class Swap(Layer):
    """Swap space, switched on."""

    kind: ClassVar[str] = "swap"
    top: ClassVar[bool] = True


@dataclass(frozen=True)
class Stack:
    """A namespace and what lies on it, bottom first."""

    # Serial of the namespace.
    serial: str
    layers: tuple[Layer, ...] = ()

    def __str__(self) -> str:
        return " / ".join([self.serial, *(LAYERS.render(layer) for layer in self.layers)])

    def name(self, index: int) -> str:
        """The name of a layer in the guest, e.g. `farm-data-1-linear`; layers count from 1."""
        return f"farm-{self.serial}-{index + 1}-{self.layers[index].kind}"


def parse_stack(written: str) -> Stack:
    """A stack from its text: the namespace's serial, then layers bottom first, with ` / ` between them.

    Raises UserError that names the layer by its position and lists the choices.
    """
    serial, *rest = [part.strip() for part in written.split("/")]
    if not serial or not all(letter.isalnum() or letter in "-_." for letter in serial):
        raise UserError(
            f"The stack {written!r} begins with {serial!r}, which is no namespace serial. "
            "Begin with the serial that the namespace marker gives, e.g. 'data / crypt / xfs'."
        )
    layers = [LAYERS.parse(part, f"Layer {index} of the stack {written!r}") for index, part in enumerate(rest, 1)]
    return Stack(serial, tuple(layers))
