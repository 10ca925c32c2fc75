"""dm-crypt by its table: wiped keys, more than one target, vectors of large sectors, and what has to pass through."""

from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

# Numbers of a disk's `stat` file before that of its flushes (Documentation/block/stat.rst).
BEFORE = 15
WRITES = 20
# The same table on a loop device, which has a cache and no FUA: a write that has to be durable is followed by a flush
# (block/blk-flush.c, blk_flush_policy), and that is counted.
ON_LOOP = r"""
truncate -s 64M /tmp/disk && loop=$(losetup --find --show /tmp/disk) &&
  dmsetup table --showkeys "$1" | sed -E "s, [0-9]+:[0-9]+ , $loop ," | dmsetup reload "$1" && dmsetup resume "$1" &&
  echo $loop
"""
# Vectors count sectors of 4096 bytes, from a large number on.
LARGE = r"""
dmsetup table --showkeys "$1" |
  sed -E "s/ 0 (\S+ \S+) 1 sector_size:4096$/ $2 \1 2 sector_size:4096 iv_large_sectors/" | dmsetup reload "$1" &&
  dmsetup resume "$1" && dmsetup table "$1" | grep -q " $2 .* iv_large_sectors"
"""
KEY = "0123456789abcdef" * 4

plain = pytest.mark.namespace("data", size="64M")


def name(stack):
    return Path(stack.device).name


@plain
@pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.stack(f"data / {text}"), id=text)
    for text in ("linear:offset=8", "crypt", "crypt:cryptd", "crypt:no_read_workqueue,no_write_workqueue")])
def test_a_durable_write_stays_one(target, stack):
    """With O_DSYNC a write is durable by itself (REQ_FUA), and a flush follows (linux/fs.h, generic_write_sync)."""
    loop = Path(target.run(["bash", "-c", ON_LOOP, "bash", name(stack)]).stdout.strip()).name

    def flushes():
        return int(target.run(["cat", f"/sys/block/{loop}/stat"]).stdout.split()[BEFORE])

    before = flushes()
    target.run(["dd", "if=/dev/zero", f"of={stack.device}", "bs=4K", f"count={WRITES}", "oflag=direct,dsync",
                "conv=notrunc", "status=none"])
    flushed = flushes() - before
    assert flushed >= 2 * WRITES, f"{flushed} flushes for {WRITES} durable writes that are flushed, too"


@plain
@pytest.mark.stack("data / luks2")
def test_a_wiped_key_is_gone_and_comes_back(target, stack, fio):
    """What luksSuspend does: the volume key is forgotten, and nothing goes on without it."""
    fio(stack, duration=0)
    target.run(["cryptsetup", "luksSuspend", name(stack)])
    key = target.run(["dmsetup", "table", "--showkeys", name(stack)]).stdout.split()[4]
    assert set(key) == {"0"}, "the device still refers to a key that was wiped"
    assert target.run(["dmsetup", "resume", name(stack)], check=False).status, "the device goes on without a key"
    secret = next(step.input for step in stack.plan.open if step.input)
    target.run(["cryptsetup", "luksResume", "--key-file", "-", name(stack)], input=secret)
    fio(stack, verify_only=True)


@plain
@pytest.mark.stack("data / linear:size=65536")
def test_two_targets_are_one_device(target, stack, fio):
    """The second target's sectors are counted from its own beginning, for vectors, data and discards alike."""
    whole = SimpleNamespace(device="/dev/mapper/whole", mountpoint="", zone_bytes=0)

    def table(*starts):
        size = 65536 // len(starts)
        return "".join(f"{at} {size} crypt aes-xts-plain64 {KEY} {at} {stack.device} {at} 1 allow_discards\n"
                       for at in starts).encode()

    def first_half():
        return target.run(f"dd if={whole.device} bs=1M count=16 iflag=direct status=none | sha256sum").stdout

    target.run(["dmsetup", "create", "whole"], input=table(0))
    fio(whole, duration=0, size="32M", bs="64K")
    target.run("dmsetup reload whole && dmsetup resume whole", input=table(0, 32768))
    fio(whole, verify_only=True, size="32M", bs="64K")
    before = first_half()
    target.run(["blkdiscard", "--offset", str(16 << 20), "--length", str(8 << 20), whole.device])
    assert first_half() == before, "a discard in the second half changed the first"
    target.run(["dmsetup", "remove", "whole"])


@plain
@pytest.mark.stack("data / crypt:sector_size=4096")
@pytest.mark.parametrize("offset", [8, (1 << 36) + 8])
def test_others_can_decipher_large_sectors(target, stack, fio, offset):
    target.run(["bash", "-c", LARGE, "bash", name(stack), str(offset)])
    fio(stack, duration=0, size=8 << 20)
    for at in (0, 3 << 12):
        read = f"dd if={stack.device} iflag=direct bs=4K skip={at >> 12} count=16 status=none | sha256sum"
        same = target.run(read).stdout.split()[0] == sha256(stack.deciphered(at, 1 << 16)).hexdigest()
        assert same, f"nobody else can decipher what dm-crypt stored for byte {at}"


@plain
@pytest.mark.stack("data / crypt:sector_size=4096")
def test_a_buffer_that_is_not_aligned_is_refused(target, stack):
    """dm-crypt says what it takes (crypt_io_hints), so that a program hears EINVAL instead of an error of the disk."""
    least = int(target.run(["cat", f"/sys/block/{stack.devices[-1].kernel}/queue/dma_alignment"]).stdout)
    assert least >= 4095, f"buffers are said to need an alignment of {least + 1} bytes, and sectors have 4096"
