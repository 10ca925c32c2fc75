"""The cells that `make bench` measures: one that only boots, and one like those of the smoke plan."""

import pytest


@pytest.mark.machine(cpus=2, memory="512M")
def test_boot(target):
    target.run(["true"])


@pytest.mark.machine(cpus=2, memory="512M")
@pytest.mark.namespace("data", size="384M", block=512, pi=1, ms=8)
@pytest.mark.stack("data / crypt:cipher=aes-xts-plain64 / xfs")
@pytest.mark.duration(2)
def test_xfs_on_crypt_on_pi(stack, fio):
    fio(stack, rw="randwrite", verify="crc32c")
