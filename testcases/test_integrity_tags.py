"""The tags of dm-integrity: others compute the same, a crash has them computed anew, what is discarded needs none."""

from pathlib import Path

import pytest

# A place within what fio writes, in blocks of 4096 bytes; neither a beginning nor an end of anything.
WORK = {"size": "1M", "bs": "4K"}
BLOCK = 105
# Blocks of many sectors, whose tags lie one after the other.
LARGE = {"jobs": 4, "size": "4M", "bs": "64K"}
# The fifth word is the number of sectors, the sixth how far they are computed, `-` when there is nothing to compute.
RECALCULATED = """
for ((tries = 100; tries; tries--)); do
  set -- $(dmsetup status "$0")
  [ "$6" = "$5" ] || [ "$6" = - ] && exit
  sleep 0.2
done
exit 1
"""


def on(name, layer, **namespace):
    marks = pytest.mark.stack(f"data / {layer}"), pytest.mark.namespace("data", size="64M", **namespace)
    return pytest.param(marks=marks, id=name)


@pytest.mark.parametrize((), [
    on("journal", "integrity"), on("bitmap-sha256", "integrity:mode=bitmap,hash=sha256,sector_size=4096"),
    on("direct-hmac", "integrity:mode=direct,hash=hmac-sha256"),
    on("inline", "integrity:mode=inline,hash=hmac-sha256", block=4096, ms=64)])
@pytest.mark.duration(4)
def test_others_compute_the_same_tags(stack, fio):
    """A kernel that hashes less than those before it agrees with itself, and with none of them."""
    fio(stack, rw="randwrite", **LARGE)
    for offset in (0, BLOCK * 4096, (16 << 20) - 4096):  # of what all four jobs wrote
        stored, computed = stack.tags(offset, 4096)
        assert stored
        assert stored == computed, f"nobody else computes these tags of the block at byte {offset}"


@pytest.fixture
def computed_again(target, stack, power_cut):
    """`computed_again()`: the power goes while a region is marked as written to; its tags are computed anew then."""
    def computing():
        target.run(["dd", f"if={stack.device}", f"of={stack.device}", "bs=4K", f"skip={BLOCK}", f"seek={BLOCK}",
                    "count=1", "iflag=direct", "oflag=direct", "conv=notrunc", "status=none"])
        power_cut()
        target.run(["bash", "-c", RECALCULATED, Path(stack.device).name])
        said = target.run(["dmsetup", "status", Path(stack.device).name]).stdout.split()
        assert said[5] == said[4], "nothing was marked to be computed anew"

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


# $1: the device. Not synced: the tags of all this are in memory when the power goes, and the data on the disk.
TORN = """
head -c 4M /dev/urandom >/tmp/torn
dd if=/tmp/torn of="$1" bs=64K iflag=fullblock oflag=direct conv=notrunc status=none
"""


@pytest.mark.namespace("data", size="96M")
@pytest.mark.stack("data / integrity:mode=bitmap")
def test_what_lost_its_tags_can_be_read_after_every_crash(target, stack, computed_again):
    """The bitmap tells which are computed anew, from the first sector on (dm-integrity.c, dm_integrity_resume)."""
    for _ in range(2):
        target.run(["bash", "-c", TORN, "bash", stack.device])
        computed_again()
        stack.reopen()  # until then, nothing of it is verified
        target.run(["dd", f"if={stack.device}", "of=/dev/null", "bs=64K", "count=64", "iflag=direct", "status=none"])


# $1: name of the device; then options in place of those about computing tags anew.
EXCHANGE = r"""
exchange() {
  dmsetup table "$1" | awk -v more="${*:2}" '{
    count = split(more, _, " "); options = ""
    for (word = 9; word <= NF; word++) if ($word !~ /^(reset_)?recalculate$/) { count++; options = options " " $word }
    print $1, $2, $3, $4, $5, $6, $7, count options, more
  }' | dmsetup reload "$1" && dmsetup resume "$1"
}
"""
# Tags are computed from the beginning on, and again and again.
RECALCULATE = EXCHANGE + """
exec {never}<> <(:)
while :; do
  exchange "$1" recalculate reset_recalculate || exit 1
  read -t 0.3 -u $never
done
"""


@pytest.mark.parametrize((), [
    on("journal", "integrity"), on("direct", "integrity:mode=direct", block=4096),
    on("inline", "integrity:mode=inline", block=4096, ms=64)])
def test_tags_are_computed_while_it_is_written_to(target, stack, fio, background, expect):
    """Nobody wrote most of it before; what is written meanwhile keeps its own tags."""
    name = Path(stack.device).name
    with background(RECALCULATE, name):
        fio(stack, rw="randwrite", **LARGE)
    target.run(["bash", "-c", EXCHANGE + 'exchange "$1"', "bash", name])
    target.run(["bash", "-c", RECALCULATED, name])
    fio(stack, verify_only=True, **LARGE)
    target.run(["dd", f"if={stack.device}", "of=/dev/null", "bs=1M", "iflag=direct", "status=none"])
    stack.corrupt(BLOCK * 4096)
    with expect("dm-integrity"):
        target.run(["dd", f"if={stack.device}", "of=/dev/null", "bs=4K", f"skip={BLOCK}", "count=1", "iflag=direct"],
                   check=False)


