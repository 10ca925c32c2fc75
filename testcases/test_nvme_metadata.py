"""NVMe metadata at its edges: formatted anew, passed through by a program, spare, and left to the controller."""

import pytest

FORMAT = "cat {sysfs}/integrity/format 2>/dev/null || echo none"
PINS = "cat /proc/sys/vm/stat_refresh; cat /proc/vmstat"
# 128 blocks at once, with 8 KiB of metadata: more pages than the controller takes, so that the kernel copies them.
WRITE = """
head -c 64K /dev/urandom >/tmp/data && head -c 8K /dev/urandom >/tmp/metadata && for number in $(seq $2); do
  nvme write "$1" --start-block=0 --block-count=127 --data-size=65536 --metadata-size=8192 --data=/tmp/data \
    --metadata=/tmp/metadata || exit 1
done
"""
WRITES = 100
# What fio writes, and a place within that, neither a beginning nor an end of anything.
WORK = {"size": "1M", "bs": "4K"}
AT = 0x6_9000


@pytest.mark.namespace("data", size="64M", block=512, pi=1, ms=8)
@pytest.mark.stack("data")
def test_format_takes_protection_away(target, stack, fio):
    """What was known of a namespace's protection is of no use after a format without."""
    fio(stack, duration=0)
    # QEMU's first format has no metadata (hw/nvme/ns.c, nvme_ns_init).
    target.run(["nvme", "format", stack.base.path, "--lbaf=0", "--pi=0", "--force"])
    known = target.run(FORMAT.format(sysfs=stack.base.sysfs)).stdout.strip()
    assert known == "none", f"the namespace has no metadata any more, and the kernel goes on with {known}"
    fio(stack, duration=0)


@pytest.mark.namespace("data", size="64M", block=512, ms=64)
@pytest.mark.stack("data")
def test_a_program_gets_its_pages_back(target, stack):
    """Pages of a program that are written as metadata are pinned, until the command has ended."""
    def pinned():
        counts = dict(line.split() for line in target.run(PINS).stdout.splitlines())
        return int(counts["nr_foll_pin_acquired"]) - int(counts["nr_foll_pin_released"])

    before = pinned()
    target.run(["sh", "-c", WRITE, "sh", stack.base.path, str(WRITES)])
    left = pinned() - before
    assert left < WRITES, f"{left} pages are still pinned after {WRITES} commands"


@pytest.mark.machine(append=("slub_debug=P,kmalloc-1k",))
@pytest.mark.namespace("tags", size="64M", block=4096, ms=64)
@pytest.mark.namespace("protected", size="64M", block=4096, ms=64, pi=1)
@pytest.mark.stack("tags")
@pytest.mark.stack("protected")
def test_no_memory_of_the_kernel_is_written_as_metadata(stacks, fio, disk):
    """What no protection information fills is zero (block/bio-integrity.c, bio_integrity_prep).

    The metadata of 16 blocks come from kmalloc-1k, in which nothing is zero by itself here.
    """
    for serial, spare in {"tags": 64, "protected": 56}.items():
        fio(stacks[serial], duration=0, size="1M", bs="64K")
        written = {disk.read(serial, block, "metadata")[:spare] for block in range(256)}
        assert written == {bytes(spare)}, f"spare metadata on the disk {serial}: {max(written).hex()}"


@pytest.mark.stack("data")
@pytest.mark.parametrize("rows", [
    pytest.param([("data", "pi-guard", 1), ("ref", "pi-ref", 3)], id="type1",
                 marks=pytest.mark.namespace("data", size="64M", block=512, pi=1, ms=8)),
    pytest.param([("data", "pi-guard", 1), ("guard", "pi-guard", 1)], id="type3",
                 marks=pytest.mark.namespace("data", size="64M", block=4096, pi=3, ms=8)),
])
def test_the_controller_makes_and_checks(target, stack, fio, expect, rows):
    """Where the block layer is told not to, the controller does (drivers/nvme/host/core.c, nvme_setup_rw: PRACT)."""
    settings = f"{stack.base.sysfs}/integrity"
    target.run(f"echo 0 >{settings}/write_generate && echo 0 >{settings}/read_verify")
    fio(stack, duration=0, **WORK)
    for area, reporter, byte in rows:
        print(f"{area}: {reporter}")  # shown when the row fails
        stack.corrupt(AT, area, byte=byte)
        with expect(reporter):
            fio(stack, verify_only=True, **WORK)
        stack.restore()
    target.run(f"echo 1 >{settings}/read_verify")
    fio(stack, verify_only=True, **WORK)


# $1: the disk; sectors of 512 bytes before, behind and beyond the one with number 2^32, of which 64 fit into 32 KiB. A
# request that crosses into it fails for QEMU's sake, which goes on counting in 64 bits (hw/nvme/dif.c, nvme_dif_check).
BEYOND = """
set -e
head -c 32K /dev/urandom >/tmp/data
for block in $(((1 << 32) - 64)) $((1 << 32)) $(((1 << 32) + 1000)); do
  dd if=/tmp/data of="$1" bs=32K seek=$((block * 512))B iflag=fullblock oflag=direct conv=notrunc status=none
  dd if="$1" bs=32K skip=$((block * 512))B count=1 iflag=direct status=none | cmp - /tmp/data
done
"""


@pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.namespace("data", size="2049G", block=size, pi=1, ms=8), id=str(size))
    for size in (512, 4096)])
@pytest.mark.stack("data")
def test_reference_tags_begin_anew_after_two_terabytes(target, stack):
    """They have 32 bits, and numbers of sectors more (block/t10-pi.c, t10_pi_verify).

    With blocks of 512 bytes the tag is the number that the bio counts from, with larger ones it is made of it.
    """
    target.run(["bash", "-c", BEYOND, "bash", stack.device])


# $1: the disk, on which nobody wrote; $2: where somebody does, in blocks of 4 KiB, in the middle of what is read; $3:
# the size of a block. QEMU asks the host's file system where nothing is, and that may know it less finely.
UNWRITTEN = """
set -e -o pipefail
tags() {
  nvme read "$1" --start-block=$(($2 * 4096 / $3)) --block-count=0 --data-size=$3 --metadata-size=8 \\
    --data=/tmp/data --metadata=/tmp/metadata >&2
  xxd -p -s 2 -l 2 /tmp/metadata
}
head -c 64K /dev/zero >/tmp/expected
dd if=/dev/urandom of=/tmp/expected bs=4K seek=$2 count=2 conv=notrunc status=none
dd if=/tmp/expected of="$1" bs=4K skip=$2 seek=$2 count=2 oflag=direct conv=notrunc status=none
for block in $(($2 - 1)) $(($2 + 2)); do [ "$(tags "$1" $block $3)" = ffff ] || exit 77; done
dd if="$1" bs=64K count=1 iflag=direct status=none | cmp - /tmp/expected
"""


@pytest.mark.parametrize("size", [
    pytest.param(size, marks=pytest.mark.namespace("data", size="64M", block=size, pi=1, ms=8))
    for size in (512, 4096)])
@pytest.mark.stack("data")
def test_what_was_never_written_is_not_checked(target, stack, size):
    """Its tag says so, which makes none of what is read with it another block's (block/t10-pi.c, t10_pi_verify)."""
    done = target.run(["bash", "-c", UNWRITTEN, "bash", stack.device, "5", str(size)], check=False)
    if done.status == 77:
        pytest.skip("the disk does not tell what was never written: the host's file system has larger holes than 4 KiB")
    assert done.status == 0, done.stdout + done.stderr
