"""Real guests that work: boot, ssh, and every kind of namespace."""

import socket
from dataclasses import replace

import pytest

from farm.deadline import Deadline
from farm.errors import InfrastructureError, UserError
from farm.model import Machine, Namespace
from farm.target import State, Target
from tests.e2e.conftest import BOOTS
from tests.unit.host.owners import lives

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# Namespace -> what Linux says of it: integrity format, bytes of metadata, logical block size, zones.
SHAPES = {
    Namespace("plain512"): ("none", 0, 512, "none"),
    Namespace("plain4096", block=4096): ("none", 0, 4096, "none"),
    Namespace("type1-512", pi=1, ms=8): ("T10-DIF-TYPE1-CRC", 8, 512, "none"),
    Namespace("type2-512-first", pi=2, ms=16, pi_first=True): ("T10-DIF-TYPE1-CRC", 16, 512, "none"),
    Namespace("type3-4096", block=4096, pi=3, ms=8): ("T10-DIF-TYPE3-CRC", 8, 4096, "none"),
    Namespace("type1-ms64", pi=1, ms=64): ("T10-DIF-TYPE1-CRC", 64, 512, "none"),
    Namespace("guard64", block=4096, pi=1, ms=16, guard=64): ("EXT-DIF-TYPE1-CRC64", 16, 4096, "none"),
    Namespace("guard64-t3", block=4096, pi=3, ms=64, guard=64): ("EXT-DIF-TYPE3-CRC64", 64, 4096, "none"),
    Namespace("metadata", block=4096, ms=64): ("nop", 64, 4096, "none"),
    Namespace("zoned", block=4096, zone_mib=16): ("none", 0, 4096, "host-managed"),
    Namespace("zoned-pi", pi=1, ms=8, zone_mib=16): ("T10-DIF-TYPE1-CRC", 8, 512, "host-managed"),
}
SHAPES_BY_SERIAL = {namespace.serial: namespace for namespace in SHAPES}


@pytest.fixture(scope="module")
def shapes(bzimage, guest_image, accelerated, tmp_path_factory):
    """One guest with all shapes of namespaces, for tests that leave it as it was."""
    machine = Machine(cpus=2, memory_mib=512, namespaces=tuple(SHAPES))
    directory = tmp_path_factory.mktemp("shapes")
    with Target(kernel=bzimage, image=guest_image, machine=machine, acceleration=accelerated,
                directory=directory) as target:
        target.start()
        yield target


def read(target, serial, name):
    return target.run(["cat", f"/sys/block/{target.block_device(serial)[5:]}/{name}"]).stdout.strip()


# -- a guest that works

def test_boot_run_and_stop(boot):
    target = boot()
    assert target.state is State.READY
    assert 0 < target.boot_seconds < target.ssh_seconds
    assert target.run(["uname", "-s"]).stdout == "Linux\n"
    assert target.console_log.read_bytes().count(b"Linux version") == 1
    pid = target.pid
    target.stop()
    assert target.state is State.OFF
    assert not lives(pid)


def test_everything_is_written_down(shapes):
    shapes.run("echo out; exit 3", check=False)
    assert (shapes.directory / "qemu.txt").read_text().splitlines()[0] == "qemu-system-x86_64"
    assert '"status": 3' in (shapes.directory / "commands.jsonl").read_text().splitlines()[-1]


def test_the_guest_reaches_nothing_outside(shapes):
    with socket.create_server(("127.0.0.1", 0)) as listener:  # 10.0.2.2 would be this host's loopback
        port = listener.getsockname()[1]
        tried = shapes.run(["timeout", "5", "bash", "-c", f"exec 3<>/dev/tcp/10.0.2.2/{port}"], check=False)
        assert tried.status != 0
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_the_image_is_never_written_to(boot, guest_image):
    before = guest_image.path.stat().st_mtime_ns
    first = boot()
    first.run("echo here >/root/mark && sync")
    second = boot()
    assert second.run("cat /root/mark", check=False).status == 1
    assert guest_image.path.stat().st_mtime_ns == before


def test_a_power_cycle_keeps_the_disks(boot):
    target = boot(replace(BOOTS, namespaces=(Namespace("data", size_mib=16),)))
    target.run(f"printf kept | dd of={target.block_device('data')} bs=512 seek=9 conv=sync oflag=direct")
    target.stop()
    target.start()
    assert target.disk.read("data", 9).startswith(b"kept\0")
    device = target.block_device("data")
    assert target.run(f"dd if={device} bs=512 skip=9 count=1 iflag=direct | head -c 4").stdout == "kept"
    assert target.console_log.read_bytes().count(b"Linux version") == 2


