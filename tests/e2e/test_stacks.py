"""Every layer with every option on a real guest, in one boot: built, closed, opened, used, corrupted, removed."""

import re
from dataclasses import fields
from hashlib import sha256

import pytest

from farm.deadline import Deadline
from farm.errors import VerificationError
from farm.model import Machine, Namespace
from farm.pressure import Pressure
from farm.stack import LAYERS, Assembly, Base, StackError, parse_stack
from farm.target import Target
from farm.workload import ChurnRunner, FioRunner, StressRunner

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

NAMESPACES = {namespace.serial: namespace for namespace in (
    Namespace("type1", 384, pi=1, ms=8), Namespace("type3", 384, block=4096, pi=3, ms=8), Namespace("plain", 384),
    Namespace("wide", 128, block=4096), Namespace("tagged", 384, block=4096, ms=64),
    Namespace("zoned", 128, block=4096, zone_mib=16),
)}
STACKS = (
    "type1",
    "type1 / partition:start=2049,size=65536 / linear:offset=9,size=8192",
    "type1 / linear:offset=2057 / crypt / xfs",
    "type3 / linear:offset=2056 / crypt:sector_size=4096 / xfs",
    "type1 / linear:offset=2057 / mirror / linear:offset=9",
    "type3 / luks2:integrity=hmac-sha256",
    "plain / partition / swap",
    "plain / integrity / xfs",
    "plain / integrity:mode=bitmap,hash=xxhash64,sector_size=1024",
    "plain / integrity:mode=direct,hash=sha256,sector_size=2048",
    "plain / linear:size=65536 / integrity:sector_size=512,wipe / ext4",
    "plain / crypt:cryptd",
    "plain / crypt:cipher=aes-cbc-plain64,sector_size=1024,cryptd",
    "plain / crypt:cipher=aes-cbc-essiv:sha256,sector_size=2048 / ext4:data=journal",
    "plain / crypt:cipher=capi:cryptd(xts(ecb(aes-generic)))-plain64,sector_size=512",
    "plain / crypt:no_read_workqueue,no_write_workqueue / ext4:data=writeback",
    "plain / linear:size=98304 / luks2:integrity=hmac-sha256,sector_size=512,wipe / ext4",
    "plain / luks2:cipher=aes-cbc-essiv:sha256,sector_size=1024,iterations=2000 / swap",
    "plain / luks2:sector_size=2048,no_read_workqueue,no_write_workqueue",
    "wide / integrity:hash=hmac-sha256,sector_size=4096 / crypt",
    "wide / luks2:integrity=hmac-sha256,sector_size=4096 / swap",
    "wide / luks2:cipher=aes-gcm-random,integrity=aead",
    "wide / luks2:cipher=chacha20-random,integrity=poly1305,key=table",
    "wide / luks2:cipher=aegis128-random,integrity=aead",
    "wide / luks2:cryptd / ext4",
    "wide / luks2:integrity=hmac-sha256,cryptd",
    "wide / luks2:cipher=aes-gcm-random,integrity=aead,cryptd,no_read_workqueue,no_write_workqueue",
    "wide / luks2:cipher=chacha20-random,integrity=poly1305,cryptd",
    "wide / luks2:cipher=aegis128-random,integrity=aead,cryptd",
    "tagged / integrity:mode=inline",
    "tagged / integrity:mode=inline,hash=hmac-sha256 / xfs",
    "zoned / linear:offset=32768 / crypt",
    "zoned / luks2:header=detached",
)
# What only a broken stack makes the kernel say: reading blocks that nobody wrote, or worse.
COMPLAINTS = re.compile(r"Checksum failed|AEAD ERROR|protection error|Check Error|I/O error|corrupt", re.IGNORECASE)


@pytest.fixture(scope="module")
def guest(bzimage, guest_image, accelerated, tmp_path_factory):
    machine = Machine(cpus=2, memory_mib=768, namespaces=tuple(NAMESPACES.values()))
    with Target(kernel=bzimage, image=guest_image, acceleration=accelerated, machine=machine,
                directory=tmp_path_factory.mktemp("stacks")) as target:
        target.start()
        yield target


@pytest.fixture
def assembly(guest):
    """Makes assemblies; they are removed after the test, and nothing of them may be left."""
    made = []

    def make(text, seed=3):
        stack = parse_stack(text)
        base = Base(NAMESPACES[stack.serial], guest.block_device(stack.serial))
        made.append(Assembly(guest, stack, base, seed=seed, pace=guest.pace, disk=guest.disk))
        return made[-1]

    yield make
    for one in made:
        one.remove()
    ask = "dmsetup ls; tail -n +2 /proc/swaps; ls /mnt; ls /run/farm 2>&1 | grep -v ^workload; ls /dev/nvme*p1"
    assert guest.run(ask, check=False).stdout == "No devices found\n"


@pytest.fixture
def options(guest):
    return {"seed": 11, "duration": 0, "pace": guest.pace}


