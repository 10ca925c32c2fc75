"""Where QEMU keeps what of a namespace, and changing it there."""

import pytest

from farm.errors import InfrastructureError, UserError
from farm.guest.disk import Disk, Geometry, make_backing_files
from farm.model import Namespace

MIB = 1 << 20


@pytest.fixture
def namespaces():
    found = (
        Namespace("p", size_mib=1, pi=1, ms=8), Namespace("b", size_mib=1, block=4096, ms=64),
        Namespace("n", size_mib=1))
    return {namespace.serial: namespace for namespace in found}


@pytest.fixture
def disk(namespaces, tmp_path):
    return Disk(namespaces, make_backing_files(namespaces, tmp_path))


@pytest.mark.parametrize(("namespace", "blocks", "size"), [
    (Namespace("n", size_mib=1), 2048, MIB),
    (Namespace("n", size_mib=1, ms=8, pi=1), 2048, MIB + 2048 * 8),
    (Namespace("n", size_mib=256, block=4096, ms=64), 65536, 256 * MIB + 65536 * 64),
])
def test_geometry(namespace, blocks, size):
    geometry = Geometry.of(namespace)
    assert (geometry.blocks, geometry.file_bytes) == (blocks, size)
    # QEMU divides the size of the file by block and metadata together and must get the same number.
    assert geometry.file_bytes // (namespace.block + namespace.ms) == blocks
    assert geometry.metadata_offset == namespace.size_mib * MIB


def test_offsets():
    geometry = Geometry.of(Namespace("n", size_mib=1, block=4096, ms=16))
    assert geometry.offset(0) == 0
    assert geometry.offset(3) == 3 * 4096
    assert geometry.offset(0, "metadata") == MIB
    assert geometry.offset(255, "metadata") == MIB + 255 * 16


@pytest.mark.parametrize(("block", "area", "said"), [
    (2048, "data", "no block 2048"), (-1, "data", "no block -1"), (0, "metadata", "no metadata"),
    (0, "tags", "no area"),
])
def test_places_that_do_not_exist(block, area, said):
    with pytest.raises(UserError, match=said):
        Geometry.of(Namespace("n", size_mib=1)).offset(block, area)


@pytest.mark.parametrize(("serial", "written"), [("n", 0), ("b", 0), ("p", 2048 * 8)])
def test_files_are_sparse_but_for_protection_information(disk, namespaces, serial, written):
    status = disk.file(serial).stat()
    assert status.st_size == Geometry.of(namespaces[serial]).file_bytes
    assert status.st_blocks * 512 == written


def test_blocks_never_written_are_not_checked(disk):
    assert disk.read("p", 0, "metadata") == disk.read("p", 2047, "metadata") == b"\xff" * 8
    assert not any(disk.read("b", 0, "metadata"))


def test_flip_changes_one_bit_and_back(disk):
    disk.flip("p", block=5, byte=3, bit=6)
    assert disk.read("p", 5) == b"\0\0\0\x40" + bytes(508)
    assert not any(disk.read("p", 4) + disk.read("p", 6))
    disk.flip("p", block=5, byte=3, bit=6)
    assert not any(disk.read("p", 5))


def test_flip_in_metadata(disk):
    disk.flip("p", 7, "metadata", byte=7, bit=0)
    assert disk.read("p", 7, "metadata") == b"\xff" * 7 + b"\xfe"
    assert disk.file("p").read_bytes()[MIB + 7 * 8 + 7] == 0xfe


def test_sectors_are_those_of_the_kernels_messages(disk):
    disk.flip("b", sector=11, byte=1)  # third sector of block 1
    assert disk.read("b", 1)[3 * 512 + 1] == 1
    disk.flip("b", sector=11, area="metadata", byte=1)
    assert disk.read("b", 1, "metadata")[1] == 1


@pytest.mark.parametrize("place", [
    {}, {"block": 1, "sector": 1}, {"block": 0, "byte": 512}, {"block": 0, "bit": 8}, {"block": 0, "byte": -1},
    {"block": 0, "area": "metadata", "byte": 8},
])
def test_flip_refuses_places_outside(disk, place):
    with pytest.raises(UserError):
        disk.flip("p", **place)


def test_write(disk):
    disk.write("n", 2, b"hello")
    assert disk.read("n", 2).startswith(b"hello\0")
    with pytest.raises(UserError, match="do not fit"):
        disk.write("n", 2, bytes(513))


def test_unknown_serial_names_the_known(disk):
    with pytest.raises(UserError, match=r"'x'\. It has: p, b, n"):
        disk.flip("x", 0)


def test_missing_file_is_the_hosts_fault(disk):
    disk.file("n").unlink()
    with pytest.raises(InfrastructureError, match="cannot reach the disk n"):
        disk.read("n", 0)


def test_changes_are_remembered_until_they_are_changed_back(disk):
    disk.flip("p", block=5, byte=3)
    disk.flip("n", block=1)
    assert [(change.serial, change.block, change.byte) for change in disk.changes] == [("p", 5, 3), ("n", 1, 0)]
    disk.flip("p", block=5, byte=3)
    assert [change.serial for change in disk.changes] == ["n"]


def test_restore_leaves_alone_what_was_written_over(disk):
    disk.write("n", 0, b"mine")
    disk.flip("n", 0, byte=1)
    disk.flip("n", block=7)
    disk.flip("p", block=1)
    with disk.file("n").open("r+b") as file:  # the guest writes block 7
        file.seek(7 * 512)
        file.write(b"new")
    disk.restore("n")
    assert not any(disk.read("n", 0))
    assert disk.read("n", 7).startswith(b"new")
    assert [change.serial for change in disk.changes] == ["p"]
