"""Reports 003 and 004: who has to give memory back, and what becomes of those who cannot."""

import pytest

FILESYSTEMS = pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.stack(f"data / {name}"), id=name) for name in ("ext4", "xfs")])
data = pytest.mark.namespace("data", size="384M")

# $1: a file; $2: bytes. Each round takes one page more for good, and one of the file that is given back: for this the
# limit is met first. The calls are fdatasync and fadvise64 (POSIX_FADV_DONTNEED) of x86-64: perl, which every
# Debian has, knows no names for them.
FULL = r"""
open(FILE, "+>", $ARGV[0]) or die; open(ZERO, "<", "/dev/zero") or die;
my $page = "x" x 4096; my $kept = "";
for (my $at = 0; $at < $ARGV[1]; $at += 4096) {
  sysread(ZERO, $kept, 4096, $at) == 4096 or die;
  sysseek(FILE, 0, 0); syswrite(FILE, $page) == 4096 or die;
  syscall(75, fileno(FILE)) == 0 or die;
  syscall(221, fileno(FILE), 0, 0, 4) == 0 or die;
}
"""
# $1: the program; $2: seconds; $3: its file. Prints how many tasks were killed for the group's limit, and how often it
# was a page to be written that met it. All else is outside of the group, what timeout and perl are read from included.
LIMITED = r"""
group=/sys/fs/cgroup/full
echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir $group && echo 16M >$group/memory.max || exit 1
[ ! -e $group/memory.swap.max ] || echo 0 >$group/memory.swap.max || exit 1
perl -e "$1" "$3" 65536 || exit 1
timeout -s KILL "$2" bash -c 'echo $$ >$1/cgroup.procs && exec perl -e "$2" "$3" $((64 << 20))' bash $group "$1" "$3"
sed -n 's/^oom_kill //p' $group/memory.events
dmesg | grep -c 'invoked oom-killer: gfp_mask=.*__GFP_WRITE'
exit 0
"""


@data
@FILESYSTEMS
@pytest.mark.tolerate("oom")
def test_who_writes_beyond_its_limit_is_killed(target, stack):
    """Also in the midst of a file system: it does not try for ever (mm/oom_kill.c, out_of_memory; GFP_NOFS)."""
    seconds = f"{target.pace.seconds(8):.0f}"
    said = target.run(["bash", "-c", LIMITED, "bash", FULL, seconds, f"{stack.mountpoint}/file"]).stdout
    killed, by_writing = map(int, said.split())
    assert killed, "a task whose group has no memory left still waits for some"
    assert by_writing, "nothing was asked: something else than a write met the limit"


# $1: the mount point. Prints the bytes of names that are not there, before and after they had to go.
GONE = r"""
set -e
cd /sys/fs/cgroup
echo +memory >cgroup.subtree_control; mkdir outer; echo +memory >outer/cgroup.subtree_control; mkdir outer/inner
(echo $BASHPID >outer/inner/cgroup.procs; for ((name = 0; name < 20000; name++)); do [ ! -e "$1/$name" ]; done)
rmdir outer/inner
sleep 1  # another task takes the group away
kept() { sed -n 's/^slab_reclaimable //p' outer/memory.stat; }
kept
for tries in {1..20}; do  # what there is, is known by statistics, and reading brings those up to date
  echo 16M >outer/memory.reclaim || true; kept >/dev/null
done 2>/dev/null
kept
"""


@data
@FILESYSTEMS
def test_what_a_group_leaves_behind_can_be_reclaimed(target, stack):
    """It goes to the group above, whose shrinkers have to know (mm/list_lru.c, memcg_reparent_list_lru_node)."""
    before, after = map(int, target.run(["bash", "-c", GONE, "bash", stack.mountpoint]).stdout.split())
    assert before > 1 << 20, "nothing was left behind"
    assert after < before / 4, f"of {before} bytes that nobody needs {after} cannot be reclaimed"


# $1, $2: disks. Prints how much is on the second one, before and after the first is taken away.
TWO = r"""
set -e
group=/sys/fs/cgroup/swapped
echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir $group
used() { awk -v disk="$1" '$1 == disk { print $4 }' /proc/swaps; }
swap_out() {
  (echo $BASHPID >$group/cgroup.procs; exec head -c "$1" /dev/urandom >"/tmp/$1")
  for tries in {1..20}; do echo "$1" >$group/memory.reclaim || true; done 2>/dev/null
}
mkswap "$1" >/dev/null; swapon -p 1 "$1"; swap_out 4M
mkswap "$2" >/dev/null; swapon -p 5 "$2"; swap_out 16M
[ "$(used "$1")" -gt 0 ]
used "$2"; swapoff "$1"; used "$2"
swapoff "$2"
"""


