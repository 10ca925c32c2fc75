"""Where a sector of the top device lies on the namespace: arithmetic over the tables that `dmsetup table` prints.

Layouts are those of Linux 6.12: drivers/md/dm-linear.c, dm-crypt.c (`cc->start`), and for dm-integrity.c
get_area_and_offset(), get_data_sector(), get_metadata_sector_and_offset(). All sectors are 512 bytes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farm.errors import UserError

_SUPERBLOCK = 8


@dataclass(frozen=True)
class Spot:
    """A place on the namespace."""

    # Sector of 512 bytes from the start of the data area.
    sector: int
    # Byte within it.
    byte: int = 0


@dataclass(frozen=True)
class Window:
    """A layer that moves sectors by a constant: partition, dm-linear, dm-crypt."""

    start: int

    def data(self, sector: int) -> Spot:
        return Spot(sector + self.start)


@dataclass(frozen=True)
class Tagged:
    """dm-integrity with its tags interleaved."""

    # First sector of the layer on the device beneath.
    start: int
    # Bytes of one tag.
    tag: int
    # Sectors covered by one tag.
    covered: int
    # Sectors of data between two runs of tags, a power of two.
    interleave: int
    # Sectors of one metadata buffer, a power of two.
    buffer: int
    # Sectors of the journal.
    journal: int

    @property
    def _run(self) -> int:
        """Sectors of one run of tags, rounded up to whole buffers."""
        size = self.tag * (self.interleave // self.covered)
        unit = self.buffer * 512
        return -(-size // unit) * self.buffer

    def data(self, sector: int) -> Spot:
        area, offset = divmod(sector, self.interleave)
        return Spot(self.start + _SUPERBLOCK + self.journal + area * self.interleave + (area + 1) * self._run + offset)

    def tags(self, sector: int) -> Spot:
        """Where the tag of a sector begins."""
        area, offset = divmod(sector, self.interleave)
        begin = self.start + _SUPERBLOCK + self.journal + area * (self.interleave + self._run)
        extra, byte = divmod(offset // self.covered * self.tag, 512)
        return Spot(begin + extra, byte)


Mapped = Window | Tagged


def parse_tables(printed: str) -> dict[str, Mapped]:
    """Device-mapper name -> how it maps, from the output of `dmsetup table`; unknown targets are left out."""
    found: dict[str, Mapped] = {}
    for line in printed.splitlines():
        match = re.fullmatch(r"(\S+): 0 [0-9]+ (linear|crypt|integrity) (.*)", line.strip(), re.ASCII)
        mapped = _table(match[2], match[3].split()) if match else None
        if match and mapped:
            found[match[1]] = mapped
    return found


def _table(target: str, words: Sequence[str]) -> Mapped | None:
    if target == "linear" and len(words) == 2 and words[1].isdecimal():
        return Window(int(words[1]))
    if target == "crypt" and len(words) >= 5 and words[4].isdecimal():
        return Window(int(words[4]))
    if target == "integrity" and len(words) >= 5 and words[1].isdecimal() and words[2].isdecimal():
        if words[3] == "I":
            return Window(int(words[1]) + _SUPERBLOCK)
        options = dict(re.findall(r"([a-z_]+):([0-9]+)(?:\s|$)", " ".join(words[5:])))
        if not {"journal_sectors", "interleave_sectors", "buffer_sectors"} <= options.keys():
            return None
        return Tagged(
            int(words[1]), int(words[2]), int(options.get("block_size", 512)) // 512,
            int(options["interleave_sectors"]), int(options["buffer_sectors"]), int(options["journal_sectors"]),
        )
    return None


def locate(chain: Sequence[str], tables: Mapping[str, Mapped], sector: int, *, tag: bool = False) -> Spot:
    """The place on the namespace of a sector of the topmost device of `chain` (names, top first).

    With `tag`, the place of its integrity tag. Raises UserError when a layer cannot be seen through or has no tags.
    """
    for depth, name in enumerate(chain):
        mapped = tables.get(name)
        if mapped is None:
            raise UserError(f"The layer {name} cannot be seen through: no table of it was read. Is the stack open?")
        if tag and isinstance(mapped, Tagged):
            spot = mapped.tags(sector)
            return Spot(locate(chain[depth + 1:], tables, spot.sector).sector, spot.byte)
        sector = mapped.data(sector).sector
    if tag:
        raise UserError("The stack has no layer with interleaved integrity tags, so there is no tag to find.")
    return Spot(sector)
