"""What device mapper owes all others: accounts, limits of swap, rescuers, the halves of a mirror, whole requests."""

import re

import pytest

plain = pytest.mark.namespace("data", size="64M")

# Numbers of a disk's `stat` file before those of the sectors that were read and written (Documentation/block/stat.rst).
READ, WRITTEN = 2, 6
# One and a half times what dm-crypt takes at once, so that its parts differ (get_max_request_sectors).
BLOCK, BLOCKS = 192 << 10, 40
COPY = f"dd bs={BLOCK} count={BLOCKS} conv=notrunc status=none"
IN_GROUP = f"""
group=/sys/fs/cgroup/writer
echo +io >/sys/fs/cgroup/cgroup.subtree_control && mkdir -p $group && echo $$ >$group/cgroup.procs &&
  {COPY} if=/dev/zero of="$1" oflag=direct && {COPY} if="$1" of=/dev/null iflag=direct
"""


@plain
@pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.stack(f"data / {text}"), id=text)
    for text in ("linear:offset=8", "crypt", "crypt:cryptd", "crypt:no_read_workqueue,no_write_workqueue")])
def test_what_is_read_and_written_is_accounted(target, stack):
    """Once at the device, whatever its parts (dm_accept_partial_bio), and to the cgroup that asked for it at the disk.

    dm-crypt allocates the bios of writes in threads of its own; dm_submit_bio_remap() says whose they are.
    """
    def sectors():
        numbers = target.run(["cat", f"/sys/block/{stack.devices[-1].kernel}/stat"]).stdout.split()
        return int(numbers[READ]), int(numbers[WRITTEN])

    before = sectors()
    target.run(["bash", "-c", IN_GROUP, "bash", stack.device])
    counted = tuple(after - then for after, then in zip(sectors(), before, strict=True))
    size = BLOCK * BLOCKS
    assert counted == (size // 512, size // 512), f"{counted} sectors are said to have been read and written"

    disk = target.run(["cat", f"{stack.base.sysfs}/dev"]).stdout.strip()
    said = target.run(["cat", "/sys/fs/cgroup/writer/io.stat"]).stdout
    found = re.search(rf"(?:^|\s){disk} rbytes=(\d+) wbytes=(\d+)", said)
    charged = tuple(map(int, found.groups())) if found else (0, 0)
    assert charged == (size, size), f"of {size} bytes the group is said to have read and written {charged} at the disk"


# Stack -> the work queues that I/O goes through there and that have a thread for when no other can be made.
QUEUES = {
    "data / crypt / xfs": (
        "kcryptd", "kcryptd_io", "kdmflush", "xfs-buf", "xfs-conv", "xfs-log", "xfs-reclaim", "kblockd", "writeback"),
    "data / integrity": (
        "kdmflush", "dm-integrity-metadata", "dm-integrity-wait", "dm-integrity-offload", "dm-integrity-commit",
        "dm-integrity-writer"),
}
# A kernel before 6.9 calls them by the name of the queue alone, and shows 15 letters of it.
COMM = 15


@pytest.mark.namespace("data", size="384M")
@pytest.mark.parametrize("queues", [
    pytest.param(queues, marks=pytest.mark.stack(written), id=written.replace(" ", ""))
    for written, queues in QUEUES.items()])
@pytest.mark.usefixtures("stack")
def test_work_for_reclaim_has_a_rescuer(target, queues):
    """Memory is freed by writing, which must not wait for memory for a worker (WQ_MEM_RECLAIM, init_rescuer)."""
    # Tasks that end meanwhile make cat fail.
    running = target.run("cat /proc/[0-9]*/comm 2>/dev/null", check=False).stdout.splitlines()
    threads = [comm.removeprefix("kworker/R-") for comm in running]

    def rescued(queue):
        return any(re.match(rf"{queue}([-/]|$)", comm) or comm == queue[:COMM] for comm in threads)

    missing = [queue for queue in queues if not rescued(queue)]
    assert not missing, f"there is no rescuer for {', '.join(missing)}"


# Bios of swap that device mapper lets be in flight on one device.
MOST = 8
BENEATH = "farm-data-1-linear"
# $1: a device; $2: by how many milliseconds its writes are late.
SLOW = r"""
dmsetup table $1 | sed -E "s/ linear (\S+) (\S+)$/ delay \1 \2 0 \1 \2 $2/" | dmsetup reload $1 && dmsetup resume $1 &&
  dmsetup table $1 | grep -q ' delay '
"""
# 4 MiB that are not zero, of which half has to leave: prints how many writes were in flight at most.
SWAP_OUT = """
group=/sys/fs/cgroup/swapped
echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir -p $group &&
  (echo $BASHPID >$group/cgroup.procs && exec head -c 4M /dev/urandom >/tmp/swapped) || exit 1
exec {never}<> <(:)
most=0
echo 2M >$group/memory.reclaim 2>/dev/null &
while kill -0 $! 2>/dev/null; do
  read -r reads writes </sys/block/$1/inflight
  [ $writes -le $most ] || most=$writes
  read -t 0.005 -u $never
done
rm /tmp/swapped
echo $most
"""


@pytest.mark.machine(append=(f"dm_mod.swap_bios={MOST}",))
@plain
@pytest.mark.stack("data / linear / crypt / swap")
def test_little_swap_is_in_flight(target, stack):
    """Each page that dm-crypt writes takes another one for its ciphertext, so there is a limit (__map_bio)."""
    target.run(["bash", "-c", SLOW, "bash", BENEATH, "50"])
    crypt = next(device.kernel for device in stack.devices if device.kind == "crypt")
    most = int(target.run(["bash", "-c", SWAP_OUT, "bash", crypt]).stdout)
    assert most, "nothing was swapped out"
    # A bio counts a moment longer than its place is taken (clone_endio).
    assert most <= 2 * MOST, f"{most} bios of swap were in flight, and {MOST} may be"


@pytest.mark.machine(memory="512M")
@pytest.mark.namespace("data", size="128M")
@pytest.mark.stack("data / linear / crypt")
def test_pages_of_writes_are_given_back(target, stack):
    """Also those of one that has to begin again (crypt_alloc_buffer): dm-crypt misses none when it goes (crypt_dtr).

    More is under way than it may have pages for (DM_CRYPT_MEMORY_PERCENT, 16 MiB at least): the rest comes from its
    reserve, which a write of 17 pages finds empty when it has some of them.
    """
    target.run(["bash", "-c", SLOW, "bash", BENEATH, "1000"])
    target.run(["fio", "--name=much", f"--filename={stack.device}", "--rw=write", "--bs=68K", "--size=64M",
                "--iodepth=512", "--ioengine=libaio", "--direct=1"])
    stack.close()


HALF = 65536
MIRROR = f"""
for leg in 0 1; do
  dmsetup create leg$leg --table "0 {HALF} linear $1 $((leg * {HALF}))" || exit 1
done
dmsetup create both --table \
  "0 {HALF} mirror core 2 1024 nosync 2 /dev/mapper/leg0 0 /dev/mapper/leg1 0 1 handle_errors"
"""
LOSE = f'dmsetup reload leg0 --table "0 {HALF} error" && dmsetup resume leg0'
READ_ALL = "dd if=/dev/mapper/both bs=64K count=32 iflag=direct status=none | sha256sum"


@plain
def test_a_mirror_reads_from_its_other_half(target):
    """A read that fails is tried on the other leg, and no error is left of the first (mirror_end_io, read_callback)."""
    target.run(["bash", "-c", MIRROR, "bash", target.block_device("data")])
    target.run("dd if=/dev/urandom of=/dev/mapper/both bs=64K count=32 iflag=fullblock oflag=direct status=none")
    before = target.run(READ_ALL).stdout
    target.run(LOSE)
    assert target.run(READ_ALL).stdout == before, "half of the mirror is lost, and what the other has is not read"
    target.run(["dmsetup", "remove", "both", "leg0", "leg1"])


# $1: sectors of a region; $2: the disk. One half has a place that cannot be written to, in the midst of a region which
# is copied by parts (drivers/md/dm-kcopyd.c, SPLIT_COUNT). Prints the mirror's status when all regions were tried.
RESYNC = f"""
set -e
dmsetup create leg0 --table "0 {HALF} linear $2 0"
printf '%s\n' "0 8192 linear $2 {HALF}" "8192 8 error" "8200 $(({HALF} - 8200)) linear $2 $(({HALF} + 8200))" |
  dmsetup create leg1
dmsetup create both --table \
  "0 {HALF} mirror core 1 $1 2 /dev/mapper/leg0 0 /dev/mapper/leg1 0 1 handle_errors"
wanted=$(({HALF} / $1 - 1))/$(({HALF} / $1))
for ((tries = 100; tries; tries--)); do
  ! dmsetup status both | grep -q " $wanted " || break; sleep 0.1
done
dmsetup status both
"""


@plain
@pytest.mark.tolerate("io-error")
@pytest.mark.parametrize("region", [1024, 8192])
def test_half_of_a_mirror_that_cannot_be_made_is_not_in_sync(target, region):
    """An error of one part is an error of the whole copy (dm-kcopyd.c, segment_complete; recovery_complete)."""
    status = target.run(["bash", "-c", RESYNC, "bash", str(region), target.block_device("data")]).stdout.split()
    regions = HALF // region
    assert status[6] == f"{regions - 1}/{regions}", f"of {regions} regions {status[6]} are said to be the same"
    assert status[8][1] != "A", "half of the mirror could not be written to, and is said to be good"
    target.run(["dmsetup", "remove", "both", "leg0", "leg1"])


# $1: the half that takes no discards any more, after the mirror was told that both do.
DISCARDED = r"""
set -e -o pipefail
discards() { echo "/sys/block/$(dmsetup info -c --noheadings -o blkdevname $1)/queue/discard_max_bytes"; }
[ "$(cat $(discards both))" != 0 ]
echo 0 >$(discards leg$1)
dd if=/dev/urandom of=/tmp/some bs=64K count=16 iflag=fullblock status=none
for ((round = 0; round < 20; round++)); do
  blkdiscard /dev/mapper/both
  dd if=/tmp/some of=/dev/mapper/both bs=64K oflag=direct conv=notrunc status=none
  dd if=/dev/mapper/both bs=64K count=16 iflag=direct status=none | cmp - /tmp/some
done
"""


# The cache of `struct io`, whose members are looked at whenever one is made or freed.
@pytest.mark.machine(append=("slub_debug=FZP,io",))
@plain
@pytest.mark.parametrize("leg", [0, 1])
def test_half_of_a_mirror_takes_no_discards(target, leg):
    """The others are waited for, and told of once (drivers/md/dm-io.c, do_region)."""
    target.run(["bash", "-c", MIRROR, "bash", target.block_device("data")])
    target.run(["bash", "-c", DISCARDED, "bash", str(leg)])
    target.run(["dmsetup", "remove", "both", "leg0", "leg1"])


# $1: the disk. A request for all of it goes to one place, then to two, then to other two.
STRIPES = r"""
set -e
sectors=65544
dmsetup create striped --table "0 8 linear $1 0
8 32768 striped 2 128 $1 1024 $1 20480
32776 32768 striped 2 128 $1 40960 $1 61440"
dd if=/dev/urandom of=/dev/mapper/striped bs=4K count=$((sectors / 8)) iflag=fullblock oflag=direct status=none
blkdiscard -z /dev/mapper/striped
cmp -n $((sectors * 512)) /dev/zero /dev/mapper/striped
dmsetup remove striped
"""


@plain
def test_zeroes_are_written_to_all_stripes(target):
    """Where one request becomes several of the same size, the next target's are yet to come (__send_duplicate_bios)."""
    target.run(["bash", "-c", STRIPES, "bash", target.block_device("data")])


@pytest.mark.namespace("zoned", block=4096, zone="16M")
@pytest.mark.stack("zoned / linear:offset=32768")
def test_a_suspended_device_reports_no_zones(target, stack):
    """Whoever asks lets go of its table, or nobody could suspend or remove it any more (dm_blk_report_zones)."""
    name = stack.devices[-1].name
    report = ["blkzone", "report", stack.device]
    target.run(["dmsetup", "suspend", name])
    assert target.run(report, check=False).status, "a suspended device reports zones"
    target.run(["dmsetup", "resume", name])
    target.run(report)
    stack.close()


# Bytes between two runs of tags (drivers/md/dm-integrity.c, DEFAULT_INTERLEAVE_SECTORS): dm-integrity takes no more of
# a bio at once than up to there (max_io_len).
AREA = 32768 * 512
# One bio of dm-crypt (drivers/md/dm-crypt.c, DM_CRYPT_DEFAULT_MAX_WRITE_SIZE), half of it on either side.
ACROSS = AREA - (64 << 10)
WRITE = r"""
dd if=/dev/urandom of=/tmp/some bs=128K count=1 iflag=fullblock status=none &&
  dd if=/tmp/some of="$1" bs=128K seek=$2 oflag=direct,seek_bytes conv=notrunc status=none
"""
COMPARED = 'dd if="$1" bs=128K count=1 skip=$2 iflag=direct,skip_bytes status=none | cmp - /tmp/some'


@pytest.mark.parametrize((), [
    pytest.param(marks=[pytest.mark.namespace("data", size="64M", block=4096, **namespace), pytest.mark.stack(text)],
                 id=name)
    for name, namespace, text in (
        ("border", {}, "data / luks2:integrity=hmac-sha256"), ("limit", {"ms": 64}, "data / integrity:mode=inline"))])
def test_tags_are_split_with_their_data(target, stack):
    """A bio with tags is cut, and each part has its own tags.

    At a border of dm-integrity's (drivers/md/dm.c, alloc_tio), or where the disk takes no more at once, which is asked
    when a device is made above it, and for each request again (linux/blk-integrity.h, rq_integrity_vec).
    """
    target.run(f"echo 64 >{stack.base.sysfs}/queue/max_sectors_kb")
    target.run(["bash", "-c", WRITE, "bash", stack.device, str(ACROSS)])
    target.run(["bash", "-c", COMPARED, "bash", stack.device, str(ACROSS)])  # where there is a journal, from that
    stack.reopen()
    target.run(["bash", "-c", COMPARED, "bash", stack.device, str(ACROSS)])


# $1: the device. Prints how many huge pages dd got for its buffers, each of which is one piece of a bio: what is larger
# than 256 pages comes that way alone.
HUGE = r"""
set -e -o pipefail
pages() { sed -n 's/^thp_fault_alloc //p' /proc/vmstat; }
before=$(pages)
dd if=/dev/urandom of=/tmp/huge bs=8M count=1 iflag=fullblock status=none
dd if=/tmp/huge of="$1" bs=8M iflag=fullblock oflag=direct conv=notrunc status=none
dd if="$1" bs=8M count=1 iflag=direct,fullblock status=none | cmp - /tmp/huge
echo $(($(pages) - before))
"""


@pytest.mark.parametrize((), [
    pytest.param(marks=[pytest.mark.namespace("data", size="64M", **namespace), pytest.mark.stack(f"data / {text}")],
                 id=name)
    for name, namespace, text in (
        ("linear", {}, "linear:offset=8"), ("crypt", {}, "crypt"),
        ("inline", {}, "crypt:cryptd,no_read_workqueue,no_write_workqueue"),
        ("zoned", {"block": 4096, "zone": "16M"}, "crypt:sector_size=4096"), ("integrity", {}, "integrity"),
        ("tags", {"block": 4096}, "luks2:integrity=hmac-sha256"), ("mirror", {}, "mirror"))])
def test_as_much_as_there_is_at_once(target, stack):
    """What is larger than a target takes is split, and nothing needs more pages than a bio has (bio.c, biovec_slab)."""
    pages = int(target.run(["bash", "-c", HUGE, "bash", stack.device]).stdout)
    assert pages, "there was no huge page: no bio was large"
