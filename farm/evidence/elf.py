"""Which build of the kernel an ELF file is of: a vmlinux, or a dump of a guest's memory. Pure but for reading."""

import struct
from collections.abc import Iterator
from pathlib import Path

# elf.h: e_ident of a 64-bit little-endian file, PT_NOTE, NT_GNU_BUILD_ID.
_IDENT = b"\x7fELF\x02\x01"
_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_PT_NOTE, _NT_BUILD_ID = 4, 3
_NOTE = struct.Struct("<III")
# Bytes of notes that are looked at, and program headers.
_MOST_NOTES = 1 << 20
_MOST_HEADERS = 4096
# What a kernel tells of itself in a dump (kernel/crash_core.c; Documentation/admin-guide/kdump/vmcoreinfo.rst).
_VMCOREINFO = b"VMCOREINFO"


def build_id(path: Path) -> str:
    """The build id of a vmlinux in hex, "" when it has none.

    Raises OSError, and ValueError when it is no 64-bit ELF file.
    """
    return next((value.hex() for name, kind, value in notes(path) if name == b"GNU" and kind == _NT_BUILD_ID), "")


def vmcoreinfo(path: Path) -> dict[str, str]:
    """What the kernel in a dump says of itself, e.g. BUILD-ID and OSRELEASE; empty when it had said nothing.

    Raises OSError, and ValueError when it is no 64-bit ELF file.
    """
    text = next((value for name, _, value in notes(path) if name == _VMCOREINFO), b"")
    pairs = (line.partition("=") for line in text.rstrip(b"\0").decode("ascii", "replace").splitlines())
    return {name: value for name, mark, value in pairs if mark}


def notes(path: Path) -> Iterator[tuple[bytes, int, bytes]]:
    """Name, type and contents of each note; a file that is cut off ends them. Raises OSError and ValueError."""
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        if not header.startswith(_IDENT) or len(header) < _HEADER.size:
            raise ValueError(f"{path} is no 64-bit ELF file")
        *_, table, _, _, _, size, count, _, _, _ = _HEADER.unpack(header)
        if size != _PROGRAM_HEADER.size:
            return
        file.seek(table)
        headers = file.read(size * min(count, _MOST_HEADERS))
        for at in range(0, len(headers) - size + 1, size):
            kind, _, offset, _, _, length, _, _ = _PROGRAM_HEADER.unpack_from(headers, at)
            if kind == _PT_NOTE:
                file.seek(offset)
                yield from _notes_in(file.read(min(length, _MOST_NOTES)))


def _notes_in(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    at = 0
    while at + _NOTE.size <= len(data):
        name_size, value_size, kind = _NOTE.unpack_from(data, at)
        name_at = at + _NOTE.size
        value_at = name_at + _aligned(name_size)
        if value_at + value_size > len(data):
            return
        yield data[name_at:name_at + name_size].rstrip(b"\0"), kind, data[value_at:value_at + value_size]
        at = value_at + _aligned(value_size)


def _aligned(size: int) -> int:
    return (size + 3) & ~3


def mismatch(dump: Path, vmlinux: Path) -> str:
    """Why this vmlinux does not tell what is in that dump, as a sentence; "" when nothing speaks against it.

    A vmlinux of another build would have its addresses read as if they were the dump's: what comes out is wrong, and
    looks right. Raises OSError.
    """
    try:
        told, built = vmcoreinfo(dump), build_id(vmlinux)
    except ValueError as error:
        return f"{error}."
    dumped = told.get("BUILD-ID", "")
    if not dumped or not built or dumped == built:
        return ""
    release = told.get("OSRELEASE", "")
    return (f"{vmlinux} is of another build ({built[:12]}) than the kernel in {dump}"
            f" ({dumped[:12]}{f', {release}' if release.isprintable() and release else ''}).")
