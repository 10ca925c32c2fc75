"""NVMe metadata that changes: a namespace that is formatted anew, and metadata that a program passes through."""

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
