"""What a change of the disk looks like from above: which device of a stack may report it, and at which sectors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from farm.guest.disk import Change
from farm.model import Extent, Namespace
from farm.stack.locate import Inline, Mapped, Span, ascend

NAMESPACE = "namespace"
# The part of LUKS2 that keeps the tags (cryptsetup calls it `<name>_dif`); it has no checksums of its own.
TAGS = "tags"
# Kind of device -> the layers of findings that it can be the reporter of.
REPORTERS: Mapping[str, frozenset[str]] = {
    NAMESPACE: frozenset({"pi-guard", "pi-ref", "pi-app", "nvme-status"}),
    "integrity": frozenset({"dm-integrity"}),
    TAGS: frozenset({"dm-integrity"}),
    "luks2": frozenset({"dm-crypt-aead"}),
}
# Sectors of the blocks of a file system: what it checks begins at most so far before the sector that was changed.
_FILE_SYSTEM_UNIT = 8


@dataclass(frozen=True)
class Device:
    """A layer as the kernel's messages name it."""

    # The layer's name, e.g. `farm-data-1-linear`; the serial for the namespace itself.
    layer: str
    kind: str
    # The kernel's name, e.g. `dm-1` or `nvme0n1p1`.
    kernel: str
    # The name of its table, e.g. `farm-data-2-luks2_dif`.
    name: str = ""


@dataclass(frozen=True)
class Found:
    """Where a piece of a file was found on the top device."""

    # Path in the guest.
    path: str
    # Byte in the file, and on the device.
    offset: int
    place: int


def extents(
    change: Change, namespace: Namespace, devices: Sequence[Device], tables: Mapping[str, Mapped], *,
    mountpoint: str = "", files: Sequence[Found] = (), swap: bool = False,
) -> tuple[Extent, ...]:
    """The places at which each layer may report a change; `devices` are the stack's, bottom first.

    On top lies a file system at `mountpoint`, with `files` of which something is known, or `swap`, or nothing.
    """
    begin = change.block * namespace.block
    span = Span(begin + change.byte, len(change.now)) if change.area == "data" else Span(begin, namespace.block)
    bottom, *upper = devices
    spans = ascend([device.name for device in upper], tables, span)
    found = [_extent(bottom.kernel, span.whole(namespace.block // 512), REPORTERS[NAMESPACE])]
    below = bottom
    for device in upper:
        if device.name not in spans:
            return tuple(found)
        reporters = REPORTERS.get(device.kind, frozenset())
        found.append(_extent(device.kernel, spans[device.name], reporters))
        # Who reads again to be sure tells its own sector, but the device beneath: drivers/md/dm-integrity.c,
        # dm_integrity_inline_recheck, and dm-crypt.c, kcryptd_io_read (`aead_recheck`).
        if isinstance(tables[device.name], Inline) or device.kind == "luks2":
            found.append(_extent(below.kernel, spans[device.name], reporters))
        below = device
    if not swap:  # whose pages lie there, nobody knows
        found += _on_top(below, spans.get(below.name, span), mountpoint, files)
    return tuple(found)


def _on_top(top: Device, span: Span, mountpoint: str, files: Sequence[Found]) -> Iterator[Extent]:
    """What the file system, and a workload on top, can notice."""
    verify = frozenset({"fio-verify"})
    if not mountpoint:
        yield from (_extent(name, span.whole(1), verify) for name in {top.kernel, top.name or top.kernel})
        return
    block = span.whole(_FILE_SYSTEM_UNIT)
    yield _extent(top.kernel, block, frozenset({"fs-checksum"}))
    hit = [one for one in files if block.first <= one.place < block.first + block.length]
    yield from (_extent(one.path, Span(one.offset, 1).whole(_FILE_SYSTEM_UNIT), verify) for one in hit)
    if not hit:
        yield Extent(mountpoint, layers=verify)


def _extent(device: str, span: Span, layers: frozenset[str]) -> Extent:
    return Extent(device, span.first // 512, span.whole(1).length // 512, layers)
