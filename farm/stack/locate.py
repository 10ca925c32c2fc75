"""Where a sector of the top device lies on the namespace, and what of each device lies at a byte of the namespace.

Arithmetic over the tables that `dmsetup table` prints.

Layouts are those of Linux 6.12: drivers/md/dm-linear.c, dm-crypt.c (`cc->start`), and for dm-integrity.c
get_area_and_offset(), get_data_sector(), get_metadata_sector_and_offset(). All sectors are 512 bytes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farm.errors import UserError

# Bytes of a sector or block that dm-crypt and dm-integrity can have.
SIZES = (512, 1024, 2048, 4096)
_SUPERBLOCK = 8


@dataclass(frozen=True)
class Spot:
    """A place on the namespace."""

    # Sector of 512 bytes from the start of the data area.
    sector: int
    # Byte within it.
    byte: int = 0


@dataclass(frozen=True)
class Span:
    """Bytes of a device; no length means somewhere on it."""

    first: int
    length: int = 0

    def whole(self, unit: int) -> "Span":
        """The whole units of so many sectors that it touches; itself for no unit."""
        if not unit:
            return self
        size = unit * 512
        first = self.first // size * size
        return Span(first, -(-(self.first + self.length) // size) * size - first) if self.length else self


SOMEWHERE = Span(0)


@dataclass(frozen=True)
class Window:
    """A layer that moves sectors by a constant: partition, dm-linear, dm-crypt, the first half of a dm-mirror."""

    start: int
    # Sectors of which one wrong byte makes all wrong; 0 where a byte is a byte.
    unit: int = 0

    def data(self, sector: int) -> Spot:
        return Spot(sector + self.start)

    def above(self, span: Span) -> Span | None:
        """What of this layer is wrong when a span beneath is; None when it does not show that part."""
        first = span.first - self.start * 512
        if not span.length:
            return span
        return Span(max(first, 0), first + span.length - max(first, 0)).whole(self.unit) if first + span.length > 0 \
            else None


@dataclass(frozen=True)
class Inline(Window):
    """dm-integrity with its tags in the metadata of the namespace."""


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

    def above(self, span: Span) -> Span | None:
        """What of this layer is wrong when a span beneath is: the data there, or the data whose tags are there."""
        if not span.length:
            return span
        one, two = (self._covered(byte) for byte in (span.first, span.first + span.length - 1))
        if one is None or two is None:
            return SOMEWHERE if span.first >= self.start * 512 else None
        return Span(one.first, two.first + two.length - one.first)

    def _covered(self, byte: int) -> Span | None:
        """The block of data that a byte beneath belongs to, None for superblock, journal and padding."""
        sector, within = divmod(byte, 512)
        area, offset = divmod(sector - self.start - _SUPERBLOCK - self.journal, self.interleave + self._run)
        if area < 0:
            return None
        tags = offset < self._run
        number = (offset * 512 + within) // self.tag if tags else (offset - self._run) // self.covered
        if number >= self.interleave // self.covered:
            return None
        return Span((area * self.interleave + number * self.covered) * 512, self.covered * 512)


Mapped = Window | Tagged


def parse_tables(printed: str) -> dict[str, Mapped]:
    """Device-mapper name -> how it maps, from the output of `dmsetup table`; unknown targets are left out."""
    found: dict[str, Mapped] = {}
    for line in printed.splitlines():
        match = re.fullmatch(r"(\S+): 0 [0-9]+ (linear|crypt|integrity|mirror) (.*)", line.strip(), re.ASCII)
        mapped = _table(match[2], match[3].split()) if match else None
        if match and mapped:
            found[match[1]] = mapped
    return found


def _table(target: str, words: Sequence[str]) -> Mapped | None:
    # Where in its table a target says where it begins; a mirror's first half begins at the start.
    begin = {"linear": words[1:2], "crypt": words[4:5], "mirror": ("0",)}.get(target, ())
    if begin and _is_number(begin[0]):
        size = option_size(words, "sector_size") if target == "crypt" else 0
        return Window(int(begin[0]), size // 512) if size is not None else None
    if target == "integrity" and len(words) >= 5 and _is_number(words[1]) and _is_number(words[2]):
        found = re.findall(r"(?<!\S)([a-z_]+):([0-9]{1,19})(?!\S)", " ".join(words[5:]))
        return _integrity(int(words[1]), int(words[2]), words[3], option_size(words[5:], "block_size"),
                          {name: int(value) for name, value in found})
    return None


def option_size(words: Sequence[str], name: str) -> int | None:
    """Bytes of a sector by an option of a table, 512 where it is not there; None for a size that no kernel has."""
    said = next((word.partition(":")[2] for word in words if word.startswith(f"{name}:")), "512")
    return next((size for size in SIZES if str(size) == said), None)


def _integrity(start: int, tag: int, mode: str, size: int | None, options: Mapping[str, int]) -> Mapped | None:
    """None for what no kernel prints: blocks of odd sizes, and areas that hold none."""
    if size is None:
        return None
    if mode == "I":
        return Inline(start + _SUPERBLOCK, size // 512)
    interleave, buffer = options.get("interleave_sectors", 0), options.get("buffer_sectors", 0)
    if not tag or not buffer or interleave < size // 512 or "journal_sectors" not in options:
        return None
    return Tagged(start, tag, size // 512, interleave, buffer, options["journal_sectors"])


def _is_number(word: str) -> bool:
    """Whether it is one as the kernel prints it, of at most 64 bits: the guest may print anything."""
    return word.isdecimal() and len(word) < 20


def ascend(chain: Sequence[str], tables: Mapping[str, Mapped], span: Span) -> dict[str, Span]:
    """What is wrong of each device of `chain` (names, bottom first) when a span of the namespace is.

    Devices that do not show that part are left out, and so is everything above one whose table is not known.
    """
    found: dict[str, Span] = {}
    for name in chain:
        above = tables[name].above(span) if name in tables else None
        if above is None:
            break
        found[name] = span = above
    return found


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
