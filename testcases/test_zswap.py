"""Report 004: memory compressed by zswap on its way to swap, while CPUs come and go and zswap is set otherwise.

zswap keeps a buffer and a compression request for each CPU, made and freed as CPUs come and go, and a pool for each
compressor.
"""

import pytest

pytestmark = [
    # A part of what the stressor uses does not fit into memory, and a pool of zswap not always into what it may have.
    # The kernel's own checks (KASAN, lockdep) take some 100 MiB of it.
    pytest.mark.machine(cpus=2, memory="384M"),
    pytest.mark.namespace("swap", size="512M"),
    pytest.mark.duration(15),
    pytest.mark.tolerate("oom"),
]
PRESSURE = {"bytes": "480M", "keep": True, "method": "rand-set"}
# Read in another order than it was written, so that readahead brings pages that are dropped again before their turn.
SWAPPED = {"rw": "randwrite", "size": "32M", "memory": "16M", "buffered": True}
ON = "echo Y >/sys/module/zswap/parameters/enabled"
# CPUs that come and go slow a guest down so much that it might not come to use zswap before the end.
STORED = "grep -q '^zswpout [1-9]' /proc/vmstat"
USED = f"for number in $(seq 300); do ! {STORED} || break; sleep 0.1; done"

# As fast as the guest can: each time is one more chance for a task that moves to another CPU meanwhile.
HOTPLUG = """
cd /sys/devices/system/cpu
while :; do
  for cpu in cpu[1-9]*; do ! echo 0 >$cpu/online || touch /run/cpu-gone; echo 1 >$cpu/online; done
done
"""
# Every change of the compressor makes a pool; the old one goes with its last page. With 0 % every store is refused.
SETTINGS = """
cd /sys/module/zswap/parameters && exec {never}<> <(:)
while :; do
  for compressor in zstd lzo lz4 deflate; do
    echo $compressor >compressor || exit 1
    for percent in 20 1 30 0; do echo $percent >max_pool_percent; read -t 0.3 -u $never; done
  done
done
"""
# One allocation after the other fails while a CPU is brought up, until none is left (fault-injection.rst, fail-nth).
# What the writing task does itself counts: the callbacks before the first step of the CPU itself (kernel/cpu.c). On a
# CPU that came up all the same, a task that may run nowhere else reclaims its own memory by what the CPU did not get.
BRING_UP = """
group=/sys/fs/cgroup/bring-up
echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir $group && echo 2M >$group/memory.high || exit 1
cd /sys/kernel/debug && echo N >failslab/ignore-gfp-wait && echo 0 >failslab/verbose &&
  echo N >fail_page_alloc/ignore-gfp-wait && echo 0 >fail_page_alloc/verbose || exit 1
exec {online}>/sys/devices/system/cpu/cpu1/online {nth}<>/proc/self/fail-nth 2>/dev/null
failed=0
for ((number = 1; number < 200; number++)); do
  echo 0 >&$online
  echo $number >&$nth
  if echo 1 >&$online; then up=1; else up=0; failed=$((failed + 1)); fi
  read -r left </proc/self/fail-nth
  echo 0 >&$nth
  if [ $up = 0 ]; then
    echo 1 >&$online
  elif ! (echo $BASHPID >$group/cgroup.procs && exec taskset -c 1 dd if=/dev/urandom of=/dev/null bs=8M count=1); then
    exit 1
  fi
  [ "$left" = 0 ] || break
done
echo $failed
"""
# Tasks move from CPU to CPU while they compress.
MIGRATE = """
while :; do for cpu in 0 1; do for task in $(pgrep stress-ng); do taskset -p -c $cpu $task; done; done
done >/dev/null 2>&1
"""
# One group, of many, has pages in zswap, and more than zswap may have: it takes some out again, each after a second
# chance, sixteen for each page that it refuses (mm/zswap.c, shrink_worker). The others have nothing to take.
FULL = """
cd /sys/fs/cgroup && echo +memory >cgroup.subtree_control && mkdir idle-{1..200} full &&
  echo $BASHPID >full/cgroup.procs && echo zstd >/sys/module/zswap/parameters/compressor &&
  head -c 512K /dev/urandom | xxd -p >/tmp/part &&
  for ((part = 48; part; part--)); do cat /tmp/part; done >/tmp/data || exit 1
echo 1 >/sys/module/zswap/parameters/max_pool_percent
echo 12M >full/memory.reclaim
for ((tries = 300; tries; tries--)); do
  echo 128K >full/memory.reclaim
  read -r taken </sys/kernel/debug/zswap/written_back_pages
  [ $taken = 0 ] || break
  sleep 0.02
done 2>/dev/null
echo $taken
"""

