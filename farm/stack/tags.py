"""What dm-integrity has to have stored as a tag, by another implementation of its checksums: pure.

Linux 6.12, drivers/md/dm-integrity.c: dm_integrity_status for the table, struct superblock,
integrity_sector_checksum for what is hashed.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from farm.errors import UserError
from farm.stack.locate import option_size

_SECTOR = 512
# Of the superblock.
_SALT = slice(48, 64)
_CASTAGNOLI = 0x82F63B78


def crc32c(data: bytes) -> bytes:
    """RFC 3720, appendix B.4, as four bytes, the lowest first."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (_CASTAGNOLI if remainder & 1 else 0)
    return (remainder ^ 0xFFFFFFFF).to_bytes(4, "little")


_HASHES: Mapping[str, Callable[[bytes, bytes], bytes]] = {
    "crc32c": lambda key, data: crc32c(data),
    "sha256": lambda key, data: hashlib.sha256(data).digest(),
    "hmac(sha256)": lambda key, data: hmac.digest(key, data, "sha256"),
}
_TABLE = re.compile(r"(?:\S+: )?\d+ \d+ integrity \S+ \d+ (?P<tag>[1-9]\d{0,3}) \S \d+ (?P<options>.*)", re.ASCII)
_HASH = re.compile(r"internal_hash:(?P<name>[a-z0-9()]+)(?::(?P<key>(?:[0-9a-f]{2})+))?", re.ASCII)


@dataclass(frozen=True)
class Tags:
    """How a device of dm-integrity computes its tags."""

    hash: str
    key: bytes
    # What is hashed before all else (`fix_hmac`).
    salt: bytes
    # Bytes of a tag, and bytes that it covers.
    length: int
    size: int

    def computed(self, data: bytes, sector: int) -> bytes:
        """The tags of what stands from a 512-byte sector of the device on. Raises UserError for parts of a block."""
        if sector * _SECTOR % self.size or len(data) % self.size:
            raise UserError(f"{len(data)} bytes from sector {sector} on are not whole blocks of {self.size} bytes, "
                            "and no other has a tag.")
        tags = []
        for begin in range(0, len(data), self.size):
            number = (sector + begin // _SECTOR).to_bytes(8, "little")
            digest = _HASHES[self.hash](self.key, self.salt + number + data[begin:begin + self.size])
            tags.append(digest[:self.length].ljust(self.length, b"\0"))
        return b"".join(tags)


def parse_tags(table: str, superblock: Callable[[], bytes]) -> Tags:
    """How a device computes tags, from the line of `dmsetup table --showkeys`. Raises UserError for an unknown hash.

    The superblock is asked for where the device hashes a salt, which nothing else tells.
    """
    line = _TABLE.fullmatch(table.strip())
    options = line["options"].split() if line else []
    hashed = next(filter(None, map(_HASH.fullmatch, options)), None)
    size = option_size(options, "block_size")
    if line is None or hashed is None or hashed["name"] not in _HASHES or size is None:
        shown = f"the hash {hashed['name']}" if hashed else "a device that is no dm-integrity with a hash in its table"
        raise UserError(f"The farm cannot compute tags of {shown}. It knows {', '.join(_HASHES)}.")
    salt = superblock()[_SALT] if "fix_hmac" in options else b""
    return Tags(hashed["name"], bytes.fromhex(hashed["key"] or ""), salt, int(line["tag"]), size)
