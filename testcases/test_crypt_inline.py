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


# $1: the device; $2: what each of three zones has, and $3: what it gets, in 64 KiB.
BEGUN = r"""
set -e -o pipefail
for zone in 0 1 3; do
  [ -e /tmp/$zone ] || head -c 1M /dev/urandom >/tmp/$zone
  at=$((zone * 256))
  dd if="$1" bs=64K skip=$at count=$2 iflag=direct status=none | cmp -n $(($2 << 16)) - /tmp/$zone
  dd if=/tmp/$zone of="$1" bs=64K skip=$2 seek=$((at + $2)) count=$3 oflag=direct conv=notrunc status=none
done
"""


@pytest.mark.namespace("zoned", block=4096, zone="16M")
@pytest.mark.stack("zoned / crypt:sector_size=4096")
def test_zones_that_were_begun_are_gone_on_with(target, stack):
    """Where their write pointers are is asked of the disk (block/blk-zoned.c, blk_revalidate_seq_zone)."""
    for before, more in ((0, 4), (4, 4), (8, 4), (12, 0)):
        target.run(["bash", "-c", BEGUN, "bash", stack.device, str(before), str(more)])
        stack.reopen()


KEY = "0123456789abcdef" * 4
# $1: the disk; $2: what the first four of its zones become, of which one is begun and one full. The fifth is another's.
RESET = r"""
set -e -o pipefail
dmsetup create part --table "0 131072 $2"
dd if=/dev/urandom of="$1" bs=64K seek=1024 count=4 iflag=fullblock oflag=direct status=none
before=$(dd if="$1" bs=64K skip=1024 count=4 iflag=direct status=none | sha256sum)
for round in 1 2; do  # what is not reset, cannot be written from its beginning again
  for zone in 0 1; do
    dd if=/dev/zero of=/dev/mapper/part bs=64K seek=$((zone * 256)) count=4 oflag=direct status=none
  done
  blkzone finish --offset 32768 --length 32768 /dev/mapper/part
  blkzone reset /dev/mapper/part
done
after=$(dd if="$1" bs=64K skip=1024 count=4 iflag=direct status=none | sha256sum)
[ "$before" = "$after" ] || { echo "a zone of another was reset"; exit 1; }
dmsetup remove part
"""


@pytest.mark.namespace("zoned", block=4096, zone="16M", size="128M")
@pytest.mark.parametrize("table", [
    pytest.param("linear {disk} 0", id="linear"),
    pytest.param(f"crypt aes-xts-plain64 {KEY} 0 {{disk}} 0 1 sector_size:4096", id="crypt")])
def test_zones_of_others_are_not_reset(target, table):
    """One command resets all zones of a disk, and those of a part of it need one each (drivers/md/dm-zone.c)."""
    disk = target.block_device("zoned")
    target.run(["bash", "-c", RESET, "bash", disk, table.format(disk=disk)])


# $1: the device, which is never closed: that would forget all that is known of its content.
REMEMBERED = r"""
set -e -o pipefail
exec {open}<"$1"
head -c 256K /dev/urandom >/tmp/before
dd if=/tmp/before of="$1" bs=64K oflag=direct conv=notrunc status=none
dd if="$1" bs=64K count=4 status=none | cmp - /tmp/before
blkzone reset --offset 0 --length 32768 "$1"
cmp <(dd if="$1" bs=64K count=4 status=none) <(dd if="$1" bs=64K count=4 iflag=direct status=none)
"""


@pytest.mark.namespace("zoned", block=4096, zone="16M")
@pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.stack(f"zoned / {text}"), id=text.partition(":")[0])
    for text in ("linear:offset=32768", "crypt:sector_size=4096")])
def test_what_a_zone_held_is_forgotten_with_it(target, stack):
    """Whoever reads it afterwards gets nothing from the page cache (block/blk-zoned.c, blkdev_truncate_zone_range)."""
    target.run(["bash", "-c", REMEMBERED, "bash", stack.device])
