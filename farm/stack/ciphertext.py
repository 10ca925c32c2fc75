"""What dm-crypt has to have stored, by another implementation of its ciphers (OpenSSL's): pure.

A kernel that reads back what it wrote agrees with itself. Whether it agrees with those before it, and those who wrote
the disk, only somebody else can tell.

Linux 6.12, drivers/md/dm-crypt.c: crypt_status for the table, crypt_iv_plain_gen and its like for the vectors,
crypt_convert_block_skcipher for the sector that they count (`iv_large_sectors`); crypto/essiv.c.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from farm.errors import UserError

_SECTOR = 512
_VECTOR = 16


def _plain(number: int, key: bytes) -> bytes:
    return (number & 0xFFFFFFFF).to_bytes(_VECTOR, "little")


def _plain64(number: int, key: bytes) -> bytes:
    return number.to_bytes(_VECTOR, "little")


def _essiv(number: int, key: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(hashlib.sha256(key).digest()), modes.ECB()).encryptor()  # noqa: S305 (the format)
    return encryptor.update(_plain64(number, key))


def _null(number: int, key: bytes) -> bytes:
    return bytes(_VECTOR)


_VECTORS: Mapping[str, Callable[[int, bytes], bytes]] = {
    "plain": _plain, "plain64": _plain64, "essiv:sha256": _essiv, "null": _null,
}
_MODES: Mapping[str, Callable[[bytes], modes.XTS | modes.CBC]] = {"xts": modes.XTS, "cbc": modes.CBC}
# `aes-xts-plain64`, `capi:cryptd(xts(ecb(aes-generic)))-plain64`: from farm.stack.planners.
_CIPHER = re.compile(r"(?:aes-|capi:(?:cryptd\()?)(?P<mode>xts|cbc)(?:(?:\(ecb)?\(aes[\w-]*\)+)?-(?P<vector>[\w:]+)",
                     re.ASCII)
_TABLE = re.compile(r"(?:\S+: )?\d+ \d+ crypt (?P<cipher>\S+) (?P<key>[0-9a-f]+) (?P<offset>\d{1,19}) \S+ \d+"
                    r"(?: \d+(?P<options>(?: \S+)*))?", re.ASCII)
_SIZE = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True)
class Ciphertext:
    """How a device of dm-crypt stores its sectors."""

    mode: str
    vector: str
    key: bytes
    # What is added to the number of a sector before it becomes a vector.
    offset: int = 0
    # Bytes that share a vector, and whether vectors count those rather than 512 bytes.
    size: int = _SECTOR
    large: bool = False

    def deciphered(self, stored: bytes, sector: int) -> bytes:
        """The plain text of what is stored from a 512-byte sector of the device on.

        Raises UserError for what does not begin and end with an encryption sector.
        """
        if sector * _SECTOR % self.size or len(stored) % self.size:
            raise UserError(f"{len(stored)} bytes from sector {sector} on are not whole sectors of {self.size} bytes, "
                            "and no other can be deciphered.")
        plain = []
        for begin in range(0, len(stored), self.size):
            number = sector + begin // _SECTOR + self.offset
            number = number // (self.size // _SECTOR) if self.large else number
            cipher = Cipher(algorithms.AES(self.key), _MODES[self.mode](_VECTORS[self.vector](number, self.key)))
            plain.append(cipher.decryptor().update(stored[begin:begin + self.size]))
        return b"".join(plain)


def parse_ciphertext(table: str) -> Ciphertext:
    """How a device stores, from the line of `dmsetup table --showkeys`. Raises UserError for one that is not known."""
    line = _TABLE.fullmatch(table.strip())
    cipher = _CIPHER.fullmatch(line["cipher"]) if line else None
    options = (line["options"] or "").split() if line else []
    size = next((one.partition(":")[2] for one in options if one.startswith("sector_size:")), str(_SECTOR))
    if line is None or cipher is None or cipher["vector"] not in _VECTORS or not _SIZE.fullmatch(size):
        shown = f"the cipher {line['cipher']}" if line else "a device that is no dm-crypt with a key in its table"
        raise UserError(f"The farm cannot decipher {shown}. It knows AES in the modes xts and cbc, "
                        f"with the vectors {', '.join(_VECTORS)}.")
    return Ciphertext(cipher["mode"], cipher["vector"], bytes.fromhex(line["key"]), int(line["offset"]),
                      int(size), "iv_large_sectors" in options)