@pytest.mark.namespace("first", size="64M")
@pytest.mark.namespace("second", size="64M")
def test_swapoff_leaves_other_disks_alone(target):
    """Of a tmpfs it reads what is on its own disk (mm/shmem.c, shmem_find_swap_entries)."""
    disks = [target.block_device(name) for name in ("first", "second")]
    before, after = map(int, target.run(["bash", "-c", TWO, "bash", *disks]).stdout.split())
    assert before, "nothing is on the second disk"
    assert after > before * 3 / 4, f"of {before} KiB on another disk {before - after} were read"


# $1: a file system. Prints what is behind the area that mkswap knew of, before and after it was in use, and how large
# it is said to be. The page right behind it may be lost in part where the file does not begin at a page of the disk
# (docs/found.md).
LONGER = r"""
set -e -o pipefail
group=/sys/fs/cgroup/swapped
echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir $group
file=$1/swap
head -c 8M /dev/zero >$file; chmod 600 $file; mkswap $file >/dev/null
head -c 24M /dev/urandom >>$file; sync
behind() { dd if=$file bs=4K skip=2049 iflag=direct status=none | sha256sum; }
behind
swapon $file
awk -v file=$file '$1 == file { print $3 }' /proc/swaps
(echo $BASHPID >$group/cgroup.procs; exec head -c 20M /dev/urandom >/tmp/swapped)
for tries in {1..20}; do echo 20M >$group/memory.reclaim || true; done 2>/dev/null
rm /tmp/swapped
swapoff $file
behind
"""


@data
@FILESYSTEMS
def test_a_swap_file_is_as_large_as_it_says(target, stack):
    """In its header, and what comes behind is somebody else's (fs/iomap/swapfile.c, iomap_swapfile_add_extent)."""
    before, kib, after = target.run(["bash", "-c", LONGER, "bash", stack.mountpoint]).stdout.replace("-", "").split()
    assert int(kib) < 8192, f"{kib} KiB are swapped to, and mkswap knew of 8192"
    assert after == before, "what lies behind the area was written to"


# $1: the disk. What should leave memory cannot, and is there in the end.
UNWRITABLE = r"""
set -e
group=/sys/fs/cgroup/swapped
echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir $group
size=$(blockdev --getsz "$1")
dmsetup create failing --table "0 $size linear $1 0"
mkswap /dev/mapper/failing >/dev/null; swapon /dev/mapper/failing
(echo $BASHPID >$group/cgroup.procs; exec head -c 8M /dev/urandom >/tmp/swapped)
before=$(sha256sum </tmp/swapped)
dmsetup reload failing --table "0 $size error"; dmsetup resume failing
for tries in {1..10}; do echo 8M >$group/memory.reclaim || true; sleep 0.1; done 2>/dev/null
dmesg | grep -q 'Write-error on swap-device'
[ "$before" = "$(sha256sum </tmp/swapped)" ]
"""


@pytest.mark.namespace("swap", size="64M")
@pytest.mark.tolerate("io-error")
def test_what_could_not_be_swapped_out_is_kept(target):
    """It is dirty again, so that nobody takes it for written (mm/page_io.c, __end_swap_bio_write)."""
    target.run(["bash", "-c", UNWRITABLE, "bash", target.block_device("swap")])


