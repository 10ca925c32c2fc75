"""From a change of the disk to who may report it where, and back: no guest, tables as Linux 6.12 prints them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import UserError
from farm.guest.disk import Change
from farm.model import Namespace
from farm.stack.corruption import Aim, aim
from farm.stack.locate import SOMEWHERE, Span, Tagged, Window, ascend, locate, parse_tables
from farm.stack.places import NAMESPACE, Device, Found, extents

TABLES = parse_tables("""\
low: 0 520000 linear 259:1 4104
sum: 0 480000 integrity 252:0 0 32 J 8 journal_sectors:3960 interleave_sectors:32768 buffer_sectors:128 block_size:4096
enc: 0 480000 crypt aes-xts-plain64 :64:logon:x 0 252:1 0 1 sector_size:4096
one: 0 520000 integrity 259:1 0 4 I 2 block_size:4096 internal_hash:crc32c
""")
NAMESPACE_4K = Namespace("data", block=4096, ms=64)
BOTTOM = Device("data", NAMESPACE, "nvme0n1")
DEVICES = (BOTTOM, Device("l", "linear", "dm-0", "low"), Device("i", "integrity", "dm-1", "sum"),
           Device("c", "crypt", "dm-2", "enc"))
CHAIN = ("enc", "sum", "low")


def change(place: Aim) -> Change:
    return Change("data", place.block, place.area, place.byte, b"\0", b"\1")


def seen_by(layer: str, place: Aim, devices=DEVICES, namespace=NAMESPACE_4K, **above) -> list[str]:
    found = extents(change(place), namespace, devices, TABLES, **above)
    return sorted(str(extent) for extent in found if layer in extent.layers)


@pytest.mark.parametrize("area", ["data", "tag"])
@given(sector=st.integers(0, 479_999), byte=st.integers(0, 31))
def test_what_is_aimed_at_is_what_is_reported(area: str, sector: int, byte: int) -> None:
    place = aim(area, sector * 512, byte, chain=CHAIN, tables=TABLES, namespace=NAMESPACE_4K)
    first = sector // 8 * 8
    assert seen_by("dm-integrity", place) == [f"dm-1, sectors {first} to {first + 7}"]
    assert seen_by("fio-verify", place) == [f"dm-2, sectors {first} to {first + 7}",
                                            f"enc, sectors {first} to {first + 7}"]
    lowest = place.block * 8
    assert seen_by("pi-guard", place) == [f"nvme0n1, sectors {lowest} to {lowest + 7}"]


@pytest.mark.parametrize("area", ["journal", "superblock"])
def test_what_no_sector_belongs_to_is_somewhere(area: str) -> None:
    place = aim(area, 1000, 0, chain=CHAIN, tables=TABLES, namespace=NAMESPACE_4K)
    assert place == Aim(514 if area == "journal" else 513, "data", 1000)
    assert seen_by("dm-integrity", place) == ["dm-1"]


def test_below_a_window_nothing_above_sees_it() -> None:
    assert seen_by("dm-integrity", Aim(0, "data", 0)) == []
    assert seen_by("pi-guard", Aim(0, "data", 0)) == ["nvme0n1, sectors 0 to 7"]


def test_inline_tags_are_reported_on_the_device_beneath() -> None:
    devices = (BOTTOM, Device("i", "integrity", "dm-0", "one"))
    place = aim("tag", 840 * 512, 1, chain=("one",), tables=TABLES, namespace=NAMESPACE_4K)
    assert place == Aim(106, "metadata", 1)  # a superblock of 8 sectors lies before it
    assert seen_by("dm-integrity", place, devices) == [
        "dm-0, sectors 840 to 847", "nvme0n1, sectors 840 to 847"]


def test_protection_information_is_that_of_the_block() -> None:
    namespace = Namespace("data", pi=1, ms=8)
    place = aim("ref", 840 * 512, 3, chain=("low",), tables=TABLES, namespace=namespace)
    assert place == Aim(4944, "metadata", 7)
    assert seen_by("pi-ref", place, DEVICES[:2], namespace) == ["nvme0n1, sector 4944"]


def test_files_and_file_systems_on_top() -> None:
    place = aim("data", 845 * 512, 0, chain=("low",), tables=TABLES, namespace=Namespace("data"))
    above = {"devices": DEVICES[:2], "namespace": Namespace("data"), "mountpoint": "/mnt/x"}
    assert seen_by("fs-checksum", place, **above) == ["dm-0, sectors 840 to 847"]
    assert seen_by("fio-verify", place, **above) == ["/mnt/x"]
    assert seen_by("fio-verify", place, **{**above, "mountpoint": "", "swap": True}) == []
    files = (Found("/mnt/x/file", 65536, 845 * 512),)
    assert seen_by("fio-verify", place, **above, files=files) == ["/mnt/x/file, sectors 128 to 135"]


@pytest.mark.parametrize(("area", "chain", "said"), [
    ("data", ("other",), "cannot be seen through"), ("tag", ("low",), "no layer with integrity tags"),
    ("journal", ("low",), "no dm-integrity device"), ("guard", ("low",), "no protection information"),
    ("header", (), "no area 'header'"),
])
def test_says_what_is_not_there(area: str, chain: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        aim(area, 0, 0, chain=chain, tables=TABLES, namespace=Namespace("data"))


def test_the_journal_has_an_end() -> None:
    with pytest.raises(UserError, match="has 2027520 bytes"):
        aim("journal", 3960 * 512, 0, chain=CHAIN, tables=TABLES, namespace=NAMESPACE_4K)


@given(st.integers(1, 64), st.sampled_from([1, 8]), st.integers(0, 1 << 30))
def test_up_undoes_down(tag: int, covered: int, sector: int) -> None:
    tables = {"top": Window(3), "mid": Tagged(8, tag, covered, 32768, 128, 4048), "low": Window(7)}
    for wanted in (False, True):
        spot = locate(["top", "mid", "low"], tables, sector, tag=wanted)
        found = ascend(["low", "mid", "top"], tables, Span(spot.sector * 512 + spot.byte, 1))
        assert (sector + 3) // covered * covered * 512 == found["mid"].first
        if found["mid"].first >= 3 * 512:
            assert found["top"] == Span(found["mid"].first - 3 * 512, covered * 512)


def test_padding_behind_tags_is_somewhere() -> None:
    tagged = Tagged(0, 4, 8, 32768, 128, 4048)
    assert tagged.above(Span((8 + 4048) * 512 + 4 * 4096, 1)) == SOMEWHERE
