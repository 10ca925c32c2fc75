"""What dm-integrity has to have stored; that real kernels store it so is for testcases/test_integrity_tags.py."""

import hashlib
import hmac

import pytest

from farm.errors import UserError
from farm.stack.tags import crc32c, parse_tags

DATA = bytes(range(256)) * 2
KEY = "00" * 16 + "ff" * 16
SALT = bytes(range(16))
SUPERBLOCK = b"integrt\0" + bytes(40) + SALT + bytes(448)


def unread():
    raise AssertionError("nothing in the superblock is needed")


def table(hashed, tag=4, options=""):
    return f"crc: 0 516136 integrity 259:3 0 {tag} J 8 journal_sectors:4048 buffer_sectors:128{options} {hashed}\n"


# RFC 3720, appendix B.4.
@pytest.mark.parametrize(("data", "expected"), [
    (bytes(32), "aa36918a"), (b"\xff" * 32, "43aba862"), (bytes(range(32)), "4e79dd46"),
    (bytes(range(31, -1, -1)), "5cdb3f11"),
])
def test_crc32c(data, expected):
    assert crc32c(data).hex() == expected


def test_the_number_of_the_sector_is_hashed_first():
    device = parse_tags(table("internal_hash:crc32c"), unread)
    assert device.computed(DATA * 2, 7) == crc32c((7).to_bytes(8, "little") + DATA) + crc32c(
        (8).to_bytes(8, "little") + DATA)


def test_the_salt_comes_before_it():
    line = table(f"internal_hash:hmac(sha256):{KEY}", 32, " fix_padding fix_hmac")
    expected = hmac.digest(bytes.fromhex(KEY), SALT + bytes(8) + DATA, "sha256")
    assert parse_tags(line, lambda: SUPERBLOCK).computed(DATA, 0) == expected


def test_large_blocks_count_in_sectors_and_long_digests_are_cut():
    device = parse_tags(table("internal_hash:sha256", 8, " block_size:4096"), unread)
    assert device.computed(DATA * 8, 16) == hashlib.sha256((16).to_bytes(8, "little") + DATA * 8).digest()[:8]


def test_short_digests_are_filled_up():
    assert parse_tags(table("internal_hash:crc32c", 6), unread).computed(DATA, 0)[4:] == b"\0\0"


@pytest.mark.parametrize("line", [
    table("internal_hash:xxhash64"), table("journal_mac:sha256"), "0 8 zero", "", table("internal_hash:crc32c", 0),
    table("internal_hash:crc32c", options=" block_size:0"), table("internal_hash:crc32c", options=" block_size:513"),
    "0 2048 crypt aes-xts-plain64 00 0 1:2 0",
])
def test_what_it_does_not_know_it_says(line):
    with pytest.raises(UserError, match=r"cannot compute tags of .* It knows crc32c, sha256, hmac\(sha256\)"):
        parse_tags(line, unread)


@pytest.mark.parametrize(("sector", "length"), [(1, 4096), (8, 512)])
def test_part_of_a_block_has_no_tag(sector, length):
    with pytest.raises(UserError, match="are not whole blocks of 4096 bytes"):
        parse_tags(table("internal_hash:crc32c", options=" block_size:4096"), unread).computed(bytes(length), sector)
