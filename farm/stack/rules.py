"""What may lie on what: a table of rules, each with a name and a sentence, applied before anything is booted.

Rules look at a layer and at the ground it would lie on. Kernel behaviours are those of Linux 6.12; each was tried.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from farm.errors import UserError
from farm.model import Namespace
from farm.stack.layers import (
    Crypt,
    Ext4,
    Integrity,
    Layer,
    Linear,
    Luks2,
    Mirror,
    Partition,
    Stack,
    Swap,
    Xfs,
)

# mkfs.xfs 6.1 refuses anything smaller ("Filesystem must be larger than 300MB").
_XFS_LEAST_SECTORS = 300 * 2048
# The halves of a mirror are multiples of this, so that any block size fits.
MIRROR_SECTORS = 8
# Bytes of one tag (crypto/*.c: digestsize of each algorithm).
TAG_BYTES = {"crc32c": 4, "xxhash64": 8, "sha256": 32, "hmac-sha256": 32}
# Ciphers that authenticate by themselves, and what cryptsetup calls that.
AEAD = {"aes-gcm-random": "aead", "chacha20-random": "poly1305", "aegis128-random": "aead"}


@dataclass(frozen=True)
class Ground:
    """What a layer finds beneath it."""

    # Logical block size in bytes.
    block: int
    # Capacity in 512-byte sectors, or None where a tool decides about it.
    sectors: int | None
    # Zone size in 512-byte sectors, 0 for a conventional device.
    zone: int = 0
    # Protection information type and metadata bytes per block that reach this far up.
    pi: int = 0
    ms: int = 0
    # True directly on the namespace.
    bare: bool = True
    # True when blocks that nobody wrote cannot be read.
    unwritten_fails: bool = False
    # The layer that is on top so far, if any.
    beneath: Layer | None = None
    # Kernel release as (major, minor); (0, 0) when it is not known yet.
    kernel: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Rule:
    """One thing that cannot be."""

    name: str
    # Why, in one sentence.
    sentence: str
    # The kinds of layer it is about.
    about: tuple[type[Layer], ...]
    # True when the layer breaks it on this ground.
    broken: Callable[[Layer, Ground], bool]


def _window(layer: Layer) -> tuple[int, int]:
    """First sector and size of a layer that shows a part of what is beneath."""
    if isinstance(layer, Linear):
        return layer.offset, layer.size
    return (layer.start, layer.size) if isinstance(layer, Partition) else (0, 0)


def _unaligned(layer: Layer, ground: Ground) -> bool:
    return any(sectors % (ground.block // 512) for sectors in _window(layer))


def _off_zone(layer: Layer, ground: Ground) -> bool:
    return bool(ground.zone) and any(sectors % ground.zone for sectors in _window(layer))


def _beyond_end(layer: Layer, ground: Ground) -> bool:
    first, size = _window(layer)
    return ground.sectors is not None and first + max(size, 1) > ground.sectors


def _broken_sectors(layer: Layer, ground: Ground) -> bool:
    size = layer.sector_size if isinstance(layer, Crypt | Luks2) else 0
    return bool(size and ground.sectors is not None and ground.sectors % (size // 512))


def _mispaired(layer: Layer, _: Ground) -> bool:
    if not isinstance(layer, Luks2):
        return False
    wanted = AEAD.get(layer.cipher)
    return layer.integrity != wanted if wanted else layer.integrity in AEAD.values()


def _tagged(layer: Layer) -> bool:
    return isinstance(layer, Luks2) and layer.integrity != "none"


def _inline(layer: Layer) -> bool:
    return isinstance(layer, Integrity) and layer.mode == "inline"


def _no_room_inline(layer: Layer, ground: Ground) -> bool:
    if not isinstance(layer, Integrity) or layer.mode != "inline":
        return False
    return ground.ms < TAG_BYTES[layer.hash] or layer.sector_size not in (0, ground.block)


RULES: tuple[Rule, ...] = (
    Rule("top-is-top", "Nothing can lie on a file system or on swap space.",
         (Layer,), lambda _, ground: ground.beneath is not None and ground.beneath.top),
    Rule("partition-on-namespace",
         "A partition lies directly on a namespace: the kernel makes none on device-mapper devices "
         "(GENHD_FL_NO_PART, drivers/md/dm.c:alloc_dev) or inside another partition.",
         (Partition,), lambda _, ground: not ground.bare),
    Rule("partition-on-zones", "The kernel makes no partitions on zoned disks (block/partitions/core.c:add_partition).",
         (Partition,), lambda _, ground: bool(ground.zone)),
    Rule("aligned-to-block", "Offset and size must be whole logical blocks of the device beneath.",
         (Linear, Partition), _unaligned),
    Rule("aligned-to-zone",
         "A window on a zoned device begins and ends at zone boundaries "
         "(drivers/md/dm-table.c:device_area_is_invalid).",
         (Linear,), _off_zone),
    Rule("within-the-device", "Offset and size reach beyond the end of the device beneath.",
         (Linear, Partition), _beyond_end),
    Rule("mirror-on-zones", "dm-mirror does not take zoned devices (its target lacks DM_TARGET_ZONED_HM).",
         (Mirror,), lambda _, ground: bool(ground.zone)),
    Rule("integrity-on-zones", "dm-integrity writes its journal and its tags in place and cannot lie on zones.",
         (Integrity,), lambda _, ground: bool(ground.zone)),
    Rule("luks2-integrity-on-zones", "Authenticated encryption lies on dm-integrity, which cannot lie on zones.",
         (Luks2,), lambda layer, ground: bool(ground.zone) and _tagged(layer)),
    Rule("luks2-header-on-zones",
         "A LUKS2 header is updated in place and cannot lie on zones: use header=detached, or the plain `crypt` layer.",
         (Luks2,), lambda layer, ground: bool(ground.zone) and isinstance(layer, Luks2) and layer.header == "inside"),
    Rule("ext4-on-zones", "ext4 writes in place and cannot lie on zones.",
         (Ext4,), lambda _, ground: bool(ground.zone)),
    Rule("xfs-on-zones",
         "XFS lies on zones only from Linux 6.15 on, and then needs a conventional part for its metadata.",
         (Xfs,), lambda _, ground: bool(ground.zone) and ground.kernel < (6, 15)),
    Rule("swap-on-zones", "Swap is written in any order and cannot lie on zones (mm/swapfile.c:claim_swapfile).",
         (Swap,), lambda _, ground: bool(ground.zone)),
    Rule("pi-inline",
         "A namespace with pi=1, 2 or 3 keeps its own checksums where inline integrity tags would go "
         "(drivers/md/dm-integrity.c:dm_integrity_ctr wants BLK_INTEGRITY_CSUM_NONE): use pi=0.",
         (Integrity,), lambda layer, ground: _inline(layer) and bool(ground.pi)),
    Rule("inline-metadata",
         "Inline integrity needs a namespace whose metadata holds a tag, at that namespace's own block size: "
         "give the namespace ms=8, 16 or 64 and leave sector_size out.",
         (Integrity,), _no_room_inline),
    # For plans: in the guest its kernel is asked (features.py).
    Rule("inline-kernel", "dm-integrity has its inline mode since Linux 6.11.",
         (Integrity,), lambda layer, ground: _inline(layer) and (0, 0) < ground.kernel < (6, 11)),
    Rule("inline-wipe", "Inline integrity has no format step that could wipe: leave `wipe` out.",
         (Integrity,), lambda layer, _: _inline(layer) and isinstance(layer, Integrity) and layer.wipe),
    Rule("aead-pairing",
         "An AEAD cipher goes with its own authentication (aes-gcm-random and aegis128-random with integrity=aead, "
         "chacha20-random with integrity=poly1305), any other cipher with hmac-sha256 or none.",
         (Luks2,), _mispaired),
    Rule("detached-integrity", "A detached LUKS2 header and authenticated encryption are not combined here.",
         (Luks2,), lambda layer, _: _tagged(layer) and isinstance(layer, Luks2) and layer.header == "detached"),
    Rule("wipe-without-integrity", "There is nothing to wipe without integrity tags: leave `wipe` out.",
         (Luks2,), lambda layer, _: isinstance(layer, Luks2) and layer.wipe and not _tagged(layer)),
    Rule("cryptd-cipher",
         "An essiv template around cryptd is refused by the kernel with EEXIST, and a capi: cipher names its drivers "
         "itself: leave cryptd out, or choose another cipher.",
         (Crypt, Luks2), lambda layer, _: isinstance(layer, Crypt | Luks2) and layer.cryptd
         and ("essiv" in layer.cipher or layer.cipher.startswith("capi:"))),
    Rule("crypt-sectors", "The device beneath must hold a whole number of encryption sectors: "
         "give the layer beneath a size that is a multiple of sector_size.", (Crypt, Luks2), _broken_sectors),
    Rule("xfs-size", "mkfs.xfs makes no file system smaller than 300 MiB: enlarge the namespace or the window.",
         (Xfs,), lambda _, ground: ground.sectors is not None and ground.sectors < _XFS_LEAST_SECTORS),
    Rule("ext4-unwritten",
         "mkfs.ext4 reads blocks that nobody wrote, and an integrity layer reports those as corrupt: add `wipe` to it.",
         (Ext4,), lambda _, ground: ground.unwritten_fails),
)


def above(layer: Layer, ground: Ground) -> Ground:
    """The ground on top of a layer."""
    up = replace(ground, bare=False, beneath=layer)
    if isinstance(layer, Linear | Partition):
        first = layer.offset if isinstance(layer, Linear) else layer.start
        rest = None if ground.sectors is None else ground.sectors - first
        return replace(up, sectors=layer.size or rest)
    if isinstance(layer, Mirror):  # its target lacks DM_TARGET_PASSES_INTEGRITY
        half = None if ground.sectors is None else ground.sectors // 2 // MIRROR_SECTORS * MIRROR_SECTORS
        return replace(up, sectors=half, pi=0, ms=0)
    if isinstance(layer, Crypt):
        return replace(up, block=max(ground.block, layer.sector_size), pi=0, ms=0)
    if isinstance(layer, Integrity):
        return replace(
            up, block=max(ground.block, layer.sector_size), pi=0, ms=0, sectors=None,
            unwritten_fails=ground.unwritten_fails or not layer.wipe,
        )
    if isinstance(layer, Luks2):
        fails = ground.unwritten_fails or (_tagged(layer) and not layer.wipe)
        whole = ground.sectors if layer.header == "detached" else None
        return replace(
            up, block=max(ground.block, layer.sector_size), pi=0, ms=0, sectors=whole, unwritten_fails=fails)
    return up


def bottom(namespace: Namespace, release: str = "") -> Ground:
    """The ground that a namespace is; `release` is the kernel's, e.g. `6.12.117-farm`, or empty."""
    numbers = [int(part) if part.isdecimal() else 0 for part in release.split(".")[:2]]
    return Ground(
        block=namespace.block, sectors=namespace.size_mib * 2048, zone=namespace.zone_mib * 2048, pi=namespace.pi,
        ms=namespace.ms, kernel=(numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0),
    )


def check(stack: Stack, namespace: Namespace, release: str = "") -> tuple[Ground, ...]:
    """Refuse an impossible stack with the rule's name; returns the ground beneath each layer, and on top of the last.

    Raises UserError.
    """
    grounds = [bottom(namespace, release)]
    for index, layer in enumerate(stack.layers, 1):
        for rule in RULES:
            if isinstance(layer, rule.about) and rule.broken(layer, grounds[-1]):
                raise UserError(
                    f"The stack '{stack}' cannot be built: layer {index} ({layer.kind}) breaks the rule "
                    f"{rule.name}. {rule.sentence}"
                )
        grounds.append(above(layer, grounds[-1]))
    return tuple(grounds)


def check_stack(stack: Stack, namespaces: Sequence[Namespace], release: str = "") -> None:
    """The same for a stack whose namespace is one of a machine's. Raises UserError, also when it has no such one."""
    namespace = next((one for one in namespaces if one.serial == stack.serial), None)
    if namespace is None:
        have = ", ".join(one.serial for one in namespaces) or "none at all"
        raise UserError(
            f"The stack '{stack}' lies on the namespace {stack.serial!r}, but the machine has {have}. "
            "Add a namespace marker for it."
        )
    check(stack, namespace, release)
