"""Setting stacks up and taking them down again, many times: what is left over adds up."""

import pytest

# Every cache under its own name, instead of one shared by all of its size.
pytestmark = pytest.mark.machine(memory="512M", append=["slab_nomerge"])


@pytest.mark.namespace("data", size="64M")
@pytest.mark.stack("data / linear / crypt")
def test_linear_and_crypt_leave_nothing_behind(stack, slab_growth):
    left = [growth.cache for growth in slab_growth(stack.cycle) if growth.cache.startswith(("kmalloc", "bio-", "dm_"))]
    assert not left, f"each time something of {', '.join(left)} was not freed"


# zswap has a buffer of two pages for each CPU (mm/zswap.c, zswap_cpu_comp_prepare), which nothing else here allocates.
BUFFERS = "kmalloc-8k"
HOTPLUG = """
cd /sys/devices/system/cpu/cpu1 && for ((round = 0; round < $1; round++)); do
  echo 0 >online && echo 1 >online || exit 1
done
"""


@pytest.mark.machine(cpus=2)
@pytest.mark.namespace("swap", size="64M")
@pytest.mark.stack("swap / swap")
@pytest.mark.usefixtures("second_cpu", "stack")
def test_cpus_that_come_and_go_leave_no_buffer_behind(target, slab_growth):
    target.run("echo Y >/sys/module/zswap/parameters/enabled")
    grown = slab_growth(lambda rounds: target.run(["bash", "-c", HOTPLUG, "bash", str(rounds)]))
    assert BUFFERS not in [growth.cache for growth in grown]


# zsmalloc has caches of its own for each pool (mm/zsmalloc.c, create_cache), and one pool is in use.
GONE = """
for ((tries = 50; tries; tries--)); do [ $(grep -c ^zspage /proc/slabinfo) != 1 ] || exit 0; sleep 0.2; done
exit 1
"""


@pytest.fixture
def zswap(target):
    """zswap is at work, and its pools can be counted."""
    allocator = target.run(["cat", "/sys/module/zswap/parameters/zpool"]).stdout.strip()
    if allocator != "zsmalloc":
        pytest.skip(f"zswap keeps its pages in {allocator}, which has no cache by which a pool could be seen")
    target.run("echo Y >/sys/module/zswap/parameters/enabled")


@pytest.mark.machine(cpus=2)
@pytest.mark.namespace("swap", size="128M")
@pytest.mark.stack("swap / swap")
@pytest.mark.usefixtures("zswap")
def test_a_pool_of_zswap_goes_with_its_last_page(stack, target, fio):
    # Random: no compressor makes it smaller, and such pages are refused.
    fio("/tmp", duration=0, size="32M", memory="16M", buffered=True)
    target.run("rm /tmp/farm-fio.* && echo zstd >/sys/module/zswap/parameters/compressor")
    stack.close()
    gone = target.run(["bash", "-c", GONE], check=False).status == 0
    assert gone, "the pool of the former compressor is still there"


# The first pool still has pages when its compressor is chosen again, and once more when it is not.
AGAIN = """
group=/sys/fs/cgroup/again
echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir $group || exit 1
cd /sys/module/zswap/parameters && read -r first <compressor || exit 1
(echo $BASHPID >$group/cgroup.procs && exec dd if=<(yes farm) of=/tmp/stored bs=64K count=128 iflag=fullblock) || exit 1
for tries in {1..10}; do echo 8M >$group/memory.reclaim; done 2>/dev/null
for one in zstd $first zstd; do echo $one >compressor || exit 1; done
[ $(grep -c ^zspage /proc/slabinfo) = 2 ] && rm /tmp/stored
"""


@pytest.mark.namespace("swap", size="128M")
@pytest.mark.stack("swap / swap")
@pytest.mark.usefixtures("zswap", "stack")
def test_a_pool_that_is_used_again_goes_all_the_same(target):
    """mm/zswap.c, __zswap_param_set: it has one reference for being the current pool, however often it was."""
    target.run(["bash", "-c", AGAIN])
    gone = target.run(["bash", "-c", GONE], check=False).status == 0
    assert gone, "the pool of the former compressor is still there"


# A task whose memory is in swap ends, so that the places there wait on its CPU for more of their kind
# (mm/swap_slots.c, free_swap_slot), and that CPU goes.
SLOTS = """
group=/sys/fs/cgroup/slots
echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir $group && cd /tmp && mkfifo in || exit 1
(echo $BASHPID >$group/cgroup.procs && exec taskset -c 1 dd if=in of=/dev/null bs=8M iflag=fullblock status=none) &
exec {in}>in
head -c 5M /dev/urandom >&$in
for ((tries = 50; tries; tries--)); do
  echo 8M >$group/memory.reclaim
  [ "$(sed -n 's/^anon //p' $group/memory.stat)" -gt 500000 ] || break
done 2>/dev/null
[ $tries != 0 ] || exit 1
exec {in}>&-
wait
echo 0 >/sys/devices/system/cpu/cpu1/online
"""