def said_since(guest, mark):
    return guest.console_log.read_bytes()[mark:].decode(errors="replace")


@pytest.mark.parametrize("text", STACKS)
def test_builds_closes_opens_and_leaves_nothing(guest, assembly, text):
    mark = guest.console_log.stat().st_size
    stack = assembly(text)
    stack.build()
    assert guest.run(["test", "-b", stack.device]).status == 0
    if stack.mountpoint:
        guest.run(f"echo kept >{stack.mountpoint}/file")
    stack.reopen()
    if stack.mountpoint:
        assert guest.run(["cat", f"{stack.mountpoint}/file"]).stdout == "kept\n"
    names = {device.layer for device in stack.devices}
    middle = {layer.name for layer in stack.plan.layers if not layer.layer.top}
    assert names == {stack.stack.serial} | middle
    stack.remove()
    assert not COMPLAINTS.findall(said_since(guest, mark))


def test_every_option_of_every_layer_is_among_them():
    used = [layer for text in STACKS for layer in parse_stack(text).layers]
    for cls in LAYERS.classes:
        for item in fields(cls):
            form = item.metadata["value"]
            seen = {getattr(layer, item.name) for layer in used if isinstance(layer, cls)}
            if form.type == "flag":
                assert seen == {True, False}, (cls.kind, item.name)
            elif form.choices:
                assert {str(value) for value in seen} == set(form.choices), (cls.kind, item.name)
            else:
                assert seen - {item.default}, (cls.kind, item.name)


def test_a_failing_middle_step_takes_the_lower_ones_down(guest, assembly):
    stack = assembly("plain / linear / crypt / ext4")
    guest.run(["dmsetup", "create", stack.stack.name(1), "--notable"])
    with pytest.raises(StackError, match=r"farm-plain-2-crypt: `cryptsetup open .* ended with status"):
        stack.build()
    assert "linear" not in guest.run(["dmsetup", "ls"]).stdout
    guest.run(["dmsetup", "remove", stack.stack.name(1)], check=False)


AT = 6 << 20
# Where things are changed in the metadata of a block: guard 0-1, application tag 2-3, reference tag 4-7.
IN_METADATA = {"guard": 0, "reference": 7}
# Stack, what is changed beneath it, and who must say so about which sector of which device.
REPORTERS = (
    ("type1 / linear:offset=2057", "data", r"nvme\w+: Read\(0x2\) @ LBA 14345, .*Guard Check Error"),
    ("type1 / crypt", "guard", r"nvme\w+: Read\(0x2\) @ LBA 12288, .*Guard Check Error"),
    ("type1", "reference", r"nvme\w+: Read\(0x2\) @ LBA 12288, .*Reference Tag Check Error"),
    ("type3", "guard", r"nvme\w+: Read\(0x2\) @ LBA 1536, .*Guard Check Error"),
    ("type3 / luks2:integrity=hmac-sha256", "data", r"nvme\w+: Read\(0x2\) @ LBA \d+, .*Guard Check Error"),
    ("plain / integrity", "data", "integrity: dm-0: Checksum failed at sector 0x3000"),
    ("plain / integrity", "tag", "integrity: dm-0: Checksum failed at sector 0x3000"),
    ("plain / integrity:mode=bitmap", "data", "integrity: dm-0: Checksum failed at sector 0x3000"),
    ("plain / integrity:mode=direct,hash=hmac-sha256", "tag", "integrity: dm-0: Checksum failed at sector 0x3000"),
    ("tagged / integrity:mode=inline", "data", r"integrity: nvme\w+: Checksum failed at sector 0x3000"),
    ("wide / luks2:integrity=hmac-sha256", "data", r"crypt: dm-\d: INTEGRITY AEAD ERROR, sector 12288"),
    ("wide / luks2:integrity=hmac-sha256", "tag", r"crypt: dm-\d: INTEGRITY AEAD ERROR, sector 12288"),
    ("wide / luks2:cipher=aes-gcm-random,integrity=aead", "tag", r"crypt: dm-\d: INTEGRITY AEAD ERROR, sector 12288"),
    ("wide / luks2:cipher=chacha20-random,integrity=poly1305", "data",
     r"crypt: dm-\d: INTEGRITY AEAD ERROR, sector 12288"),
    ("wide / luks2:cipher=aegis128-random,integrity=aead", "data", r"crypt: dm-\d: INTEGRITY AEAD ERROR, sector 12288"),
)


@pytest.mark.parametrize("row", REPORTERS, ids=[f"{row[0]}: {row[1]}" for row in REPORTERS])
def test_a_changed_block_is_reported_by_its_layer_at_its_sector(guest, assembly, options, row):
    text, what, report = row
    stack = assembly(text)
    stack.build()
    fio = FioRunner(guest, **options)
    fio(stack, size="8M")
    spot = stack.sector_of(AT, tag=what == "tag")
    where = {"sector": spot.sector, "byte": spot.byte}
    if what in IN_METADATA:
        where = {"sector": spot.sector, "area": "metadata", "byte": IN_METADATA[what]}
    stack.close()
    mark = guest.console_log.stat().st_size
    guest.disk.flip(stack.stack.serial, **where)
    try:
        stack.open()
        result = fio(stack, size="8M", verify_only=True, check=False)
    finally:
        guest.disk.flip(stack.stack.serial, **where)
    assert [(one.errno, one.offset) for one in result.errors] == [("EILSEQ", AT)]
    assert not result.verify_errors
    assert re.search(report, said_since(guest, mark))


