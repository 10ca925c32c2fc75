"""Report 000: memory reclaimed through dm-crypt, which deadlocks when dm-crypt itself has to reclaim."""

import pytest

# Device mapper lets 2048 bios of swap be in flight on a device and makes the next writer wait (drivers/md/dm.c,
# __map_bio). With 32, a worker of dm-crypt that writes swap soon waits for what only itself could finish.
pytestmark = [
    pytest.mark.machine(cpus=2, memory="256M", append=("dm_mod.swap_bios=32",)),
    pytest.mark.namespace("swap", size="512M"),
    pytest.mark.namespace("data", size="384M"),
    pytest.mark.duration(40),
    pytest.mark.tolerate("oom"),
]


@pytest.mark.stack("data / crypt / xfs")
@pytest.mark.stack("swap / crypt / swap")
def test_xfs_and_swap_on_crypt(target, stack, fio, stress, churn):
    """More memory is in use than there is, and the reserve is small: whoever may reclaim soon has to do it himself."""
    target.run(["sh", "-c", "echo 1024 >/proc/sys/vm/min_free_kbytes"])
    with stress.running(stack, bytes="400M", keep=True, method="rand-set"), churn.running(stack, files=200):
        fio(stack, rw="randwrite", size="16M", fsync=16, buffered=True)
