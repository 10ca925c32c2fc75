"""What dm-integrity does in any of its modes: blocks of many sectors, readers beside a writer, suspended devices.

The journal, the bitmap and direct writes are explained in Documentation/admin-guide/device-mapper/dm-integrity.rst.
"""

from pathlib import Path

import pytest

# Blocks of many sectors, whose tags lie one after the other; then some of those sectors alone.
LARGE = {"jobs": 4, "size": "4M", "bs": "64K"}
SMALL = {"jobs": 4, "size": "4M", "bs": "4K"}


def on(name, layer, **namespace):
    marks = pytest.mark.stack(f"data / {layer}"), pytest.mark.namespace("data", size="64M", **namespace)
    return pytest.param(marks=marks, id=name)


@pytest.mark.parametrize((), [
    on("journal", "integrity"), on("journal-hmac", "integrity:hash=hmac-sha256,sector_size=4096"),
    on("bitmap", "integrity:mode=bitmap"), on("direct", "integrity:mode=direct,hash=sha256", block=4096),
    on("inline", "integrity:mode=inline", block=4096, ms=64)])
@pytest.mark.duration(4)
def test_blocks_of_many_sectors_are_read_back(stack, fio):
    fio(stack, rw="randwrite", **LARGE)
    stack.reopen()
    fio(stack, verify_only=True, **LARGE)
    fio(stack, rw="randread", **{**SMALL, "verify": "none"})
    fio(stack, rw="randwrite", batch=8, **SMALL)
    fio(stack, verify_only=True, **SMALL)
    fio(stack, rw="randread", **{**LARGE, "verify": "none"})


@pytest.mark.machine(cpus=2)
@pytest.mark.namespace("data", size="64M", block=4096)
@pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.stack(f"data / integrity:mode={mode}"), id=mode) for mode in ("direct", "bitmap")])
def test_readers_wait_for_a_writer(stack, fio):
    """Reads of a block wait until it is written, in work queues of dm-integrity's that the write goes through, too."""
    fio(stack, rw="randrw", reads=75, verify="none", size=4096, iodepth=128, batch=64)


# $1: device; $2: its name; $3: the disk. Written at the last moment: what is not flushed is within ten seconds
# (DEFAULT_SYNC_MSEC).
COPY = r"""
set -e -o pipefail
dd if=/dev/urandom of="$1" bs=64K count=16 iflag=fullblock oflag=direct conv=notrunc status=none
dmsetup suspend "$2"
dd if="$3" of=/tmp/copy bs=1M iflag=direct status=none
dmsetup resume "$2"
loop=$(losetup --find --show /tmp/copy)
dmsetup table "$2" | sed -E "s, [0-9]+:[0-9]+ , $loop ," | dmsetup create copy
for device in "$1" /dev/mapper/copy; do
  dd if=$device bs=64K count=16 iflag=direct status=none | sha256sum
done
dmsetup remove copy
"""


@pytest.mark.namespace("data", size="64M")
@pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.stack(f"data / integrity:mode={mode}"), id=mode)
    for mode in ("journal", "bitmap", "direct")])
def test_a_suspended_device_is_on_its_disk(target, stack):
    """Whoever suspends a device copies the disk beneath, or makes a new table (dm-integrity.c, postsuspend)."""
    said = target.run(["bash", "-c", COPY, "bash", stack.device, Path(stack.device).name, stack.base.path]).stdout
    original, copy = (line.split()[0] for line in said.splitlines())
    assert copy == original, "the copy of a suspended device holds other data"
