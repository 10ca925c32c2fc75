"""What has to hold on every stack: for --stack, and for the matrix of a nightly plan."""

import pytest

pytestmark = [
    pytest.mark.namespace("data", size="512M", block=4096),
    pytest.mark.stack("data / crypt:sector_size=4096"),
    pytest.mark.duration(5),
]


def test_data_survives_a_reopen(stack, fio):
    fio(stack, rw="write", verify="crc32c")
    stack.reopen()
    fio(stack, verify="crc32c", verify_only=True)


def test_random_writes_are_read_back(stack, fio):
    fio(stack, rw="randwrite", verify="crc32c")
