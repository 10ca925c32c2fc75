"""Swap on dm-crypt: memory that has to leave through the stack under test."""

import pytest

pytestmark = [
    pytest.mark.smoke,
    pytest.mark.machine(memory="256M"),
    pytest.mark.namespace("swap", size="128M"),
    pytest.mark.stack("swap / crypt / swap"),
]
# 32 MiB in a tmpfs whose writer may keep 16 MiB: the other half is on the swap device.
SWAPPED = {"size": "32M", "memory": "16M", "buffered": True}


def test_swap_on_crypt_under_pressure(stack, fio, stress, pressure):
    with pressure("keep-free:free=64M,fixed"), stress.running(stack, bytes="96M", keep=True, method="rand-set"):
        fio("/tmp", **SWAPPED)


def test_swap_on_crypt_does_not_hide_a_changed_block(stack, fio, disk, expect):
    fio("/tmp", duration=0, **SWAPPED)
    for block in range(8, 128 << 11, 8):  # one bit in every page but the header's
        disk.flip("swap", block=block)
    with expect("fio-verify"):  # without integrity, nobody beneath can know
        fio("/tmp", verify_only=True, **SWAPPED)
