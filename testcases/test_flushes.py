"""What a program has flushed is on the disk: a layer that passes no flush on loses it with the next power cut."""

import pytest

FLUSHES = 20
# Numbers of a disk's `stat` file before that of its flushes (Documentation/block/stat.rst).
BEFORE = 15
WRITE = "dd if=/dev/zero of=$1 bs=4K seek=$2 count=1 conv=fsync,notrunc status=none"


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
def test_a_flush_reaches_the_disk(target, stack):
    disk = stack.base.sysfs

    def flushes():
        return int(target.run(["cat", f"{disk}/stat"]).stdout.split()[BEFORE])

    assert target.run(["cat", f"{disk}/queue/write_cache"]).stdout == "write back\n", "the disk has no cache to flush"
    before = flushes()
    for number in range(FLUSHES):
        target.run(["sh", "-c", WRITE, "sh", stack.device, str(number)])
    flushed = flushes() - before
    assert flushed >= FLUSHES, f"{flushed} of {FLUSHES} flushes reached the disk"
