"""NVMe protection information: what is written comes back, and what was changed on the disk does not."""

import pytest

pytestmark = pytest.mark.smoke

type1 = pytest.mark.namespace("data", block=512, pi=1, ms=8)
type3 = pytest.mark.namespace("data", block=4096, pi=3, ms=8)


@type1
@pytest.mark.stack("data")
def test_type1_512(stack, fio):
    fio(stack, rw="randwrite", verify="crc32c")


@type1
@pytest.mark.stack("data")
def test_type1_512_reports_a_changed_block(stack, fio, disk, expect):
    fio(stack, duration=0)
    disk.flip("data", sector=10240)
    with expect("pi-guard"):
        fio(stack, verify_only=True)


@type3
@pytest.mark.stack("data")
def test_type3_4096(stack, fio):
    fio(stack, rw="randwrite", verify="crc32c")


@type3
@pytest.mark.stack("data")
def test_type3_4096_reports_a_changed_guard(stack, fio, disk, expect):
    fio(stack, duration=0)
    disk.flip("data", block=1280, area="metadata")
    with expect("pi-guard"):
        fio(stack, verify_only=True)


@type1
@pytest.mark.stack("data / linear:offset=2057")
def test_linear_at_an_odd_offset(stack, fio):
    fio(stack, rw="randwrite", verify="crc32c")


@type1
@pytest.mark.stack("data / linear:offset=2057")
def test_linear_at_an_odd_offset_reports_a_changed_reference_tag(stack, fio, disk, expect):
    fio(stack, duration=0)
    spot = stack.sector_of(5 << 20)
    stack.close()
    disk.flip("data", block=spot.sector, area="metadata", byte=7)  # guard 0-1, application tag 2-3, reference tag 4-7
    stack.open()
    with expect("pi-ref"):
        fio(stack, verify_only=True)