@pytest.mark.parametrize("text", [
    "plain / linear:offset=9 / crypt:cipher=capi:cbc(aes)-benbi",
    "wide / luks2:cipher=aes-gcm-random,integrity=aead,key=table",
])
def test_somebody_else_deciphers_what_is_stored(guest, assembly, text):
    stack = assembly(text)
    stack.build()
    guest.run(f"dd if=/dev/urandom of={stack.device} bs=64K count=1 seek={AT >> 16} oflag=direct status=none")
    found = guest.run(f"dd if={stack.device} bs=64K count=1 skip={AT >> 16} iflag=direct status=none | sha256sum")
    assert found.stdout.split()[0] == sha256(stack.deciphered(AT, 1 << 16)).hexdigest()
    stack.corrupt(AT)
    # What is authenticated is left out, all else comes out as something else.
    other = stack.deciphered(AT, 1 << 16)
    assert len(other) == ((1 << 16) - 4096 if "aead" in text else 1 << 16)
    assert found.stdout.split()[0] != sha256(other).hexdigest()
    stack.restore()


@pytest.mark.parametrize("text", ["plain / integrity", "tagged / integrity:mode=inline,hash=hmac-sha256"])
def test_somebody_else_computes_the_tags(guest, assembly, text):
    stack = assembly(text)
    stack.build()
    guest.run(f"dd if=/dev/urandom of={stack.device} bs=64K count=1 seek={AT >> 16} oflag=direct status=none")
    stored, computed = stack.tags(AT, 1 << 16)
    assert stored == computed
    stack.corrupt(AT)
    changed, recomputed = stack.tags(AT, 1 << 16)
    assert changed == stored
    assert recomputed != computed
    stack.restore()


@pytest.mark.parametrize("text", ["plain / crypt", "plain / crypt / ext4"])
def test_without_integrity_only_the_workload_can_know(guest, assembly, options, text):
    stack = assembly(text)
    stack.build()
    fio = FioRunner(guest, **options)
    fio(stack, size="8M")
    spot = stack.sector_of(AT, file="farm-fio.data" if stack.mountpoint else "")
    stack.close()
    guest.disk.flip("plain", sector=spot.sector)
    stack.open()
    with pytest.raises(VerificationError) as caught:
        fio(stack, size="8M", verify_only=True)
    assert {(one.layer, one.sector) for one in caught.value.reports} == {("fio-verify", AT // 512)}


def test_reads_of_zones_find_a_changed_block(guest, assembly, options):
    stack = assembly("zoned / crypt")
    stack.build()
    fio = FioRunner(guest, **options)
    fio(stack, bs="64K", size="16M")
    spot = stack.sector_of(AT)
    stack.close()
    guest.disk.flip("zoned", sector=spot.sector)
    stack.open()
    with pytest.raises(VerificationError, match=rf"at byte {AT}:"):
        fio(stack, bs="64K", size="16M", verify_only=True)


def test_workloads_count_their_io(guest, assembly, options):
    stack = assembly("plain / ext4")
    stack.build()
    counts = {}
    for runner, kind, asked in ((FioRunner, "fio", {"size": "2M", "fsync": 64}), (ChurnRunner, "churn", {}),
                                (StressRunner, "stress", {"stressor": "hdd", "bytes": "8M"})):
        seen = counts.setdefault(kind, [])
        result = runner(guest, **{**options, "duration": 2}, watch=lambda _, seen=seen: _Noting(seen))(stack, **asked)
        assert result.ok
        assert result.ios > 0
        assert seen == sorted(seen)
        assert seen[-1] > seen[0]


class _Noting:
    def __init__(self, seen):
        self._seen = seen

    def __enter__(self):
        return self._seen.append

    def __exit__(self, *_):
        return None


def test_memory_is_held_at_the_mark_and_given_back(guest):
    def available():
        return int(guest.run("grep MemAvailable /proc/meminfo").stdout.split()[1]) >> 10

    def qmp(command, arguments, deadline):
        return guest.qmp.execute(command, arguments, deadline=deadline)

    pressure = Pressure(guest, qmp, memory_bytes=768 << 20, pace=guest.pace)
    before = available()
    for text in ("keep-free:free=96M", "keep-free:free=96M,fixed"):
        with pressure(text):
            for _ in range(3):
                assert 84 <= available() <= 108
                Deadline(5).sleep(0.7)
        assert available() > before - 40
    with pressure("balloon:memory=512M"):
        assert available() < before - 200
    assert available() > before - 40
