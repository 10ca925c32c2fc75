"""The host's side of the emulated disks: where a block lies in the backing file, and how to damage it.

QEMU 7.2 keeps all data of a namespace first and all metadata after it: `moff`, the offset of the metadata, is
the number of blocks times the block size (hw/nvme/ns.c, nvme_ns_init_format; hw/nvme/nvme.h, nvme_moff).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from farm.errors import InfrastructureError, UserError
from farm.model import Namespace

AREAS = ("data", "metadata")
# Those of 64 GiB in blocks of 512 bytes with the least of metadata.
_MOST_ONES = 1 << 30


@dataclass(frozen=True)
class Geometry:
    """Where things are in the backing file of a namespace, in bytes."""

    # Number of logical blocks.
    blocks: int
    # Bytes of data and of metadata in each.
    block: int
    ms: int

    @classmethod
    def of(cls, namespace: Namespace) -> "Geometry":
        return cls((namespace.size_mib << 20) // namespace.block, namespace.block, namespace.ms)

    @property
    def file_bytes(self) -> int:
        """Size of the file from which QEMU makes exactly this many blocks."""
        return self.blocks * (self.block + self.ms)

    @property
    def metadata_offset(self) -> int:
        return self.blocks * self.block

    def offset(self, block: int, area: str = "data") -> int:
        """Where the data or the metadata of a block begins. Raises UserError when there is none."""
        if area not in AREAS:
            raise UserError(f"A disk has no area {area!r}. Choose data or metadata.")
        if not 0 <= block < self.blocks:
            raise UserError(f"There is no block {block}: the namespace has {self.blocks} blocks of {self.block} bytes.")
        if area == "data":
            return block * self.block
        if not self.ms:
            raise UserError("The namespace has no metadata (ms=0), so there is none to change.")
        return self.metadata_offset + block * self.ms

    def width(self, area: str) -> int:
        """Bytes of one block's data or metadata."""
        return self.block if area == "data" else self.ms


@dataclass(frozen=True)
class Change:
    """Bytes that were changed behind the guest's back."""

    serial: str
    # The place: block, its `data` or `metadata`, and the first byte within.
    block: int
    area: str
    byte: int
    # Before and after.
    was: bytes
    now: bytes


