"""Where a sector lies: tables as Linux 6.12 printed them, places as its messages then confirmed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import UserError
from farm.stack.locate import Spot, Tagged, Window, locate, parse_tables

REST = "journal_watermark:50 commit_time:10000 fix_padding"
TABLES = f"""\
crc: 0 516136 integrity 259:3 0 4 J 8 journal_sectors:4048 interleave_sectors:32768 buffer_sectors:128 {REST} \
fix_hmac internal_hash:crc32c
sha: 0 489512 integrity 259:3 0 32 J 8 journal_sectors:4048 interleave_sectors:32768 buffer_sectors:128 {REST} \
fix_hmac internal_hash:sha256
luks: 0 483712 crypt capi:authenc(hmac(sha256),xts(aes))-plain64 :96:logon:cryptsetup:6122d894-d0 0 252:0 0 2 \
integrity:32:aead sector_size:4096
luks_dif: 0 483712 integrity 259:1 32768 32 J 7 block_size:4096 journal_sectors:3960 interleave_sectors:32768 \
buffer_sectors:128 {REST}
gcm: 0 484192 crypt capi:gcm(aes)-random :32:logon:cryptsetup:33af52ea-d0 0 252:0 0 2 integrity:28:aead sector_size:4096
gcm_dif: 0 484192 integrity 259:1 32768 28 J 7 block_size:4096 journal_sectors:3960 interleave_sectors:32768 \
buffer_sectors:32 {REST}
plain: 0 491520 crypt aes-xts-plain64 :64:logon:cryptsetup:463ade44-d0 0 259:1 32768 1 sector_size:4096
window: 0 522231 linear 259:1 2057
inline: 0 819184 integrity 259:4 0 4 I 2 block_size:4096 internal_hash:crc32c
other: 0 8 zero
"""


@pytest.mark.parametrize(("chain", "tag", "spot"), [
    (["crc"], False, Spot(16600)),
    (["sha"], False, Spot(18392)),
    (["sha"], True, Spot(4824)),
    (["luks", "luks_dif"], False, Spot(49280)),
    (["luks", "luks_dif"], True, Spot(36832)),
    (["gcm", "gcm_dif"], False, Spot(49248)),
    (["gcm", "gcm_dif"], True, Spot(36820)),
    (["plain"], False, Spot(45056)),
    (["window"], False, Spot(14345)),
    (["inline"], False, Spot(12296)),
    ([], False, Spot(12288)),
])
def test_finds_the_block_at_six_mebibytes(chain: list[str], tag: bool, spot: Spot) -> None:
    assert locate(chain, parse_tables(TABLES), 12288, tag=tag) == spot


def test_windows_add_up_beneath_tags() -> None:
    tables = {"top": Tagged(0, 4, 1, 32768, 128, 4048), "mid": Window(100), "low": Window(7)}
    assert locate(["top", "mid", "low"], tables, 0, tag=True) == Spot(4048 + 8 + 107)


def test_says_what_cannot_be_seen_through() -> None:
    with pytest.raises(UserError, match="layer other cannot be seen through"):
        locate(["other"], parse_tables(TABLES), 0)
    with pytest.raises(UserError, match="no layer with interleaved integrity tags"):
        locate(["window"], parse_tables(TABLES), 0, tag=True)


@given(st.integers(1, 64), st.sampled_from([1, 8]), st.integers(0, 1 << 30), st.integers(0, 1 << 30))
def test_no_two_sectors_share_a_place(tag: int, covered: int, one: int, two: int) -> None:
    tagged = Tagged(8, tag, covered, 32768, 128, 4048)
    assert (tagged.data(one) == tagged.data(two)) == (one == two)
    assert tagged.data(one) != Spot(tagged.tags(two).sector)


@given(st.text(max_size=200))
def test_any_text_is_read(printed: str) -> None:
    parse_tables(printed)
    parse_tables("x: 0 8 integrity " + printed)