def test_unexpected_starts_are_refused(shapes):
    with pytest.raises(InfrastructureError, match="ready cannot be started"):
        shapes.start()


def test_a_target_that_is_off_has_no_guest(make):
    with pytest.raises(InfrastructureError, match="the target is off"):
        make().run(["true"])


def test_qmp(shapes):
    assert shapes.qmp.execute("query-status", deadline=Deadline(5))["status"] == "running"


# -- namespaces

@pytest.mark.parametrize("namespace", SHAPES, ids=lambda namespace: namespace.serial)
def test_shape(shapes, namespace):
    integrity, metadata, block, zoned = SHAPES[namespace]
    assert read(shapes, namespace.serial, "integrity/format") == integrity
    assert int(read(shapes, namespace.serial, "metadata_bytes")) == metadata
    assert int(read(shapes, namespace.serial, "queue/logical_block_size")) == block
    assert read(shapes, namespace.serial, "queue/zoned") == zoned
    assert int(read(shapes, namespace.serial, "size")) * 512 == namespace.size_mib << 20


@pytest.mark.parametrize("serial", [namespace.serial for namespace in SHAPES if not namespace.zone_mib])
def test_geometry(shapes, serial):
    """What the guest writes to a block is where `disk` says it is, and its metadata belongs to that block."""
    geometry = shapes.disk.geometry(serial)
    device = shapes.block_device(serial)
    last = geometry.blocks - 1
    shapes.run(f"yes {serial} | head -c {geometry.block} | "
               f"dd of={device} bs={geometry.block} seek={last} iflag=fullblock oflag=direct")
    assert shapes.disk.read(serial, last).startswith(f"{serial}\n{serial}\n".encode())
    if SHAPES_BY_SERIAL[serial].pi:  # all ones until the block is written
        assert shapes.disk.read(serial, last, "metadata") != b"\xff" * geometry.ms
        assert shapes.disk.read(serial, last - 1, "metadata") == b"\xff" * geometry.ms


PROTECTED = [namespace.serial for namespace in SHAPES if namespace.pi and not namespace.zone_mib]


@pytest.mark.parametrize("area", ["data", "metadata"])
@pytest.mark.parametrize("serial", PROTECTED)
def test_a_flipped_bit_fails_the_read_of_its_block_only(shapes, serial, area):
    geometry = shapes.disk.geometry(serial)
    device = shapes.block_device(serial)
    namespace = SHAPES_BY_SERIAL[serial]
    shapes.run(f"dd if=/dev/urandom of={device} bs={geometry.block} count=8 iflag=fullblock oflag=direct")

    def status(block):
        return shapes.run(["dd", f"if={device}", "of=/dev/null", f"bs={geometry.block}", f"skip={block}", "count=1",
                           "iflag=direct"], check=False)

    # The guard is the first of the protection information's bytes, which is at the metadata's begin or end.
    tuple_bytes = 16 if namespace.guard == 64 else 8
    guard = 0 if namespace.pi_first else geometry.ms - tuple_bytes
    shapes.disk.flip(serial, 5, area, byte=guard if area == "metadata" else 77, bit=3)
    assert [block for block in range(8) if status(block).status] == [5]
    assert "multibyte" in status(5).stderr  # EILSEQ: BLK_STS_PROTECTION (block/blk-core.c, blk_errors)
    shapes.disk.flip(serial, 5, area, byte=guard if area == "metadata" else 77, bit=3)
    assert status(5).status == 0


def test_an_unprotected_namespace_reads_flipped_data_without_a_word(shapes):
    device = shapes.block_device("plain512")
    shapes.run(f"dd if=/dev/zero of={device} bs=512 count=8 oflag=direct")
    shapes.disk.flip("plain512", 5, bit=0)
    assert shapes.run(f"dd if={device} bs=512 skip=5 count=1 iflag=direct | xxd -p -l 1").stdout == "01\n"


def test_a_serial_that_the_machine_does_not_have(shapes):
    with pytest.raises(UserError, match="no namespace with the serial 'nope'"):
        shapes.block_device("nope")
