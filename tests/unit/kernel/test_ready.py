"""A ready kernel image."""

import hashlib
import struct
from pathlib import Path

import pytest

from farm.errors import UserError
from farm.kernel import ready_image


def image(version: bytes = b"6.9.0-mine (me@here) #1 SMP") -> bytes:
    """The start of a bzImage as Documentation/arch/x86/boot.rst describes it."""
    header = bytearray(0x400)
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", header, 0x20E, 0x100)
    header[0x300:0x300 + len(version)] = version
    return bytes(header)


def test_release_and_digest_come_from_the_image(tmp_path: Path) -> None:
    path = tmp_path / "bzImage"
    path.write_bytes(image())
    kernel = ready_image(path)
    assert kernel.id.release == "6.9.0-mine"
    assert kernel.id.source == "image:" + hashlib.sha256(image()).hexdigest()
    assert (kernel.image, kernel.config) == (path, None)


def test_an_image_without_a_version_string(tmp_path: Path) -> None:
    path = tmp_path / "bzImage"
    path.write_bytes(image()[:0x20E] + b"\0\0" + image()[0x210:])
    assert ready_image(path).id.release == ""


@pytest.mark.parametrize("said", [b"$(touch${IFS}x)", b"`reboot`", b"6.\xc2\xb2", b"\x1b]0;x\x07", b"6" * 100, b"a\"b"])
def test_what_no_kernel_calls_itself_is_no_release(tmp_path: Path, said: bytes) -> None:
    path = tmp_path / "bzImage"
    path.write_bytes(image(said + b" (me@here) #1 SMP"))
    assert ready_image(path).id.release == ""


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is no bzImage"), (bytes(0x202) + b"HdrS", "is no bzImage"),
    (b"\x7fELF" + bytes(1000), "instead of vmlinux"), (b"x" * 1000, "no x86 boot header")])
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        ready_image(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        ready_image(tmp_path / "gone")
