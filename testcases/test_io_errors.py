"""An error of the disk is told to who reads or writes there, and to nobody else: swallowed, it is lost data."""

import pytest

BENEATH = "farm-data-1-linear"
# A block of 4096 bytes; neither a beginning nor an end of anything.
BLOCK = 105
FILLED = {"size": "1M", "bs": "64K", "duration": 0}
# $1: the device beneath; $2: its first sector that fails, of eight.
FAIL = r"""
read -r _ size _ device start <<<"$(dmsetup table "$1")"
after=$(($2 + 8))
printf '%s\n' "0 $2 linear $device $start" "$2 8 error" \
  "$after $((size - after)) linear $device $((start + after))" | dmsetup reload "$1" && dmsetup resume "$1"
"""
READ = 'dd if="$1" of=/dev/null bs="$2" skip="$3" count=1 iflag=direct,skip_bytes'
WRITE = 'dd if=/dev/zero of="$1" bs="$2" seek="$3" count=1 oflag=direct,seek_bytes conv=notrunc'
# Of the failing block; a bio that is cut into many with it in the middle; its neighbours.
SIZE = 4096
WIDE = 256 << 10
TOLD = {SIZE: BLOCK * SIZE, WIDE: BLOCK * SIZE // WIDE * WIDE}


def on(name, layers, **namespace):
    disk = pytest.mark.namespace("data", **{"size": "64M", **namespace})
    return pytest.param(marks=[disk, pytest.mark.stack(f"data / linear / {layers}")], id=name)


@pytest.fixture
def failing(target, stack, fio):
    """`failing(tag=False)`: from now on the disk fails where BLOCK, or its tag, is stored."""
    def fail(*, tag=False):
        fio(stack, **FILLED)
        stack.reopen()  # nothing is read from a journal, or from tags that were kept
        first = stack.sector_of(BLOCK * SIZE, tag=tag).sector
        if tag:  # it lies anywhere in a block of the disk
            first = first // 8 * 8
        target.run(["bash", "-c", FAIL, "bash", BENEATH, str(first)])

    return fail


@pytest.fixture
def status(target, stack):
    """`status(script, size, place)`: whether it failed, and how."""
    def run(script, size, place):
        done = target.run(["bash", "-c", script, "bash", stack.device, str(size), str(place)], check=False)
        return done.status and ("Input/output error" if "Input/output error" in done.stderr else done.stderr)

    return run


@pytest.fixture
def told_there_alone(failing, status):
    """`told_there_alone(script)`: whoever reads or writes the block that fails hears of it, its neighbours do not."""
    def check(script):
        failing()
        for size, place in TOLD.items():
            assert status(script, size, place) == "Input/output error", f"one block of {size} bytes failed untold"
        for block in (BLOCK - 1, BLOCK + 1):
            assert not status(script, SIZE, block * SIZE), "a block beside the one that fails does, too"

    return check


@pytest.mark.parametrize((), [
    on("linear", "linear:offset=8"), on("crypt", "crypt"), on("cryptd", "crypt:cryptd"),
    on("inline", "crypt:no_read_workqueue,no_write_workqueue"), on("direct", "integrity:mode=direct"),
    on("bitmap", "integrity:mode=bitmap"), on("aead", "luks2:integrity=hmac-sha256", block=4096)])
def test_a_read_that_fails(told_there_alone):
    told_there_alone(READ)


@pytest.mark.parametrize((), [
    on("linear", "linear:offset=8"), on("crypt", "crypt"), on("cryptd", "crypt:cryptd"),
    on("inline", "crypt:no_read_workqueue,no_write_workqueue"), on("direct", "integrity:mode=direct")])
def test_a_write_that_fails(told_there_alone):
    told_there_alone(WRITE)


@pytest.mark.parametrize((), [
    on("journal", "integrity"), on("direct", "integrity:mode=direct"),
    on("aead", "luks2:integrity=hmac-sha256", block=4096)])
def test_tags_that_cannot_be_read(failing, status):
    """Nobody has verified what is read then (dm-integrity.c, dm_integrity_rw_tag)."""
    failing(tag=True)
    assert status(READ, SIZE, BLOCK * SIZE) == "Input/output error", "a block was read without its tag"
