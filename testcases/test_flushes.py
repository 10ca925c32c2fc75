"""What a program has flushed is on the disk: a layer that passes no flush on loses it with the next power cut."""

from pathlib import Path

import pytest

FLUSHES = 20
# Numbers of a disk's `stat` file before that of its flushes (Documentation/block/stat.rst).
BEFORE = 15
WRITE = "dd if=/dev/zero of=$1 bs=4K seek=$2 count=1 conv=fsync,notrunc status=none"
# The same table on a loop device, which has a cache and no FUA: a write that has to be durable is followed by a flush
# (block/blk-flush.c, blk_insert_flush), and that is counted.
ON_LOOP = r"""
truncate -s 64M /tmp/disk && loop=$(losetup --find --show /tmp/disk) &&
  dmsetup table --showkeys "$1" | sed -E "s, [0-9]+:[0-9]+ , $loop ," | dmsetup reload "$1" && dmsetup resume "$1" &&
  echo $loop
"""


@pytest.fixture
def flushes(target):
    """`flushes(device)`: how many flushes a disk has been sent so far."""
    def count(device):
        return int(target.run(["cat", f"/sys/block/{Path(device).name}/stat"]).stdout.split()[BEFORE])

    return count


def on(name, layers, **namespace):
    disk = pytest.mark.namespace("data", **{"size": "64M", **namespace})
    return pytest.param(marks=[disk, pytest.mark.stack(f"data / {layers}")], id=name)


@pytest.mark.parametrize((), [
    on("linear", "partition:start=2048 / linear:offset=8"), on("mirror", "mirror"),
    on("crypt", "crypt"), on("inline", "crypt:no_read_workqueue,no_write_workqueue"), on("cryptd", "crypt:cryptd"),
    # With a journal, dm-integrity writes that past the disk's cache instead (drivers/md/dm-integrity.c, write_journal).
    on("bitmap", "integrity:mode=bitmap"), on("direct", "integrity:mode=direct"),
    on("tags", "integrity:mode=inline", block=4096, ms=64),
])
def test_a_flush_reaches_the_disk(target, stack, flushes):
    cache = target.run(["cat", f"{stack.base.sysfs}/queue/write_cache"]).stdout
    assert cache == "write back\n", "the disk has no cache to flush"
    before = flushes(stack.base.path)
    for number in range(FLUSHES):
        target.run(["sh", "-c", WRITE, "sh", stack.device, str(number)])
    flushed = flushes(stack.base.path) - before
    assert flushed >= FLUSHES, f"{flushed} of {FLUSHES} flushes reached the disk"


@pytest.mark.namespace("data", size="64M")
@pytest.mark.namespace("tags", size="64M")
@pytest.mark.parametrize("mode", [
    pytest.param("--integrity-no-journal", id="direct"), pytest.param("--integrity-bitmap-mode", id="bitmap")])
def test_a_flush_reaches_the_data_beside_its_tags(target, flushes, mode):
    """With the tags on a disk of their own there are two caches to flush."""
    data, tags = (target.block_device(name) for name in ("data", "tags"))
    target.run(["integritysetup", "format", "--batch-mode", "--no-wipe", "--data-device", data, tags])
    target.run(["integritysetup", "open", mode, "--data-device", data, tags, "apart"])
    before = flushes(data)
    for number in range(FLUSHES):
        target.run(["sh", "-c", WRITE, "sh", "/dev/mapper/apart", str(number)])
    flushed = flushes(data) - before
    target.run(["integritysetup", "close", "apart"])
    assert flushed >= FLUSHES, f"{flushed} of {FLUSHES} flushes reached the data"


@pytest.mark.parametrize((), [
    on("linear", "linear:offset=8"), on("crypt", "crypt"), on("cryptd", "crypt:cryptd"),
    on("inline", "crypt:no_read_workqueue,no_write_workqueue")])
def test_a_durable_write_stays_one(target, stack, flushes):
    """With O_DSYNC a write is durable by itself (REQ_FUA), and a flush follows (linux/fs.h, generic_write_sync)."""
    loop = target.run(["bash", "-c", ON_LOOP, "bash", Path(stack.device).name]).stdout.strip()
    before = flushes(loop)
    target.run(["dd", "if=/dev/zero", f"of={stack.device}", "bs=4K", f"count={FLUSHES}", "oflag=direct,dsync",
                "conv=notrunc", "status=none"])
    flushed = flushes(loop) - before
    assert flushed >= 2 * FLUSHES, f"{flushed} flushes for {FLUSHES} durable writes that are flushed, too"
