"""A kernel image that somebody else built."""

import hashlib
import re
import struct
from pathlib import Path

from farm.errors import UserError
from farm.kernel.values import Kernel
from farm.model import KernelId

# Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header": magic at 0x202, and at 0x20e the offset of the
# version string, less 0x200.
_MAGIC_AT, _MAGIC = 0x202, b"HdrS"
_VERSION_AT, _VERSION_BASE = 0x20E, 0x200
# A release as the kernel's own makefile allows it, at most 64 characters; whoever made the image wrote this.
_RELEASE = re.compile(rb"\s*([A-Za-z0-9][A-Za-z0-9._+~-]{0,63})(?:\s|\Z)")


def ready_image(path: Path) -> Kernel:
    """The kernel in a bzImage. Raises UserError when the file is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"--kernel-image {path}: {error.strerror}.") from error
    if data[_MAGIC_AT:_MAGIC_AT + 4] != _MAGIC or len(data) < _VERSION_AT + 2:
        hint = " It is an ELF file: name arch/x86/boot/bzImage instead of vmlinux." if data[:4] == b"\x7fELF" else ""
        raise UserError(f"--kernel-image {path} is no bzImage: it has no x86 boot header.{hint}")
    digest = hashlib.sha256(data).hexdigest()
    identity = KernelId(source=f"image:{digest}", release=release_of(data), flavor="image", build=digest)
    return Kernel(id=identity, image=path.absolute())


def release_of(data: bytes) -> str:
    """The release in a bzImage's version string, e.g. `6.12.117-farm`; "" when there is none."""
    (offset,) = struct.unpack_from("<H", data, _VERSION_AT)
    if offset == 0:
        return ""
    text = data[offset + _VERSION_BASE:offset + _VERSION_BASE + 512].split(b"\0")[0]
    match = _RELEASE.match(text)
    return match[1].decode() if match else ""