STACKS = pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.stack("swap / swap"), id="plain"),
    pytest.param(marks=pytest.mark.stack("swap / crypt / swap"), id="crypt"),
])


@pytest.fixture
def scarce(target, pressure):
    """zswap, and memory that even a slow guest uses up: reclaim for a limited fio alone is not what lockdep watches.

    Only what reclaims for the whole guest holds `fs_reclaim` (mm/vmscan.c, mm/page_alloc.c:__perform_reclaim).
    """
    target.run(ON)
    with pressure("keep-free:free=48M,fixed"):
        yield


@STACKS
@pytest.mark.usefixtures("second_cpu", "scarce")
def test_cpus_and_settings_change(stack, target, fio, stress, background):
    # A slow guest on a busy host takes more than a quarter of a minute to fill its memory.
    with background(SETTINGS), stress.running(stack, duration=45, **PRESSURE):
        target.run(USED, deadline=target.pace.deadline(60))
        with background(HOTPLUG):
            fio("/tmp", **SWAPPED)
        target.run("echo 1 >/sys/devices/system/cpu/cpu1/online")
    assert target.run("test -e /run/cpu-gone", check=False).status == 0, "no CPU went"
    assert target.run(STORED, check=False).status == 0, "nothing came into zswap"


@STACKS
@pytest.mark.usefixtures("second_cpu")
def test_bring_up_fails(stack, target, stress):
    target.run(ON)
    with stress.running(stack, **PRESSURE):
        failed = int(target.run(["bash", "-c", BRING_UP], deadline=target.pace.deadline(15)).stdout)
    assert failed, "no allocation failed while CPU 1 was brought up"


@STACKS
@pytest.mark.duration(45)
def test_pages_of_zeroes_and_of_ones(stack, stress):
    """A page of zeroes needs no room on the disk (mm/page_io.c, swap_writepage), until it holds something else.

    Its place is kept after it was read, as long as half of all places are free (linux/swap.h, vm_swap_full). To write
    and read all pages both ways takes an emulated guest more than a quarter of a minute.
    """
    stress(stack, bytes="400M", keep=True, method="zero-one")


@pytest.mark.stack("swap / swap")
@pytest.mark.duration(45)
def test_pages_of_a_few_bits(stack, stress):
    """Almost nothing in a page, at its beginning or anywhere else, is not nothing."""
    stress(stack, bytes="400M", keep=True, method="galpat-0")


# A buffer of dd's, swapped out whenever nobody takes what is in it: zeroes, and then something else. To be written out
# it is read only, so that it keeps its places on the disk (mm/memory.c, should_try_to_free_swap).
REWRITTEN = """
group=/sys/fs/cgroup/rewritten
echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir $group && cd /tmp && mkfifo in out &&
  head -c 16M /dev/urandom >other || exit 1
(echo $BASHPID >$group/cgroup.procs && exec dd if=in of=out bs=16M iflag=fullblock status=none) &
exec {in}>in {out}<out
swap_out() {
  for ((tries = 50; tries; tries--)); do
    echo 16M >$group/memory.reclaim
    [ "$(sed -n 's/^anon //p' $group/memory.stat)" -gt 2000000 ] || return 0
  done 2>/dev/null
  exit 1
}
for content in /dev/zero other; do
  head -c 16M $content >&$in
  swap_out
  head -c 16M <&$out | cmp -n 16M - $content || exit 1
done
"""