class Disk:
    """The backing files of a machine's namespaces, by serial.

    Reads and writes go through the page cache that QEMU reads from too (see farm.guest.argv), so a change is what
    the guest's next read of the device returns; what the guest itself has cached it does not ask for again.
    """

    def __init__(self, namespaces: Mapping[str, Namespace], files: Mapping[str, Path]) -> None:
        self._namespaces = namespaces
        self.files = files
        # By place.
        self._changes: dict[tuple[str, int, str, int, int], Change] = {}

    def file(self, serial: str) -> Path:
        """The backing file. Raises UserError for an unknown serial."""
        try:
            return self.files[serial]
        except KeyError:
            known = ", ".join(self.files) or "none"
            raise UserError(f"The machine has no namespace with the serial {serial!r}. It has: {known}.") from None

    def namespace(self, serial: str) -> Namespace:
        """The namespace with this serial. Raises UserError for an unknown one."""
        self.file(serial)
        return self._namespaces[serial]

    def geometry(self, serial: str) -> Geometry:
        return Geometry.of(self.namespace(serial))

    def flip(
        self, serial: str, block: int | None = None, area: str = "data", *, byte: int = 0, bit: int = 0,
        sector: int | None = None,
    ) -> None:
        """Flip one bit of a block's data or metadata.

        The place is a logical block number, or a 512-byte sector as in the kernel's messages; `byte` counts from
        the beginning of the block's area, or of the sector. Raises UserError for a place that does not exist.
        """
        geometry = self.geometry(serial)
        if (block is None) == (sector is None):
            raise UserError("Say where to flip by a block or by a sector, not by both or none.")
        if sector is not None:
            block, within = divmod(sector * 512, geometry.block)
            byte += within if area == "data" else 0
        assert block is not None
        begin = geometry.offset(block, area)
        if not 0 <= byte < geometry.width(area) or not 0 <= bit < 8:
            raise UserError(f"Byte {byte}, bit {bit} is outside the {geometry.width(area)} bytes of a block's {area}.")
        old = self._access(serial, begin + byte, 1)
        self._change(Change(serial, block, area, byte, old, bytes([old[0] ^ 1 << bit])))

    def read(self, serial: str, block: int, area: str = "data") -> bytes:
        """A block's data or metadata as it is on the disk."""
        geometry = self.geometry(serial)
        return self._access(serial, geometry.offset(block, area), geometry.width(area))

    def write(self, serial: str, block: int, content: bytes, area: str = "data") -> None:
        """Replace the beginning of a block's data or metadata. Raises UserError when it does not fit."""
        geometry = self.geometry(serial)
        if len(content) > geometry.width(area):
            raise UserError(f"{len(content)} bytes do not fit into the {geometry.width(area)} of a block's {area}.")
        old = self._access(serial, geometry.offset(block, area), len(content))
        self._change(Change(serial, block, area, 0, old, content))

    @property
    def changes(self) -> tuple[Change, ...]:
        """What was changed and not changed back, oldest first."""
        return tuple(self._changes.values())

    def restore(self, serial: str) -> None:
        """Take all changes of a disk back, the newest first; what the guest has written over since is left alone."""
        for place, change in reversed(list(self._changes.items())):
            if change.serial == serial:
                at = self._at(change)
                if self._access(serial, at, len(change.now)) == change.now:
                    self._access(serial, at, len(change.was), change.was)
                del self._changes[place]

    def _change(self, change: Change) -> None:
        self._access(change.serial, self._at(change), len(change.now), change.now)
        place = (change.serial, change.block, change.area, change.byte, len(change.now))
        earlier = self._changes.get(place)
        whole = replace(change, was=earlier.was) if earlier else change
        self._changes[place] = whole
        if whole.was == whole.now:
            del self._changes[place]

    def _at(self, change: Change) -> int:
        return self.geometry(change.serial).offset(change.block, change.area) + change.byte

    def _access(self, serial: str, offset: int, length: int, content: bytes | None = None) -> bytes:
        """Read `length` bytes, or write `content` when there is any."""
        path = self.file(serial)
        try:
            with path.open("r+b", buffering=0) as file:
                if content is None:
                    return os.pread(file.fileno(), length, offset)
                os.pwrite(file.fileno(), content, offset)
                return content
        except OSError as error:
            raise InfrastructureError(f"cannot reach the disk {serial} in {path} ({error.strerror})") from error


def make_backing_files(namespaces: Mapping[str, Namespace], directory: Path) -> dict[str, Path]:
    """One sparse file a namespace; blocks never written read as zeros.

    Protection information begins as all ones, which tells controller and kernel not to check a block. QEMU fills that
    in by itself only for blocks within a hole of the file (hw/nvme/dif.c, nvme_dif_mangle_mdata): a block never
    written that shares a page of the host's file with a written one would fail its reference tag check. It is
    left to QEMU where the metadata take more than _MOST_ONES bytes: the host may have no room for a disk of terabytes.
    """
    files = {}
    for serial, namespace in namespaces.items():
        path = directory / f"{serial}.raw"
        geometry = Geometry.of(namespace)
        try:
            with path.open("wb") as file:
                file.truncate(geometry.file_bytes)
                metadata = geometry.file_bytes - geometry.metadata_offset
                if namespace.pi and metadata <= _MOST_ONES:
                    file.seek(geometry.metadata_offset)
                    _write_ones(file, metadata)
        except OSError as error:
            raise InfrastructureError(f"cannot make the disk {path} ({error.strerror})") from error
        files[serial] = path
    return files


def _write_ones(file: IO[bytes], length: int) -> None:
    piece = b"\xff" * min(length, 1 << 20)
    for begin in range(0, length, len(piece)):
        file.write(piece[: length - begin])
