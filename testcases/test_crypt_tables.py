"""Device mapper by its tables, dm-crypt above all: wiped keys, several targets, what they ask for and what they say."""

from pathlib import Path
from types import SimpleNamespace

import pytest

KEY = "0123456789abcdef" * 4

plain = pytest.mark.namespace("data", size="64M")


def name(stack):
    return Path(stack.device).name


# $1: the disk, $2: the cipher. The key is written in the table, and then named there; some of it is for vectors alone.
NAMED_KEY = """
set -e
key=$(printf 'farm%.0s' {1..16})
table() { echo "0 65536 crypt $1 $2 0 $3 0"; }
written=$(printf %s "$key" | od -An -v -tx1 | tr -d ' \n')
printf %s "$key" | keyctl padd logon farm:key @s >/dev/null
dmsetup create named --table "$(table "$2" "$written" "$1")"
head -c 1M /dev/urandom >/tmp/data
dd if=/tmp/data of=/dev/mapper/named bs=64K oflag=direct status=none
dmsetup remove named
dmsetup create named --table "$(table "$2" ":64:logon:farm:key" "$1")"
cmp -n 1M /tmp/data /dev/mapper/named
dmsetup remove named
"""


@plain
@pytest.mark.parametrize("cipher", ["aes-xts-plain64", "aes-cbc-elephant"])
def test_a_key_that_is_named_is_the_key(target, cipher):
    """It is wiped from dm-crypt's own memory, and not before everything was made of it (crypt_ctr)."""
    disk = target.block_device("data")
    target.run(["keyctl", "session", "-", "bash", "-c", NAMED_KEY, "bash", disk, cipher])


@plain
@pytest.mark.stack("data / luks2")
def test_a_wiped_key_is_gone_and_comes_back(target, stack, fio):
    """What luksSuspend does: the volume key is forgotten, and nothing goes on without it."""
    fio(stack, duration=0)
    target.run(["cryptsetup", "luksSuspend", name(stack)])
    key = target.run(["dmsetup", "table", "--showkeys", name(stack)]).stdout.split()[4]
    assert set(key) == {"0"}, "the device still refers to a key that was wiped"
    assert target.run(["dmsetup", "resume", name(stack)], check=False).status, "the device goes on without a key"
    secret = next(step.input for step in stack.plan.open if step.input)
    target.run(["cryptsetup", "luksResume", "--key-file", "-", name(stack)], input=secret)
    fio(stack, verify_only=True)


@plain
@pytest.mark.stack("data / linear:size=65536")
def test_two_targets_are_one_device(target, stack, fio):
    """The second target's sectors are counted from its own beginning, for vectors, data and discards alike."""
    whole = SimpleNamespace(device="/dev/mapper/whole", mountpoint="", zone_bytes=0)

    def table(*starts):
        size = 65536 // len(starts)
        return "".join(f"{at} {size} crypt aes-xts-plain64 {KEY} {at} {stack.device} {at} 1 allow_discards\n"
                       for at in starts).encode()

    def first_half():
        return target.run(f"dd if={whole.device} bs=1M count=16 iflag=direct status=none | sha256sum").stdout

    target.run(["dmsetup", "create", "whole"], input=table(0))
    fio(whole, duration=0, size="32M", bs="64K")
    target.run("dmsetup reload whole && dmsetup resume whole", input=table(0, 32768))
    fio(whole, verify_only=True, size="32M", bs="64K")
    before = first_half()
    target.run(["blkdiscard", "--offset", str(16 << 20), "--length", str(8 << 20), whole.device])
    assert first_half() == before, "a discard in the second half changed the first"
    target.run(["dmsetup", "remove", "whole"])


@plain
@pytest.mark.stack("data / crypt:sector_size=4096")
def test_buffers_are_said_to_need_an_alignment(target, stack):
    """dm-crypt says what it takes (crypt_io_hints), so that a program hears EINVAL instead of an error of the disk."""
    least = int(target.run(["cat", f"/sys/block/{stack.devices[-1].kernel}/queue/dma_alignment"]).stdout)
    assert least >= 4095, f"buffers are said to need an alignment of {least + 1} bytes, and sectors have 4096"


# Options that are no defaults, in the order in which the kernel tells them (crypt_status, dm_integrity_status).
ASKED = {
    "linear": "0 1000 linear {disk} 8",
    "crypt": f"0 65536 crypt aes-cbc-essiv:sha256 {KEY} 8 {{disk}} 16 6 allow_discards same_cpu_crypt "
             "submit_from_crypt_cpus no_read_workqueue no_write_workqueue sector_size:4096",
    "vectors": f"0 65536 crypt aes-xts-plain64 {KEY} 24 {{disk}} 0 2 sector_size:4096 iv_large_sectors",
    "journal": "0 65536 integrity {disk} 8 4 J 5 block_size:2048 interleave_sectors:1024 buffer_sectors:64 "
               "commit_time:2000 internal_hash:crc32c",
    "bitmap": "0 65536 integrity {disk} 0 8 B 5 block_size:4096 buffer_sectors:32 sectors_per_bit:65536 "
              "bitmap_flush_interval:5000 internal_hash:sha256",
}


@plain
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_a_device_says_what_it_was_made_of(target, asked):
    """Who has only the table makes the same device of it. dm-integrity tells defaults, too, among its options."""
    disk = target.block_device("data")
    number = target.run(["cat", f"/sys/block/{Path(disk).name}/dev"]).stdout.strip()
    made, told = asked.format(disk=disk), asked.format(disk=number).split()
    integrity = told[2] == "integrity"
    if integrity:  # it takes its size from the disk only once it has formatted it
        target.run(["dmsetup", "create", "made", "--table", f"0 8 {made.split(maxsplit=2)[2]}"])
        target.run("dmsetup remove made")
    target.run(["dmsetup", "create", "made", "--table", made])
    said = target.run("dmsetup table --showkeys made && dmsetup remove made").stdout.split()
    if integrity:
        del told[7]  # how many options
        said = [word for word in said if word in told]
    assert said == told, f"the table tells {' '.join(said)}"


@plain
@pytest.mark.stack("data / crypt:sector_size=4096")
def test_requests_are_whole_sectors_whatever_their_size(target, stack, fio):
    """Those of 4096 bytes, though the disk has smaller ones (get_max_request_sectors)."""
    sizes = "/sys/module/dm_crypt/parameters/max_read_size /sys/module/dm_crypt/parameters/max_write_size"
    if target.run(f"ls {sizes}", check=False).status:
        pytest.skip("dm-crypt of this kernel has no limit to its requests (before 6.12)")
    target.run(f"echo 6000 | tee {sizes}")
    fio(stack, duration=0, bs="64K")
    fio(stack, verify_only=True, bs="64K")
