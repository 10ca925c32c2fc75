"""Protection information as QEMU and Linux lay it out."""

import pytest

from farm.errors import UserError
from farm.guest.protection import Protection, guard16
from farm.model import Namespace


@pytest.mark.parametrize(("data", "guard"), [
    (b"123456789", "d0db"),  # the check value of CRC-16/T10-DIF
    (bytes(512), "0000"),
    (b"\xff" * 32, "a293"),  # SBC-4, example data
])
def test_guard(data, guard):
    assert guard16(data).hex() == guard


@pytest.mark.parametrize(("namespace", "places"), [
    (Namespace("n", pi=1, ms=8), (0, 2, 4)),
    (Namespace("n", pi=3, ms=64), (56, 58, 60)),
    (Namespace("n", pi=1, ms=64, pi_first=True), (0, 2, 4)),
    (Namespace("n", pi=1, ms=16, guard=64), (0, 8, 10)),
])
def test_fields(namespace, places):
    assert tuple(Protection(namespace).byte(field) for field in ("guard", "app", "ref")) == places


def test_mended_covers_data_and_the_metadata_before_it():
    last, first = (Namespace("n", pi=1, ms=64, pi_first=first) for first in (False, True))
    data, metadata = bytes(range(256)) * 2, bytes(range(64))
    mended = Protection(last).mended(data, metadata)
    assert mended == metadata[:56] + guard16(data + metadata[:56]) + metadata[58:]
    assert Protection(first).mended(data, metadata) == guard16(data) + metadata[2:]


def test_what_cannot_be_mended():
    with pytest.raises(UserError, match="pi=0"):
        Protection(Namespace("n")).byte("guard")
    with pytest.raises(UserError, match="16-bit"):
        Protection(Namespace("n", pi=1, ms=16, guard=64)).mended(bytes(512), bytes(16))
