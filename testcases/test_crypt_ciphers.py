"""Report 000: dm-crypt's ciphers, synchronous and through cryptd, on buffers that begin anywhere in a page."""

from hashlib import sha256
from pathlib import Path

import pytest

plain = pytest.mark.namespace("data", size="64M")
big_blocks = pytest.mark.namespace("data", block=4096)


# Vectors count sectors of 4096 bytes, from a large number on.
LARGE = r"""
dmsetup table --showkeys "$1" |
  sed -E "s/ 0 (\S+ \S+) 1 sector_size:4096$/ $2 \1 2 sector_size:4096 iv_large_sectors/" | dmsetup reload "$1" &&
  dmsetup resume "$1" && dmsetup table "$1" | grep -q " $2 .* iv_large_sectors"
"""


def stacks(*written):
    return [pytest.param(marks=pytest.mark.stack(f"data / {text}"), id=text.replace(" ", "")) for text in written]


@pytest.fixture
def stored_as_ever(target, stack, fio):
    """`stored_as_ever()`: writes, and has somebody else decipher what dm-crypt stored for it."""
    def compare():
        size = 8 << 20
        fio(stack, duration=0, size=size)
        for offset in (0, 3 << 12, size - (1 << 16)):
            read = f"dd if={stack.device} iflag=direct bs=4K skip={offset >> 12} count=16 status=none | sha256sum"
            found = target.run(["bash", "-c", f"set -o pipefail; {read}"]).stdout.split()[0]
            same = found == sha256(stack.deciphered(offset, 1 << 16)).hexdigest()
            assert same, f"nobody else can decipher what dm-crypt stored for byte {offset}"

    return compare


@plain
@pytest.mark.parametrize((), stacks(
    "crypt", "crypt:cipher=aes-cbc-essiv:sha256", "crypt:cryptd", "crypt:cipher=aes-cbc-plain64,cryptd"))
def test_unaligned_buffers(stack, fio):
    """Blocks of three sectors: most buffers begin within a page, and some cross into the next one."""
    fio(stack, rw="randwrite", bs="1536", size="3M")
    stack.reopen()
    fio(stack, bs="1536", size="3M", verify_only=True)


@big_blocks
@pytest.mark.parametrize((), stacks(
    "luks2:cipher=aes-gcm-random,integrity=aead", "luks2:integrity=hmac-sha256",
    "luks2:cipher=aes-cbc-essiv:sha256,integrity=hmac-sha256", "luks2:cipher=chacha20-random,integrity=poly1305",
    "luks2:cipher=aegis128-random,integrity=aead", "luks2:cipher=aes-gcm-random,integrity=aead,cryptd",
    "luks2:integrity=hmac-sha256,cryptd,no_read_workqueue,no_write_workqueue"))
def test_authenticated(stack, fio):
    """Sector number and vector are the associated data: two pieces of memory, never one."""
    fio(stack, rw="randwrite", bs="16K")
    stack.reopen()
    fio(stack, bs="16K", verify_only=True)


@pytest.mark.machine(append=("cryptd.cryptd_max_cpu_qlen=8",))
@plain
@pytest.mark.stack("data / crypt:cryptd")
def test_a_full_queue(target, stack, fio):
    """Requests of 128 sectors for a queue of eight: most of them wait in cryptd's backlog, each with its own vector."""
    fio(stack, rw="randwrite", bs="64K", iodepth=16)
    stack.reopen()
    fio(stack, bs="64K", verify_only=True)


@pytest.mark.machine(append=("cryptd.cryptd_max_cpu_qlen=8",))
@big_blocks
@pytest.mark.stack("data / luks2:cipher=aes-gcm-random,integrity=aead,wipe,cryptd")
def test_a_full_queue_of_authenticated(stack, fio):
    """Who waits in the backlog hears twice of it: -EINPROGRESS is no end, nor is it to be kept from dm-crypt.

    Not with hmac-sha256: there Linux 6.1 keeps it (crypto/authenc.c), and dm-crypt waits for ever.
    """
    fio(stack, rw="randwrite", bs="64K", iodepth=16)
    stack.reopen()
    fio(stack, bs="64K", verify_only=True)


@plain
@pytest.mark.parametrize((), stacks(
    "crypt", "crypt:sector_size=4096", "linear:offset=2057 / crypt", "crypt:cipher=aes-cbc-essiv:sha256",
    "crypt:cipher=aes-cbc-plain64", "crypt:cryptd,no_read_workqueue,no_write_workqueue",
    "crypt:cipher=capi:xts(aes)-plain64be", "crypt:cipher=capi:cbc(aes)-benbi"))
def test_others_can_decipher_it(stored_as_ever):
    """What this kernel writes and reads alike may still be lost to every other one: a wrong vector, or a wrong key."""
    stored_as_ever()


@plain
@pytest.mark.stack("data / crypt:sector_size=4096")
@pytest.mark.parametrize("offset", [8, (1 << 36) + 8])
def test_others_can_decipher_large_sectors(target, stack, stored_as_ever, offset):
    target.run(["bash", "-c", LARGE, "bash", Path(stack.device).name, str(offset)])
    stored_as_ever()


@plain
@pytest.mark.parametrize((), stacks(
    "luks2:cipher=aes-gcm-random,integrity=aead,key=table", "luks2:integrity=hmac-sha256,key=table",
    "luks2:integrity=hmac-sha256,key=table,sector_size=4096",
    "luks2:cipher=aes-cbc-essiv:sha256,integrity=hmac-sha256,key=table",
    "luks2:cipher=chacha20-random,integrity=poly1305,key=table"))
def test_others_can_decipher_and_authenticate_it(stored_as_ever):
    """The tag covers sector and vector: what this kernel leaves out of it, it does not miss."""
    stored_as_ever()