@pytest.mark.stack("swap / swap")
@pytest.mark.usefixtures("stack")
def test_zeroes_become_something_else(target):
    """That a place holds zeroes is a bit of its own since 6.12 (mm/page_io.c, zeromap), which has to go."""
    target.run(["bash", "-c", REWRITTEN])


@pytest.mark.stack("swap / swap")
@pytest.mark.duration(30)
@pytest.mark.usefixtures("second_cpu")
def test_tasks_move(stack, target, stress, background):
    target.run(ON)
    with background(MIGRATE):
        stress(stack, **PRESSURE)
    assert target.run(STORED, check=False).status == 0, "nothing came into zswap"


@pytest.mark.stack("swap / swap")
@pytest.mark.usefixtures("stack")
def test_a_full_pool_makes_room(target):
    target.run(ON)
    taken = int(target.run(["bash", "-c", FULL]).stdout)
    assert taken, "zswap is full, and takes nothing out"


# The shrinker is off, on, and off again while a group is reclaimed that has no pages left but those in zswap.
SHRUNK = """
set -e
[ -e /sys/module/zswap/parameters/shrinker_enabled ] || exit 77
group=/sys/fs/cgroup/cold
echo zstd >/sys/module/zswap/parameters/compressor
echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir $group; cd /tmp
head -c 4M /dev/urandom | xxd -p >text
(echo $BASHPID >$group/cgroup.procs; exec cat text >stored)
for enabled in N Y N; do
  echo $enabled >/sys/module/zswap/parameters/shrinker_enabled
  read -r before </sys/kernel/debug/zswap/written_back_pages
  for tries in {1..20}; do echo 8M >$group/memory.reclaim || true; done 2>/dev/null
  read -r after </sys/kernel/debug/zswap/written_back_pages
  echo $((after - before))
done
cmp text stored || exit 78
"""


@pytest.mark.stack("swap / swap")
@pytest.mark.usefixtures("stack")
def test_the_shrinker_writes_cold_pages_to_the_disk(target):
    """Where it is enabled, and there only (mm/zswap.c, zswap_shrinker_scan)."""
    target.run(ON)
    done = target.run(["bash", "-c", SHRUNK], check=False)
    if done.status == 77:
        pytest.skip("zswap of this kernel has no shrinker (before 6.8)")
    assert done.status != 78, "what was written to the disk is not what is read"
    assert done.status == 0, done.stderr
    before, written, after = map(int, done.stdout.split())
    assert not before + after, "zswap's shrinker wrote pages while it was disabled"
    assert written, "zswap's shrinker wrote nothing"


# Memory becomes free in three steps, everywhere in between, and what is left is moved together after each: most pages
# of zsmalloc move twice. Lines of 3700 characters take a page of their own each (lzo makes no letters shorter), those
# of 1500 lie side by side, and across the boundaries of pages.
MOVED = """
group=/sys/fs/cgroup/moved
echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir $group || exit 1
cd /sys/module/zswap/parameters && echo zsmalloc >zpool && echo lzo >compressor && cd /tmp || exit 1
chunk=$(head -c 192K /dev/zero | tr '\\0' x)
for part in 1 2 3 4; do
  for ((piece = 0; piece < 32; piece++)); do
    for filler in a b c; do printf %s "$chunk" >>$filler || exit 1; done
  done
  base64 -w $((part % 2 ? 3700 : 1500)) /dev/urandom | head -n 400 |
    dd bs=64K cbs=4096 conv=block status=none >text.$part
  (echo $BASHPID >$group/cgroup.procs && exec cat text.$part >stored.$part) || exit 1
  for tries in 1 2 3 4; do echo 2M >$group/memory.reclaim; done 2>/dev/null
done
stored=$(sed -n 's/^zswapped //p' $group/memory.stat)
for filler in a b c; do rm $filler; echo 1 >/proc/sys/vm/compact_memory || exit 1; done
for part in 1 2 3 4; do cmp text.$part stored.$part || exit 1; done
echo $((stored >> 12))
"""