# $1: name of the device; then the first byte and the bytes that are discarded.
DISCARD = EXCHANGE + r"""
set -e -o pipefail
exchange "$1" allow_discards
blkdiscard --offset "$2" --length "$3" "/dev/mapper/$1"
"""
FILLER = 0xF6
READ_MIB = "set -o pipefail; dd if=$1 bs=1M skip=$2 count=1 iflag=direct status=none | sha256sum"


@pytest.mark.parametrize((), [
    on("journal", "integrity"), on("bitmap", "integrity:mode=bitmap"),
    on("direct", "integrity:mode=direct", block=4096)])
def test_what_was_discarded_needs_no_tag(target, stack, fio, expect):
    """Any content goes with the tags of nothing, and with no other (dm-integrity.c, DISCARD_FILLER).

    Of four MiB two are discarded, whose tags are more than are written at once.
    """
    def read(mib):
        return target.run(["bash", "-c", READ_MIB, "bash", stack.device, str(mib)]).stdout

    fio(stack, duration=0, **LARGE)
    before = [read(0), read(3)]
    target.run(["bash", "-c", DISCARD, "bash", Path(stack.device).name, str(1 << 20), str(2 << 20)])
    for mib in (1, 2):
        read(mib)
    assert [read(0), read(3)] == before, "what lies beside was discarded"
    tags, _ = stack.tags(1 << 20, 4096)
    assert set(tags) == {FILLER}, "what was discarded has other tags"
    stack.corrupt(1 << 20)
    read(1)
    inside = 2 * 256 - 5
    target.run(["dd", "if=/dev/urandom", f"of={stack.device}", "bs=4K", f"seek={inside}", "count=1", "oflag=direct",
                "conv=notrunc", "status=none"])
    read(1)
    stack.corrupt(inside * 4096)
    with expect("dm-integrity"):
        target.run(["dd", f"if={stack.device}", "of=/dev/null", "bs=4K", f"skip={inside}", "count=1", "iflag=direct"],
                   check=False)


# $1: the disk, of which nothing but the beginning is empty. A bit of the bitmap stands for 32 MiB, which are computed
# in two steps (dm-integrity.c, RECALC_SECTORS). $2: the size of a tag, $3: the hash, of which that much is kept.
WIDE = r"""
set -e
dd if=/dev/zero of="$1" bs=1M count=4 oflag=direct status=none
dd if=/dev/urandom of="$1" bs=1M seek=4 count=44 iflag=fullblock oflag=direct status=none
dmsetup create wide --table "0 81920 integrity $1 0 $2 B 3 internal_hash:$3 sectors_per_bit:65536 recalculate"
"""


@pytest.mark.namespace("data", size="64M")
@pytest.mark.parametrize(("size", "hashed"), [("-", "crc32c"), ("20", "sha256")], ids=["whole", "cut"])
def test_wide_regions_are_computed_whole(target, size, hashed):
    """Not before its last step is the bit of a region cleared (integrity_recalc).

    A hash is computed whole, behind the tags before it, although less of it is kept: flavor `kasan` sees where.
    """
    target.run(["bash", "-c", WIDE, "bash", target.block_device("data"), size, hashed])
    target.run(["bash", "-c", RECALCULATED, "wide"])
    target.run("dd if=/dev/mapper/wide of=/dev/null bs=1M iflag=direct status=none && dmsetup remove wide")


# $1: the disk. What dm-integrity grows by holds anything, tags included, and was never written to through it.
SMALL_DISK = r"""
set -e
half=$(($(blockdev --getsz "$1") / 2))
mib=$((half / 2048))
dd if=/dev/urandom of="$1" bs=1M seek=$mib count=$mib iflag=fullblock oflag=direct status=none
dmsetup create beneath --table "0 $half linear $1 0"
integritysetup format --batch-mode /dev/mapper/beneath
integritysetup open --integrity-bitmap-mode /dev/mapper/beneath grown
dd if=/dev/urandom of=/dev/mapper/grown bs=64K count=16 iflag=fullblock oflag=direct conv=notrunc status=none
"""
# It is opened as large as it was. How large it could be, its status tells, and a new table has it as large.
LARGE_DISK = r"""
set -e
dmsetup create beneath --table "0 $(blockdev --getsz "$1") linear $1 0"
integritysetup open --integrity-bitmap-mode /dev/mapper/beneath grown
"""
GROW = r"""
set -e
size=$(dmsetup status grown | cut -d' ' -f5)
[ $size -gt $(blockdev --getsz /dev/mapper/grown) ]
dmsetup table grown | sed "s/^0 [0-9]* /0 $size /" | dmsetup reload grown
dmsetup resume grown
dd if=/dev/mapper/grown of=/dev/null bs=64K iflag=direct status=none
integritysetup close grown
dmsetup remove beneath
"""


@pytest.mark.namespace("data", size="32M")
def test_what_a_disk_grew_by_after_a_crash_can_be_read(target, power_cut):
    """A bitmap that was in use has it marked, so that its tags are computed (dm_integrity_resume)."""
    disk = target.block_device("data")
    target.run(["bash", "-c", SMALL_DISK, "bash", disk])
    power_cut()
    target.run(["bash", "-c", LARGE_DISK, "bash", disk])
    target.run(["bash", "-c", RECALCULATED, "grown"])
    target.run(["bash", "-c", GROW])
