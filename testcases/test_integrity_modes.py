"""What single modes of dm-integrity do: a journal with several versions, regions that are computed again.

The journal, the bitmap and direct writes are explained in Documentation/admin-guide/device-mapper/dm-integrity.rst.
"""

from pathlib import Path

import pytest

# A place within what fio writes, in blocks of 4096 bytes; neither a beginning nor an end of anything.
WORK = {"size": "1M", "bs": "4K"}
BLOCK = 105
# Blocks of many sectors, whose tags lie one after the other; then some of those sectors alone.
LARGE = {"jobs": 4, "size": "4M", "bs": "64K"}
SMALL = {"jobs": 4, "size": "4M", "bs": "4K"}
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


# $1: the device. Read at once: what is not flushed stays in the journal alone for ten seconds (DEFAULT_SYNC_MSEC).
NEWEST = r"""
set -e -o pipefail
letters() { head -c $1 /dev/zero | tr '\0' $2; }
letters 4096 B | dd of="$1" bs=4K seek=3 iflag=fullblock oflag=direct conv=notrunc status=none
dd if="$1" bs=64K count=1 iflag=direct status=none |
  cmp - <(letters 12288 A; letters 4096 B; letters 49152 A)
"""
OLDER = """head -c 64K /dev/zero | tr '\\0' A |
dd of="$1" bs=64K iflag=fullblock oflag=direct conv=notrunc status=none"""


@pytest.mark.parametrize("elsewhere", ["disk", "journal"])
@pytest.mark.parametrize((), [on("integrity", "integrity"), on("tags", "luks2:integrity=hmac-sha256")])
def test_the_journal_hands_out_the_newest(target, stack, elsewhere):
    """A read of many blocks, of which one was written again: the journal has it, and its neighbours or the disk does.

    What is read from either goes on with the other (dm-integrity.c, dm_integrity_map_continue), and so do the tags
    that somebody above asked for.
    """
    stack.reopen()  # the journal is empty then
    older = ["bash", "-c", OLDER if elsewhere == "disk" else OLDER + "\n" + NEWEST, "bash", stack.device]
    target.run(older)
    if elsewhere == "disk":
        stack.reopen()
        target.run(["bash", "-c", NEWEST, "bash", stack.device])


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


# $1: the device. Read at once after it was closed, by a table that may not replay a journal.
READ_ONLY = r"""
set -e -o pipefail
dd if=/dev/urandom of=/tmp/newest bs=64K count=1 iflag=fullblock status=none
dd if=/tmp/newest of="$1" bs=4K oflag=direct conv=notrunc status=none
table=$(dmsetup table "$1" | sed 's/ J / R /')
dmsetup remove "$1"
dmsetup create --readonly "$(basename "$1")" --table "$table"
dmsetup table "$1" | grep -q ' R '
dd if="$1" bs=64K count=1 iflag=direct status=none | cmp - /tmp/newest
"""


@pytest.mark.namespace("data", size="64M")
@pytest.mark.stack("data / integrity")
def test_a_device_that_was_closed_is_on_its_disk(target, stack, fio):
    """Whoever opens it for recovery (mode R) looks at no journal, so that there must be nothing in it any more."""
    fio(stack, duration=0, **WORK)
    stack.reopen()
    target.run(["bash", "-c", READ_ONLY, "bash", stack.device])


# $1: the disk; $2: the device's name; the only section of the journal holds whatever was written since it was opened.
SIGNED = r"""
dmsetup create "$2" --table "0 2048 integrity $1 0 - J 4 journal_sectors:1 internal_hash:crc32c fix_hmac \
journal_mac:hmac(sha256):0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
"""
# $1: the disk. While the device is open its journal is not cleared (dm_integrity_postsuspend does that).
FILL = r"""
dd if=/dev/urandom of=/dev/mapper/signed bs=4K count=1 oflag=direct conv=fsync,notrunc status=none &&
  dd if="$1" of=/tmp/signed bs=1M iflag=direct status=none
"""
# $1: name; $2: the byte to change, or "".
LOOP = r"""
cp /tmp/signed "/tmp/$1"
[ -z "$2" ] || {
  byte=$(od -An -tu1 -j "$2" -N1 "/tmp/$1")
  printf "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="/tmp/$1" bs=1 seek="$2" conv=notrunc status=none
}
losetup --find --show "/tmp/$1"
"""
# Bytes of the disk (drivers/md/dm-integrity.c): `salt` of struct superblock; `mac` of the journal's first sector.
SIGNATURES = {"superblock": 48, "journal": 8 * 512 + 496}


