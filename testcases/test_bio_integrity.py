"""Report 002: integrity payloads of bios, made, split, merged and checked beneath stacked devices.

In Linux 4.13 the block layer called the verify function of every profile, also of one that only carries the tags of
dm-crypt and has none. Regression id: lr#35498d.
"""

from contextlib import contextmanager

import pytest

pytestmark = [
    # Caches of one size share their slabs otherwise, and payloads could not be counted.
    pytest.mark.machine(append=("slab_nomerge",)),
    pytest.mark.duration(4),
]
# Where payloads come from: a cache of their own, or kmalloc where bios have no pool of them (bio_integrity_alloc). It
# takes a smaller size for those that device mapper clones: they have no room for vectors. With each, what else is
# allocated meanwhile, for whatever purpose; one payload for each I/O would be more.
CACHES = {"bio_integrity_payload": 100, "kmalloc-96": 500, "kmalloc-128": 100, "kmalloc-192": 100}

tags = pytest.mark.namespace("data", block=4096)
type1_512 = pytest.mark.namespace("data", size="384M", block=512, pi=1, ms=8)
type1_4096 = pytest.mark.namespace("data", size="384M", block=4096, pi=1, ms=8)
SIZES = pytest.mark.parametrize("sizes", [
    pytest.param({"bs": "4K", "iodepth": 32, "batch": 16}, id="merged"),
    pytest.param({"bs": "1M", "iodepth": 2}, id="split"),
])
# In KiB: every large I/O becomes many.
SPLIT = 16


@pytest.fixture
def payloads(target):
    """`with payloads():` what the I/O of the block allocates to carry its integrity is freed at the end of it."""
    def count():  # shrinking empties the lists of each CPU: objects on them would count as in use
        each = "echo 1 >$cache/shrink; cut -d' ' -f1 $cache/objects"
        read = f"cd /sys/kernel/slab; for cache in {' '.join(CACHES)}; do {each}; done"
        return dict(zip(CACHES, map(int, target.run(read).stdout.split()), strict=True))

    @contextmanager
    def watched():
        before = count()
        yield
        left = [f"{more} of {cache}" for cache, after in count().items()
                if (more := after - before[cache]) > CACHES[cache]]
        assert not left, f"integrity payloads were not freed: {', '.join(left)}"

    return watched


@pytest.fixture
def split(stack, target):
    """The namespace takes small requests only."""
    target.run(f"echo {SPLIT} >{stack.base.sysfs}/queue/max_sectors_kb")


@tags
@pytest.mark.usefixtures("split")
@pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.stack("data / luks2:integrity=hmac-sha256"), id="hmac"),
    pytest.param(marks=pytest.mark.stack("data / linear:offset=2056 / luks2:cipher=aes-gcm-random,integrity=aead"),
                 id="gcm-at-offset"),
])
@SIZES
def test_tags_of_dm_crypt(stack, fio, payloads, sizes):
    """The tags lie in a payload that dm-crypt owns and dm-integrity stores: nobody else may check or free it."""
    with payloads():
        fio(stack, rw="randwrite", **sizes)
    stack.reopen()
    with payloads():
        fio(stack, verify_only=True, **sizes)


@pytest.mark.usefixtures("split")
@pytest.mark.parametrize((), [
    pytest.param(marks=[type1_512, pytest.mark.stack(f"data / {layers}")], id=name) for name, layers in {
        "linear": "linear:offset=2057",
        "partition": "partition:start=2049 / linear:offset=9",
        "crypt": "linear:offset=2057 / crypt",
        "mirror": "linear:offset=2057 / mirror",
        "tags": "luks2:integrity=hmac-sha256",
    }.items()
] + [
    pytest.param(marks=[type1_4096, pytest.mark.stack("data / linear:offset=2056")], id="linear-4096"),
    pytest.param(marks=[type1_4096, pytest.mark.stack("data / partition:start=2056 / crypt:sector_size=4096 / xfs")],
                 id="xfs-4096"),
])
@SIZES
def test_protection_information(stack, fio, payloads, sizes):
    """Reference tags count from the start of the namespace, wherever the stack begins and a request is cut."""
    with payloads():
        fio(stack, rw="randwrite", **sizes)
    stack.reopen()
    with payloads():
        fio(stack, verify_only=True, **sizes)


@type1_512
@pytest.mark.stack("data / linear:offset=2056")
def test_large_neighbours_keep_their_protection(stack, fio):
    """Nothing but the disk's limit keeps bios apart whose payloads are whole pages (blk_integrity_merge_bio)."""
    neighbours = {"bs": "256K", "iodepth": 8, "batch": 8}
    fio(stack, rw="write", **neighbours)
    fio(stack, verify_only=True, **neighbours)


@pytest.mark.parametrize((), [
    pytest.param(marks=[type1_512, pytest.mark.stack("data / linear:offset=2057")], id="512"),
    pytest.param(marks=[type1_4096, pytest.mark.stack("data / linear:offset=2056")], id="4096"),
])
def test_written_zeroes_are_protected(stack, target, fio):
    """The controller makes the protection of zeroes by itself, from a reference tag that it has to be told."""
    fio(stack, duration=0)
    target.run(["blkdiscard", "--zeroout", "--length", str(4 << 20), stack.device])
    target.run(["cmp", "--bytes", str(4 << 20), stack.device, "/dev/zero"])


@pytest.fixture
def verified(target):
    """`with verified() as count:` how many bios the block layer verifies in the block; `count()` after it."""
    events = "/sys/kernel/tracing/kprobe_events"
    if target.run(f"mount -t tracefs none /sys/kernel/tracing; [ -e {events} ]", check=False).status:
        pytest.skip("the kernel has no kprobes to count verified bios with (flavor trace has)")
    target.run(f"echo p:verified bio_integrity_verify_fn >{events}")
    enabled = "/sys/kernel/tracing/events/kprobes/verified/enable"

    def count():
        return int(target.run("cat /sys/kernel/tracing/kprobe_profile").stdout.split()[1])

    @contextmanager
    def watched():
        target.run(f"echo 1 >{enabled}")
        yield count
        target.run(f"echo 0 >{enabled}")

    return watched


@type1_512
@pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.stack(f"data / {layers}"), id=name) for name, layers in {
        "linear": "linear:offset=2056", "linear-twice": "linear:offset=2056 / linear:offset=8",
        "partition": "partition:start=2048", "crypt": "crypt", "mirror": "mirror",
    }.items()
])
def test_verified_once(stack, fio, target, verified):
    """What is read is verified where its protection was asked for, and not again in each layer beneath."""
    fio(stack, duration=0)
    statistics = f"cut -c-9 {stack.base.sysfs}/stat"
    before = int(target.run(statistics).stdout)
    with verified() as count:
        fio(stack, verify_only=True)
    assert count() == int(target.run(statistics).stdout) - before > 0


@type1_512
@pytest.mark.stack("data / linear:offset=2057 / mirror")
def test_mirror_reads_the_other_half(stack, fio, disk, expect):
    """All is read from the first half until a read fails there; that one and all later ones go to the other one.

    drivers/md/dm-raid1.c, choose_mirror.
    """
    fio(stack, duration=0)
    first = stack.sector_of(4 << 20).sector
    stack.close()
    for sector in range(first, first + (1 << 11), 8):
        disk.flip("data", sector=sector)
    stack.open()
    with expect("pi-guard"):
        fio(stack, verify_only=True)
