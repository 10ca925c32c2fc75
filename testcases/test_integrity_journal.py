"""The journal of dm-integrity: it has the newest of several versions, is signed and ciphered, and empty once closed."""

import pytest

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


@pytest.mark.namespace("data", size="64M")
@pytest.mark.parametrize("elsewhere", ["disk", "journal"])
@pytest.mark.parametrize((), [
    pytest.param(marks=pytest.mark.stack("data / integrity"), id="integrity"),
    pytest.param(marks=pytest.mark.stack("data / luks2:integrity=hmac-sha256"), id="tags")])
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
    fio(stack, duration=0, size="1M", bs="4K")
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
