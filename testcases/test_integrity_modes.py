"""What single modes of dm-integrity do: a journal with several versions, regions that are computed again.

The journal, the bitmap and direct writes are explained in Documentation/admin-guide/device-mapper/dm-integrity.rst.
"""

from pathlib import Path

import pytest

# A place within what fio writes, in blocks of 4096 bytes; neither a beginning nor an end of anything.
WORK = {"size": "1M", "bs": "4K"}
BLOCK = 105
# The fifth word is the number of sectors, the sixth how far they are computed, `-` when there is nothing to compute.
RECALCULATED = """
for ((tries = 100; tries; tries--)); do
  set -- $(dmsetup status "$0")
  [ "$6" = "$5" ] || [ "$6" = - ] && exit
  sleep 0.2
done
exit 1
"""


@pytest.mark.namespace("data", size="64M")
@pytest.mark.stack("data / integrity")
def test_the_journal_hands_out_the_newest(target, stack):
    """A read of many blocks, of which one was written again: the journal has that twice, and its neighbours once."""
    stack.reopen()  # the journal is empty then

    def write(letter, kib, at):
        target.run(f"head -c {kib}K /dev/zero | tr '\\0' {letter} | dd of={stack.device} bs={kib}K seek={at} "
                   "iflag=fullblock oflag=direct conv=notrunc status=none")

    write("A", 64, 0)
    write("B", 4, 3)
    found = target.run(["dd", f"if={stack.device}", "bs=64K", "count=1", "iflag=direct", "status=none"]).stdout
    assert found == "A" * 12288 + "B" * 4096 + "A" * 49152


@pytest.fixture
def computed_again(target, stack, power_cut):
    """`computed_again()`: the power goes while a region is marked as written to; its tags are computed anew then."""
    def computing():
        target.run(["dd", f"if={stack.device}", f"of={stack.device}", "bs=4K", f"skip={BLOCK}", f"seek={BLOCK}",
                    "count=1", "iflag=direct", "oflag=direct", "conv=notrunc", "status=none"])
        power_cut()
        target.run(["bash", "-c", RECALCULATED, Path(stack.device).name])

    return computing


@pytest.mark.namespace("data", size="64M")
@pytest.mark.stack("data / integrity:mode=bitmap")
def test_what_is_computed_again_is_verified_again(stack, fio, disk, computed_again, expect):
    """Until the tags are computed, nothing of their region is verified; the bitmap must not say so for ever."""
    fio(stack, duration=0, **WORK)
    computed_again()
    fio(stack, verify_only=True, **WORK)
    # By the disk: to change an open stack suspends it, and what is still to be computed is forgotten then.
    disk.flip("data", sector=stack.sector_of(BLOCK * 4096).sector, byte=100)
    with expect("dm-integrity"):
        fio(stack, verify_only=True, **WORK)


@pytest.mark.machine(cpus=2)
@pytest.mark.namespace("data", size="64M", block=4096)
@pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.stack(f"data / integrity:mode={mode}"), id=mode) for mode in ("direct", "bitmap")])
def test_readers_wait_for_a_writer(stack, fio):
    """Reads of a block wait until it is written, in work queues of dm-integrity's that the write goes through, too."""
    fio(stack, rw="randrw", reads=75, verify="none", size=4096, iodepth=128, batch=64)
