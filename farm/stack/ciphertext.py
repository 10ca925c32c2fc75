"""What dm-crypt has to have stored, by another implementation of its ciphers (OpenSSL's): pure.

A kernel that reads back what it wrote agrees with itself. Whether it agrees with those before it, and those who wrote
the disk, only somebody else can tell.

Linux 6.12, drivers/md/dm-crypt.c: crypt_status for the table, crypt_iv_plain_gen and its like for the vectors,
crypt_convert_block_skcipher for the sector that they count (`iv_large_sectors`), crypt_convert_block_aead for what is
authenticated, crypt_copy_authenckey for the order of two keys; crypto/essiv.c, crypto/authenc.c.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from farm.errors import UserError
from farm.stack.locate import option_size

_SECTOR = 512
_VECTOR = 16
# Blocks of AES in a sector, as a shift (crypt_iv_benbi_ctr).
_BLOCKS_SHIFT = 5


@dataclass(frozen=True)
class _Piece:
    """What the cipher of one encryption sector is given."""

    key: bytes
    vector: bytes
    # Authenticated, and not encrypted.
    associated: bytes
    stored: bytes
    # The message authentication code.
    code: bytes


def _plain(number: int, key: bytes) -> bytes:
    return (number & 0xFFFFFFFF).to_bytes(_VECTOR, "little")


def _plain64(number: int, key: bytes) -> bytes:
    return number.to_bytes(_VECTOR, "little")


def _plain64be(number: int, key: bytes) -> bytes:
    return number.to_bytes(_VECTOR, "big")


def _benbi(number: int, key: bytes) -> bytes:
    return ((number << _BLOCKS_SHIFT) + 1 & 0xFFFFFFFFFFFFFFFF).to_bytes(_VECTOR, "big")


def _essiv(number: int, key: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(hashlib.sha256(key).digest()), modes.ECB()).encryptor()  # noqa: S305 (the format)
    return encryptor.update(_plain64(number, key))


def _null(number: int, key: bytes) -> bytes:
    return bytes(_VECTOR)


_VECTORS: Mapping[str, Callable[[int, bytes], bytes]] = {
    "plain": _plain, "plain64": _plain64, "plain64be": _plain64be, "benbi": _benbi, "essiv:sha256": _essiv,
    "null": _null,
}
# Stored behind the code, in the tag.
_RANDOM = "random"


def _unauthenticated(mode: Callable[[bytes], modes.XTS | modes.CBC], piece: _Piece) -> bytes:
    return Cipher(algorithms.AES(piece.key), mode(piece.vector)).decryptor().update(piece.stored)


def _aead(cipher: type[AESGCM | ChaCha20Poly1305], piece: _Piece) -> bytes:
    try:
        return cipher(piece.key).decrypt(piece.vector, piece.stored + piece.code, piece.associated)
    except InvalidTag:
        return b""


def _authenticated(mode: Callable[[bytes], modes.XTS | modes.CBC], piece: _Piece) -> bytes:
    """The key of the cipher comes first, that of the code of 32 bytes last."""
    key, mac = piece.key[:-32], piece.key[-32:]
    if not hmac.compare_digest(hmac.digest(mac, piece.associated + piece.stored, "sha256"), piece.code):
        return b""
    return _unauthenticated(mode, replace(piece, key=key))


@dataclass(frozen=True)
class _Mode:
    """A cipher; `decipher` gives nothing for a code that is wrong."""

    decipher: Callable[[_Piece], bytes]
    # Bytes that a key may have.
    keys: tuple[int, ...]
    # Bytes of the message authentication code, and of the vector.
    code: int = 0
    vector: int = _VECTOR


# By the words of the kernel's name for it, without who computes it, and when.
_MODES: Mapping[tuple[str, ...], _Mode] = {
    ("xts", "aes"): _Mode(partial(_unauthenticated, modes.XTS), (32, 64)),
    ("cbc", "aes"): _Mode(partial(_unauthenticated, modes.CBC), (16, 24, 32)),
    ("gcm", "aes"): _Mode(partial(_aead, AESGCM), (16, 24, 32), 16, 12),
    ("rfc7539", "chacha20", "poly1305"): _Mode(partial(_aead, ChaCha20Poly1305), (32,), 16, 12),
    ("authenc", "hmac", "sha256", "xts", "aes"): _Mode(partial(_authenticated, modes.XTS), (64, 96), 32),
    ("authenc", "hmac", "sha256", "cbc", "aes"): _Mode(partial(_authenticated, modes.CBC), (48, 56, 64), 32),
}
_TABLE = re.compile(r"(?:\S+: )?\d+ \d+ crypt (?P<cipher>\S+) (?P<key>(?:[0-9a-f]{2})+) (?P<offset>\d{1,19}) \S+ \d+"
                    r"(?: \d+(?P<options>(?: \S+)*))?", re.ASCII)
# `aes-xts-plain64`, `capi:cryptd(xts(ecb(aes-generic)))-plain64`: from farm.stack.planners.
_CIPHER = re.compile(r"(?:aes-(?P<old>\w+)|capi:(?P<name>[\w(),-]+))-(?P<vector>[\w:]+)", re.ASCII)


@dataclass(frozen=True)
class Ciphertext:
    """How a device of dm-crypt stores its sectors."""

    # Key of the table of ciphers.
    mode: tuple[str, ...]
    vector: str
    key: bytes
    # What is added to the number of a sector before it becomes a vector.
    offset: int = 0
    # Bytes that share a vector, and whether vectors count those rather than 512 bytes.
    size: int = _SECTOR
    large: bool = False

    @property
    def tag(self) -> int:
        """Bytes that are stored beside each `size`, in the tags of what lies beneath."""
        mode = _MODES[self.mode]
        return mode.code + (mode.vector if self.vector == _RANDOM else 0)

    def deciphered(self, stored: bytes, sector: int, tags: bytes = b"") -> bytes:
        """The plain text of what is stored, with these tags, from a 512-byte sector of the device on.

        Sectors with another tag than this implementation computes are left out, so that the text is shorter. Raises
        UserError for what does not begin and end with an encryption sector.
        """
        if sector * _SECTOR % self.size or len(stored) % self.size:
            raise UserError(f"{len(stored)} bytes from sector {sector} on are not whole sectors of {self.size} bytes, "
                            "and no other can be deciphered.")
        return b"".join(
            self._piece(stored[begin:begin + self.size], sector + begin // _SECTOR,
                        tags[number * self.tag:(number + 1) * self.tag])
            for number, begin in enumerate(range(0, len(stored), self.size)))

    def _piece(self, stored: bytes, sector: int, tag: bytes) -> bytes:
        mode = _MODES[self.mode]
        number = sector + self.offset
        number = number // (self.size // _SECTOR) if self.large else number
        random = self.vector == _RANDOM
        vector = tag[mode.code:] if random else _VECTORS[self.vector](number, self.key)
        # The sector that is authenticated has neither offset nor unit.
        associated = sector.to_bytes(8, "little") + vector
        return mode.decipher(_Piece(self.key, vector, associated, stored, tag[:mode.code]))


def parse_ciphertext(table: str) -> Ciphertext:
    """How a device stores, from the line of `dmsetup table --showkeys`. Raises UserError for one that is not known."""
    line = _TABLE.fullmatch(table.strip())
    cipher = _CIPHER.fullmatch(line["cipher"]) if line else None
    options = (line["options"] or "").split() if line else []
    size = option_size(options, "sector_size")
    name = _mode(cipher) if cipher else ()
    if line and cipher and size and _is_known(name, cipher["vector"], len(line["key"]) // 2):
        return Ciphertext(name, cipher["vector"], bytes.fromhex(line["key"]), int(line["offset"]), size,
                          "iv_large_sectors" in options)
    shown = (f"the cipher {line['cipher']} with a key of {len(line['key']) // 2} bytes{line['options'] or ''}" if line
             else "a device that is no dm-crypt with a key in its table")
    raise UserError(f"The farm cannot decipher {shown}. It knows AES in the modes xts (of 128 and 256 bits) and cbc, "
                    f"alone or with hmac(sha256), and the vectors {', '.join(_VECTORS)}; and gcm and chacha20 with "
                    "poly1305, with random vectors.")


def _is_known(name: tuple[str, ...], vector: str, key: int) -> bool:
    mode = _MODES.get(name)
    if mode is None or key not in mode.keys:
        return False
    return mode.code > 0 if vector == _RANDOM else vector in _VECTORS and mode.vector == _VECTOR


def _mode(cipher: re.Match[str]) -> tuple[str, ...]:
    if cipher["old"]:
        return cipher["old"], "aes"
    words = re.findall(r"[\w-]+", cipher["name"], re.ASCII)
    return tuple("aes" if word.startswith("aes") else word for word in words if word not in ("cryptd", "ecb"))
