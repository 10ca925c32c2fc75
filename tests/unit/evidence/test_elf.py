"""Which build an ELF file is of, on small files of the same shape as a vmlinux and as QEMU's dumps."""

import struct
from pathlib import Path

import pytest

from farm.evidence.elf import build_id, mismatch, notes, vmcoreinfo

ID, OTHER = bytes(range(20)), bytes(range(1, 21))
SAID = b"OSRELEASE=6.12.1\nBUILD-ID=" + ID.hex().encode() + b"\nPAGESIZE=4096\n"


def note(name: bytes, kind: int, value: bytes) -> bytes:
    name += b"\0"
    return (struct.pack("<III", len(name), len(value), kind) + name.ljust(-len(name) % 4 + len(name), b"\0")
            + value.ljust(-len(value) % 4 + len(value), b"\0"))


def elf(path: Path, *contents: bytes) -> Path:
    """An ELF file with one segment of notes for each content, behind one that is loaded."""
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    segments = [(1, b"code"), *((4, content) for content in contents)]
    at, table, data = 64 + 56 * len(segments), b"", b""
    for kind, content in segments:
        table += struct.pack("<IIQQQQQQ", kind, 0, at + len(data), 0, 0, len(content), len(content), 4)
        data += content
    path.write_bytes(header + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 64, 0, 0)
                     + table + data)
    return path


def vmlinux(path: Path, value: bytes = ID) -> Path:
    return elf(path, note(b"Linux", 256, b"\x01\0\0\0") + note(b"GNU", 3, value))


def vmcore(path: Path, text: bytes | None = SAID) -> Path:
    cpus = note(b"CORE", 1, bytes(336)) * 2
    return elf(path, cpus + (note(b"VMCOREINFO", 0, text) if text is not None else b""))


def test_what_they_say(tmp_path: Path) -> None:
    assert build_id(vmlinux(tmp_path / "vmlinux")) == ID.hex()
    assert vmcoreinfo(vmcore(tmp_path / "vmcore")) == {
        "OSRELEASE": "6.12.1", "BUILD-ID": ID.hex(), "PAGESIZE": "4096"}
    assert mismatch(tmp_path / "vmcore", tmp_path / "vmlinux") == ""


def test_a_vmlinux_of_another_build_is_named(tmp_path: Path) -> None:
    said = mismatch(vmcore(tmp_path / "vmcore"), vmlinux(tmp_path / "vmlinux", OTHER))
    assert said == (f"{tmp_path}/vmlinux is of another build ({OTHER.hex()[:12]}) than the kernel in {tmp_path}/vmcore "
                    f"({ID.hex()[:12]}, 6.12.1).")


@pytest.mark.parametrize("text", [None, b"", b"OSRELEASE=6.12.1\n", b"\xff\0BUILD-ID"])
def test_a_kernel_that_does_not_say_its_build_is_tried(tmp_path: Path, text: bytes | None) -> None:
    assert mismatch(vmcore(tmp_path / "vmcore", text), vmlinux(tmp_path / "vmlinux", OTHER)) == ""


def test_a_release_out_of_the_guest_controls_no_terminal(tmp_path: Path) -> None:
    dump = vmcore(tmp_path / "vmcore", b"OSRELEASE=\x1b[2J\nBUILD-ID=" + ID.hex().encode())
    assert "\x1b" not in mismatch(dump, vmlinux(tmp_path / "vmlinux", OTHER))


def test_what_is_no_elf_file(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(b"bzImage")
    assert mismatch(vmcore(tmp_path / "vmcore"), tmp_path / "vmlinux") == f"{tmp_path}/vmlinux is no 64-bit ELF file."


def test_a_file_that_is_cut_off_anywhere_has_fewer_notes(tmp_path: Path) -> None:
    whole = vmcore(tmp_path / "vmcore").read_bytes()
    for size in range(64, len(whole), 7):
        (tmp_path / "vmcore").write_bytes(whole[:size])
        assert len(list(notes(tmp_path / "vmcore"))) <= 3