@pytest.mark.machine(cpus=2)
@pytest.mark.namespace("swap", size="128M")
@pytest.mark.stack("swap / swap")
@pytest.mark.usefixtures("second_cpu")
def test_a_cpu_that_goes_gives_its_places_in_swap_back(stack, target):
    """swapoff looks for whoever uses a place until it is free (mm/swapfile.c, try_to_unuse)."""
    target.run(["bash", "-c", SLOTS])
    ended = target.run(["timeout", f"{target.pace.seconds(10):.0f}", "swapoff", stack.device], check=False).status == 0
    assert ended, "swapoff does not come to its end, though nobody uses what is in swap"
    target.run(["swapon", stack.device])


KEY = "0123456789abcdef" * 4
# Each lacks one thing, and what was made before it is missed has to go.
REFUSED = {
    "cipher": f"crypt capi:xts(nosuch)-plain64 {KEY} 0 {{disk}} 0",
    "authenticated cipher": f"crypt capi:gcm(nosuch)-random {KEY} 0 {{disk}} 0 1 integrity:28:aead",
    "code": f"crypt capi:authenc(hmac(nosuch),cbc(aes))-plain64 {KEY * 2} 0 {{disk}} 0 1 integrity:32:aead",
    "key of the code": f"crypt capi:authenc(hmac(sha256),cbc(aes))-plain64 {KEY[:32]} 0 {{disk}} 0 1 integrity:32:aead",
    "tags beneath": f"crypt capi:gcm(aes)-random {KEY} 0 {{disk}} 0 1 integrity:28:aead",
    "vector": f"crypt aes-cbc-nosuch {KEY} 0 {{disk}} 0",
    "hash of the vector": f"crypt aes-cbc-essiv:nosuch {KEY} 0 {{disk}} 0",
    "size of the key": "crypt aes-xts-plain64 0123 0 {disk} 0",
    "size of sectors": f"crypt aes-xts-plain64 {KEY} 0 {{disk}} 0 1 sector_size:1000",
    "key": "crypt aes-xts-plain64 :64:logon:no:such 0 {disk} 0",
    "disk": f"crypt aes-xts-plain64 {KEY} 0 /dev/nosuch 0",
    "hash of the tags": "integrity {disk} 0 - J 1 internal_hash:nosuch",
    "code of the journal": f"integrity {{disk}} 0 - J 2 internal_hash:crc32c journal_mac:hmac(nosuch):{KEY}",
    "cipher of the journal": f"integrity {{disk}} 0 - J 2 internal_hash:crc32c journal_crypt:cbc(nosuch):{KEY}",
    "mode": "integrity {disk} 0 - X 1 internal_hash:crc32c",
}
WHOLE = (f"crypt capi:gcm(aes)-random {KEY} 0 /dev/mapper/tags 0 1 integrity:28:aead",
         f"integrity {{disk}} 0 - J 3 internal_hash:crc32c journal_mac:hmac(sha256):{KEY} journal_crypt:cbc(aes):{KEY}")
# $1: how often; then the tables. Those that were accepted are printed.
REFUSE = """
rounds=$1; shift
for ((round = 0; round < rounds; round++)); do
  for table; do
    ! dmsetup create refused --table "0 2048 $table" 2>/dev/null || { echo "$table"; dmsetup remove refused; }
  done
done
"""


@pytest.mark.namespace("data", size="64M")
def test_refused_tables_leave_nothing_behind(target, slab_growth):
    disk = target.block_device("data")
    tables = [table.format(disk=disk) for table in REFUSED.values()]
    target.run("echo >/proc/sys/kernel/modprobe")  # or each name that nobody knows starts a program to look for it
    target.run(["dmsetup", "create", "tags", "--table", f"0 2048 integrity {disk} 0 28 D 0"])
    target.run(["dmsetup", "create", "whole", "--table", f"0 2048 {WHOLE[0]}"])
    target.run(f"dmsetup remove whole && dmsetup remove tags && dd if=/dev/zero of={disk} bs=4K count=1 oflag=direct")
    target.run(["dmsetup", "create", "whole", "--table", f"0 2048 {WHOLE[1].format(disk=disk)}"])
    target.run("dmsetup remove whole")

    def refuse(rounds):
        taken = target.run(["bash", "-c", REFUSE, "bash", str(rounds), *tables],
                           deadline=target.pace.deadline(30 + rounds)).stdout
        assert not taken, f"a table that lacks something was accepted: {taken.splitlines()[0]}"

    left = [growth.cache for growth in slab_growth(refuse)
            if growth.cache.startswith("kmalloc") and growth.per_round > 0.5]
    assert not left, f"each time something of {', '.join(left)} was not freed"
