"""What a stack stored, read from its disk on the host."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farm.errors import UserError
from farm.guest.disk import Disk
from farm.model import Namespace
from farm.stack.corruption import aim
from farm.stack.locate import Mapped


@dataclass(frozen=True)
class Stored:
    """The disk as the devices above it divide it up. The guest has to have written all of it."""

    disk: Disk
    serial: str
    namespace: Namespace
    # The names of devices, top first, and how their tables map.
    chain: Sequence[str]
    tables: Mapping[str, Mapped]

    def data(self, sector: int, length: int) -> bytes:
        """So many bytes, a multiple of 512, from a sector of the first device on. Raises UserError beyond its end."""
        return b"".join(self._read("data", one, 512) for one in range(sector, sector + length // 512))

    def tags(self, sectors: Sequence[int], length: int) -> bytes:
        """The tags of so many bytes that belong to these sectors. Raises UserError when there are none."""
        return b"".join(self._read("tag", one, length) for one in sectors)

    def superblock(self) -> bytes:
        """The first 512 bytes of that of dm-integrity, whose device is the first. Raises UserError without one."""
        return self._read("superblock", 0, 512)

    def _read(self, area: str, sector: int, length: int) -> bytes:
        found = b""
        while len(found) < length:  # what is looked for may begin in one block of the disk and end in the next
            place = aim(area, sector * 512, len(found), chain=self.chain, tables=self.tables, namespace=self.namespace)
            part = self.disk.read(self.serial, place.block, place.area)[place.byte:place.byte + length - len(found)]
            if not part:
                raise UserError(f"The {area} of sector {sector} is said to have {length} bytes, and its block has "
                                f"{len(found)} for it.")
            found += part
        return found