@pytest.mark.stack("swap / swap")
@pytest.mark.usefixtures("stack")
def test_compressed_pages_are_moved(target):
    """Compaction moves the pages of zsmalloc, and its handles must follow (zs_page_migrate, replace_sub_page)."""
    target.run(ON)
    stored = int(target.run(["bash", "-c", MOVED]).stdout)
    assert stored, "nothing was in zswap when memory was compacted"


# Prints the pages that zsmalloc says it has, while something is in zswap and afterwards, in both of its books.
COUNTED = """
group=/sys/fs/cgroup/counted
echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir $group || exit 1
cd /sys/module/zswap/parameters && echo zsmalloc >zpool && echo zstd >compressor && cd /tmp || exit 1
said() {
  echo 1 >/proc/sys/vm/stat_refresh
  sed -n 's/^nr_zspages //p' /proc/vmstat
  size=/sys/kernel/debug/zswap/pool_total_size
  echo $(($(cat $size) >> 12))
}
head -c 8M /dev/urandom | xxd -p >text || exit 1
for round in 1 2; do
  (echo $BASHPID >$group/cgroup.procs && exec cat text >stored) || exit 1
  for tries in {1..10}; do echo 16M >$group/memory.reclaim; done 2>/dev/null
  said
  rm stored
  said
done
"""


@pytest.mark.stack("swap / swap")
@pytest.mark.usefixtures("stack")
def test_compressed_pages_are_counted(target):
    """Those that are freed are counted no more (mm/zsmalloc.c, __free_zspage), whoever is asked."""
    target.run(ON)
    said = list(map(int, target.run(["bash", "-c", COUNTED]).stdout.split()))
    for full, pool, empty, pool_left in (said[:4], said[4:]):
        assert full == pool > 1000, f"{full} pages are counted, and the pool has {pool}"
        assert empty == pool_left < 100, f"{empty} pages are counted, and the pool has {pool_left}"


# All that is refused stays in memory: the group above has no room in zswap, and may not use the disk.
LIMITED = """
cd /sys/fs/cgroup && echo +memory >cgroup.subtree_control && mkdir limited && cd limited &&
  echo +memory >cgroup.subtree_control && mkdir inner && echo 0 >memory.zswap.max || exit 1
[ ! -e memory.zswap.writeback ] || echo 0 >memory.zswap.writeback || exit 1
text=$(head -c 512K /dev/urandom | xxd -p)
before=$(sed -n 's/^pswpout //p' /proc/vmstat)
(echo $BASHPID >inner/cgroup.procs && printf %s "$text$text$text$text" >/tmp/limited) || exit 1
for tries in {1..10}; do  # which pages are old is known by statistics, and reading brings those up to date
  echo 4M >inner/memory.reclaim; cat inner/memory.stat >/dev/null
done 2>/dev/null
after=$(sed -n 's/^pswpout //p' /proc/vmstat)
printf %s "$text$text$text$text" | cmp - /tmp/limited || exit 1
rm /tmp/limited
[ -e memory.zswap.writeback ] && echo $((after - before)) || echo 0
"""
# Pages and places on the disk that are freed wait on each CPU for more of their kind; both keep their group until then.
UNLIMITED = """
echo 3 >/proc/sys/vm/drop_caches && rmdir /sys/fs/cgroup/limited/inner /sys/fs/cgroup/limited || exit 1
for ((tries = 50; tries; tries--)); do
  ! grep -q '^nr_dying_descendants 0$' /sys/fs/cgroup/cgroup.stat || exit 0; sleep 0.2
done
exit 1
"""


@pytest.mark.stack("swap / swap")
def test_groups_have_limits(stack, target):
    """Those of a group hold for the groups in it (obj_cgroup_may_zswap, mem_cgroup_zswap_writeback_enabled).

    A page that is refused for them leaves no reference to its group behind (mm/zswap.c, zswap_store).
    """
    target.run(ON)
    written = int(target.run(["bash", "-c", LIMITED]).stdout)
    assert not written, f"{written} pages were written to the disk in spite of memory.zswap.writeback"
    stack.close()
    gone = target.run(["bash", "-c", UNLIMITED], check=False).status == 0
    assert gone, "groups that were removed are still there"