@pytest.mark.namespace("data", size="16M")
def test_a_journal_that_somebody_changed_is_not_replayed(target, expect):
    """The signatures of journal and superblock are compared (dm-integrity.c, rw_section_mac and sb_mac)."""
    def made(name, device):
        return not target.run(["bash", "-c", SIGNED, "bash", device, name], check=False).status

    def read(name):
        script = f"set -o pipefail; dd if=/dev/mapper/{name} bs=4K count=1 iflag=direct status=none | sha256sum"
        found = target.run(["bash", "-c", script], check=False)
        return "" if found.status else found.stdout

    def loop(name, byte=""):
        return target.run(["bash", "-c", LOOP, "bash", name, str(byte)]).stdout.strip()

    disk = target.block_device("data")
    assert made("signed", disk), "the device cannot be made"
    target.run(["bash", "-c", FILL, "bash", disk])
    assert made("untouched", loop("untouched")), "a copy of the device cannot be opened"
    assert "" != read("untouched") == read("signed"), "a good journal is not replayed"
    for name, byte in SIGNATURES.items():
        device = loop(name, byte)
        with expect("dm-integrity"):
            assert not (made(name, device) and read(name)), f"a changed {name} is taken for good"
    target.run("for name in signed untouched journal; do dmsetup remove $name || exit; done")


# $1: the disk; $2: the device's name; $3: the option that ciphers the journal, or "".
CIPHERED = r"""
set -- "$1" "$2" journal_sectors:1 internal_hash:crc32c $3
dmsetup create "$2" --table "0 2048 integrity $1 0 - J $(($# - 2)) ${*:3}"
"""
# $1: the disk, which is as new first; $2: the device's name. Prints how often the journal tells what was written.
TELLS = r"""
set -e -o pipefail
head -c 4096 < <(yes plain text) >/tmp/text
dd if=/tmp/text of=/dev/mapper/$2 bs=4K oflag=direct conv=fsync,notrunc status=none
dd if="$1" of=/tmp/copy bs=1M iflag=direct status=none
journal=$(dmsetup table $2 | grep -o ' journal_sectors:[0-9]*')
dd if=/tmp/copy of=/tmp/journal bs=512 skip=8 count=${journal#*:} status=none
grep -a -c 'plain text' /tmp/journal || [ $? = 1 ]
"""


@pytest.mark.namespace("data", size="16M")
@pytest.mark.parametrize("cipher", ["ctr(aes)", "cbc(aes)"])
def test_a_ciphered_journal(target, cipher):
    """It tells nobody what was written, and gives it back (dm-integrity.c, encrypt_journal)."""
    disk, option = target.block_device("data"), f"journal_crypt:{cipher}:{'0123456789abcdef' * 4}"

    def told(name, option):
        target.run(f"dd if=/dev/zero of={disk} bs=1M oflag=direct status=none", check=False)
        target.run(["bash", "-c", CIPHERED, "bash", disk, name, option])
        return int(target.run(["bash", "-c", TELLS, "bash", disk, name]).stdout)

    assert told("plain", ""), "what was written is not in the journal"
    target.run("dmsetup remove plain")
    assert not told("ciphered", option), "what was written can be read in the journal"
    loop = target.run("losetup --find --show /tmp/copy").stdout.strip()
    target.run(["bash", "-c", CIPHERED, "bash", loop, "copy", option])
    target.run("dd if=/dev/mapper/copy bs=4K count=1 iflag=direct status=none | cmp - /tmp/text")
    target.run("dmsetup remove copy && dmsetup remove ciphered")
