"""Protection information as it lies in a block's metadata, on the host's side of a disk.

NVM Command Set Specification 1.0, 5.2.1: guard, application tag, reference tag, all big-endian. The guard is a CRC over
the block's data and the metadata before it (QEMU 7.2, hw/nvme/dif.c, nvme_dif_check).
"""

from dataclasses import dataclass

from farm.errors import UserError
from farm.model import Namespace

# CRC-16 of T10 (Linux: lib/crc-t10dif.c).
_POLYNOMIAL = 0x8BB7
# Field -> first byte of the tuple, by the width of the guard in bits.
_FIELDS = {16: {"guard": 0, "app": 2, "ref": 4}, 64: {"guard": 0, "app": 8, "ref": 10}}
_BYTES = {16: 8, 64: 16}
FIELDS = frozenset(_FIELDS[16])


def _table() -> tuple[int, ...]:
    values = []
    for index in range(256):
        value = index << 8
        for _ in range(8):
            value = value << 1 ^ (_POLYNOMIAL if value & 0x8000 else 0)
        values.append(value & 0xFFFF)
    return tuple(values)


_TABLE = _table()


def guard16(data: bytes) -> bytes:
    """The guard tag of some data."""
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _TABLE[value >> 8 ^ byte]
    return value.to_bytes(2, "big")


@dataclass(frozen=True)
class Protection:
    """Where protection information lies in a namespace's metadata."""

    namespace: Namespace

    @property
    def _begin(self) -> int:
        return 0 if self.namespace.pi_first else self.namespace.ms - _BYTES[self.namespace.guard]

    def byte(self, field: str) -> int:
        """The byte of the metadata at which a field begins. Raises UserError when there is none."""
        if not self.namespace.pi:
            raise UserError(f"The namespace {self.namespace.serial} has no protection information (pi=0), "
                            f"so it has no {field} to change.")
        return self._begin + _FIELDS[self.namespace.guard][field]

    def mended(self, data: bytes, metadata: bytes) -> bytes:
        """The metadata with a guard that fits the data. Raises UserError for a guard that is no CRC-16."""
        if self.namespace.guard != 16:
            raise UserError("Only a 16-bit guard can be made to fit changed data: use guard=16, or change data beneath "
                            "the namespace itself.")
        at = self.byte("guard")
        return metadata[:at] + guard16(data + metadata[:self._begin]) + metadata[at + 2:]
