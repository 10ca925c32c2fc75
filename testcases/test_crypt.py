"""Plain dm-crypt: beneath a file system and over protection information, and on zones."""

import pytest

pytestmark = pytest.mark.smoke

over_pi = pytest.mark.namespace("data", size="384M", block=512, pi=1, ms=8)
zoned = pytest.mark.namespace("data", block=4096, zone="16M")


@over_pi
@pytest.mark.stack("data / crypt / xfs")
def test_xfs_on_crypt_on_pi(stack, fio, churn):
    with churn.running(stack):
        fio(stack, rw="randwrite", verify="crc32c")
    stack.reopen()
    fio(stack, verify_only=True)


@over_pi
@pytest.mark.stack("data / crypt / xfs")
def test_xfs_on_crypt_on_pi_reports_a_changed_block(stack, fio, disk, expect):
    fio(stack, duration=0)
    spot = stack.sector_of(5 << 20, file="farm-fio.data")
    stack.close()
    disk.flip("data", sector=spot.sector)
    stack.open()
    with expect("pi-guard"):
        fio(stack, verify_only=True)


@zoned
@pytest.mark.stack("data / crypt")
def test_crypt_on_zones(stack, fio):
    fio(stack, rw="write", bs="64K", size="32M")
    stack.reopen()
    fio(stack, bs="64K", size="32M", verify_only=True)


@zoned
@pytest.mark.stack("data / crypt")
def test_crypt_on_zones_does_not_hide_a_changed_block(stack, fio, disk, expect):
    fio(stack, bs="64K", duration=0)
    spot = stack.sector_of(5 << 20)
    stack.close()
    disk.flip("data", sector=spot.sector)
    stack.open()
    with expect("fio-verify"):  # without integrity, nobody beneath can know
        fio(stack, bs="64K", verify_only=True)
