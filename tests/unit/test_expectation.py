"""Which reports an announcement covers: plain findings, plain places."""

import pytest

from farm.expectation import Expectation, told
from farm.model import Extent, Finding

CHECKSUM = Extent("dm-0", 840, 8, frozenset({"dm-integrity"}))
GUARD = Extent("nvme0n1", 17000, 1, frozenset({"pi-guard", "pi-ref"}))


def verification(layer, device, sector=-1, sectors=0):
    return Finding("verification", "t", layer=layer, device=device, sector=sector, sectors=sectors)


@pytest.mark.parametrize(("finding", "meets"), [
    (verification("dm-integrity", "dm-0", 840), True),
    (verification("dm-integrity", "dm-0", 847), True),
    (verification("dm-integrity", "dm-0", 848), False),
    (verification("dm-integrity", "dm-0", 832, 8), False),
    (verification("dm-integrity", "dm-0", 832, 9), True),
    (verification("dm-integrity", "dm-1", 840), False),
    (verification("dm-integrity", "dm-0"), True),
    (verification("dm-integrity", ""), True),
])
def test_a_report_meets_a_place(finding, meets):
    assert CHECKSUM.meets(finding) is meets


def test_a_directory_holds_its_files():
    place = Extent("/mnt/x")
    assert place.meets(verification("fio-verify", "/mnt/x/file", 7))
    assert not place.meets(verification("fio-verify", "/mnt/xy/file", 7))


def expecting(*findings, layer="dm-integrity", places=(GUARD, CHECKSUM)):
    expectation = Expectation(layer, lambda: places)
    assert all(expectation.takes(finding) for finding in findings)
    return expectation


def test_the_right_layer_at_the_right_place():
    right = verification("dm-integrity", "dm-0", 840, 1)
    expectation = expecting(right)
    assert expectation.seen == [right]
    assert expectation.strangers == []
    assert str(expectation) == "dm-integrity on dm-0, sectors 840 to 847"


@pytest.mark.parametrize("wrong", [
    verification("dm-integrity", "dm-1", 840), verification("dm-integrity", "dm-0", 9000),
    # Another device may have the corrupted sector too, but this layer is not on it.
    verification("dm-integrity", "nvme0n1", 17000),
])
def test_the_right_layer_at_a_wrong_place(wrong):
    expectation = expecting(wrong)
    assert expectation.seen == []
    assert expectation.strangers == [wrong]


def test_another_layer_is_not_taken():
    assert not Expectation("dm-integrity", lambda: (GUARD, CHECKSUM)).takes(verification("pi-guard", "nvme0n1", 17000))


def test_companions_come_along_on_the_same_devices_only():
    near = Finding("io-error", "Buffer I/O error on dm-0", device="dm-0")
    nameless = Finding("verification", "protection error", device="nvme0n1", sector=1)
    swap = Finding("io-error", "Read-error on swap-device", device="254:0")
    far = Finding("io-error", "I/O error on nvme1n1", device="nvme1n1")
    expectation = expecting(near, nameless, swap, far)
    assert expectation.strangers == [far]
    assert expectation.seen == []


def test_without_places_every_device_will_do():
    report = verification("fio-verify", "/tmp/farm-fio.data", 7)
    expectation = expecting(report, layer="fio-verify", places=())
    assert expectation.seen == [report]
    assert str(expectation) == "fio-verify"


def test_nvme_counts_in_blocks_of_the_device():
    guard = Finding("verification", "t", layer="pi-guard", device="nvme0n1", lba=105, blocks=2)
    assert (guard.in_sectors(4096).sector, guard.in_sectors(4096).sectors) == (840, 16)
    assert guard.in_sectors(0) == guard


def test_what_was_reported_in_a_sentence():
    assert told([]) == "nothing"
    assert told([verification("dm-integrity", "dm-0", 8), verification("fs-checksum", "dm-1")]) == (
        "dm-integrity on dm-0, sector 8; fs-checksum on dm-1")
    assert told([verification("pi-ref", "")] * 6).endswith("; 2 more")
