"""Report 001: dm-crypt without workqueues, with ciphers that finish at once and such that finish later."""

import itertools

import pytest

pytestmark = pytest.mark.duration(4)

# Finishes at once, in whichever context; its code does not run in a hard interrupt.
GENERIC = "cipher=capi:xts(ecb(aes-generic))-plain64"
BOTH = "no_read_workqueue,no_write_workqueue"
JOBS = {"jobs": 4, "size": "4M", "bs": "64K"}
# So few sectors that the cipher's queue takes them: soft interrupts add them while the queue's worker takes others.
SMALL = {"jobs": 4, "size": "4M", "bs": "4K", "iodepth": 1, "verify": "none"}


def stacks(serial, drivers, sizes, queues):
    made = []
    for (name, driver), size, queue in itertools.product(drivers.items(), sizes, queues):
        options = ",".join(filter(None, (driver, queue, f"sector_size={size}")))
        words = filter(None, (name, str(size), queue.replace(",", "-")))
        made.append(pytest.param(marks=pytest.mark.stack(f"{serial} / crypt:{options}"), id="-".join(words)))
    return made


DRIVERS = {"fast": "", "generic": GENERIC, "cryptd": "cryptd"}


@pytest.mark.machine(append=("cryptd.cryptd_max_cpu_qlen=8",))
@pytest.mark.namespace("data", size="64M")
@pytest.mark.parametrize((), [
    *stacks("data", DRIVERS, (512, 4096), (BOTH,)),
    *stacks("data", {"cryptd": "cryptd"}, (512,), ("no_read_workqueue", "no_write_workqueue")),
    *stacks("data", {"generic": GENERIC}, (512,), ("no_read_workqueue", "no_write_workqueue")),
])
def test_inline(stack, fio):
    fio(stack, rw="randwrite", **JOBS)
    stack.reopen()
    fio(stack, verify_only=True, **JOBS)
    fio(stack, rw="randread", **SMALL)


@pytest.mark.namespace("zoned", block=4096, zone="16M")
@pytest.mark.parametrize((), [
    *stacks("zoned", {"fast": "", "cryptd": "cryptd"}, (4096,), ("",)),
    *stacks("zoned", {"cryptd": "cryptd"}, (4096,), ("no_read_workqueue",)),
])
def test_zones(stack, fio):
    """The writes of a zone reach the disk in their order, from however many jobs and workers."""
    zones = {"jobs": 4, "size": "16M", "bs": "64K", "iodepth": 16}
    fio(stack, rw="write", **zones)
    stack.reopen()
    fio(stack, verify_only=True, **zones)


@pytest.mark.namespace("zoned", block=512, zone="16M")
@pytest.mark.stack("zoned / crypt:cryptd,sector_size=512")
def test_zones_with_small_sectors(stack, fio):
    zones = {"jobs": 2, "size": "16M", "bs": "16K", "iodepth": 16}
    fio(stack, rw="write", **zones)
    stack.reopen()
    fio(stack, verify_only=True, **zones)