# `swap_out SIZE` reclaims so much at a time of what is in a group, until four MB are on the disk, and nearly nothing of
# that is in memory as well: it stays there at first, as the oldest of all.
SWAPPED = r"""
set -e
group=/sys/fs/cgroup/swapped
echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir $group
swap_out() {
  for tries in {1..50}; do
    echo "$1" >$group/memory.reclaim || true
    [ "$(cat $group/memory.swap.current)" -lt 4000000 ] ||
      [ "$(sed -n 's/^swapcached //p' $group/memory.stat)" -gt 1000000 ] || return 0
    sleep 0.1
  done 2>/dev/null
  return 1
}
"""
# $1: the disk; $2: the program. Most of its memory is on the disk when that breaks, and then the disk is taken away.
UNREADABLE = SWAPPED + r"""
size=$(blockdev --getsz "$1")
dmsetup create failing --table "0 $size linear $1 0"
mkswap /dev/mapper/failing >/dev/null; swapon /dev/mapper/failing
cd /tmp; mkfifo go there
(echo $BASHPID >$group/cgroup.procs; exec perl -e "$2" go there) &
read -r _ <there
swap_out 1M
dmsetup reload failing --table "0 $size error"; dmsetup resume failing
swapoff /dev/mapper/failing
echo go >go
wait $!
"""
# The call is madvise (MADV_PAGEOUT): what perl itself needs stays in memory.
PROGRAM = r"""
my ($go, $there) = @ARGV;
my $page = "farm" x 1024; my $text = $page; $text .= $text for (1 .. 11);
my $begin = (unpack("J", pack("p", $text)) + 4095) & ~4095;
for (1 .. 5) { syscall(28, $begin, length($text) - 4096, 21) == 0 or die "$!"; select(undef, undef, undef, 0.2) }
open(THERE, ">", $there) or die; print THERE "there\n"; close(THERE);
open(GO, "<", $go) or die; <GO>;
for (my $at = 0; $at < length($text); $at += 4096) { substr($text, $at, 4096) eq $page or die "another page at $at" }
"""
SIGBUS = 7


@pytest.mark.namespace("swap", size="64M")
@pytest.mark.tolerate("io-error")
def test_what_could_not_be_read_is_not_made_up(target):
    """A program that needs it is ended, also if it was swapoff that tried (mm/swapfile.c, unuse_pte)."""
    done = target.run(["bash", "-c", UNREADABLE, "bash", target.block_device("swap"), PROGRAM], check=False)
    assert done.status == 128 + SIGBUS, f"status {done.status}: {done.stderr}"


# $1: the disk; $2: the program, of which three run. swapoff looks whether it was interrupted after each of them
# (try_to_unuse), and reads long enough.
INTERRUPTED = SWAPPED + r"""
size=$(blockdev --getsz "$1")
dmsetup create slow --table "0 $size delay $1 0 8"
mkswap /dev/mapper/slow >/dev/null; swapon /dev/mapper/slow
cd /tmp; mkfifo go there; exec {there}<>there; programs=
for number in 1 2 3; do
  (echo $BASHPID >$group/cgroup.procs; exec perl -e "$2" go there) & programs="$programs $!"
  read -r _ <&$there
done
swap_out 4M
! timeout -s INT 0.5 swapoff /dev/mapper/slow || exit 1
grep -q slow /proc/swaps
dmsetup reload slow --table "0 $size linear $1 0"; dmsetup resume slow
swapoff /dev/mapper/slow
swapon /dev/mapper/slow; swapoff /dev/mapper/slow
echo go >go
for program in $programs; do wait $program; done
"""


@pytest.mark.namespace("swap", size="64M")
def test_an_interrupted_swapoff_leaves_all_as_it_was(target):
    """The disk is in use again, and whoever changes that next is not locked out (mm/swapfile.c, sys_swapoff)."""
    target.run(["bash", "-c", INTERRUPTED, "bash", target.block_device("swap"), PROGRAM])


# A program's memory, in a group. Prints the bytes of it that left, after each of two wishes.
WISHES = r"""
set -e
group=/sys/fs/cgroup/wishes
echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir $group
echo "0 swappiness=0" >$group/memory.reclaim || exit 77
cd /tmp; mkfifo in out
(echo $BASHPID >$group/cgroup.procs; exec dd if=in of=out bs=16M iflag=fullblock status=none) &
exec {in}>in {out}<out
head -c 12M /dev/urandom >&$in
sleep 1
for swappiness in 0 200; do
  for tries in {1..10}; do echo "8M swappiness=$swappiness" >$group/memory.reclaim || true; done 2>/dev/null
  cat $group/memory.swap.current
done
kill $!
"""


@pytest.mark.namespace("swap", size="64M")
@pytest.mark.stack("swap / swap")
@pytest.mark.usefixtures("stack")
def test_whoever_reclaims_says_what(target):
    """With a swappiness of 0 nothing is swapped (mm/vmscan.c, sc_swappiness)."""
    done = target.run(["bash", "-c", WISHES], check=False)
    if done.status == 77:
        pytest.skip("memory.reclaim of this kernel takes no wishes (before 6.9)")
    assert done.status == 0, done.stderr
    without, with_it = map(int, done.stdout.split())
    assert not without, f"{without} bytes were swapped out, and none should have been"
    assert with_it, "nothing was swapped out, and all could have been"
