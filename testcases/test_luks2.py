"""LUKS2 with authenticated encryption: dm-crypt over dm-integrity."""

import pytest

pytestmark = [
    pytest.mark.smoke,
    pytest.mark.namespace("data", block=4096),
    pytest.mark.stack("data / luks2:integrity=hmac-sha256"),
]


def test_hmac_sha256_written_and_reopened(stack, fio):
    fio(stack, rw="write", verify="pattern")
    stack.reopen()
    fio(stack, verify="pattern", verify_only=True)


@pytest.mark.parametrize("tag", [False, True], ids=["data", "tag"])
def test_hmac_sha256_reports_a_changed_block(stack, fio, disk, expect, tag):
    fio(stack, duration=0)
    spot = stack.sector_of(5 << 20, tag=tag)
    stack.close()
    disk.flip("data", sector=spot.sector, byte=spot.byte)
    stack.open()
    with expect("dm-crypt-aead"):
        fio(stack, verify_only=True)
