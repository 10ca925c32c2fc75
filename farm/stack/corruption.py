"""Where to change which bit, so that a chosen layer has to notice: pure; the stack's assembly carries it out.

Linux 6.12: drivers/md/dm-integrity.c for superblock, journal and tags. What a guest that has the stack open keeps in
its memory, it does not read again: SETTLE makes the disk current before a change, FORGET empties the caches after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farm.errors import UserError
from farm.guest.protection import FIELDS, Protection
from farm.model import Namespace
from farm.stack.locate import Inline, Mapped, Tagged, locate

AREAS = ("data", "tag", *sorted(FIELDS), "journal", "superblock")
_SUPERBLOCK_SECTORS = 8

# $1: mountpoint or ""; then device-mapper names. A frozen file system has written everything in place; a suspended
# dm-integrity has emptied its journal (dm_integrity_postsuspend).
SETTLE = """\
mounted=$1; shift
[ -z "$mounted" ] || { fsfreeze -f "$mounted"; fsfreeze -u "$mounted"; }
for name; do dmsetup suspend "$name"; dmsetup resume "$name"; done
"""
# $1: how often everything unused is dropped: buffers of XFS survive as many rounds as they were used (fs/xfs/xfs_buf.c,
# xfs_buftarg_isolate). $2: the device; lists of each CPU keep some of its buffers until they are emptied, as
# invalidate_bdev does (block/bdev.c) and fs/drop_caches.c does not on every kernel. Tags are cached by dm-bufio, which
# keeps some whatever happens (drivers/md/dm-bufio.c, get_retain_buffers), gives the others back in the background, and
# has one buffer in reserve for each dm-integrity.
FORGET = """\
blockdev --flushbufs "$2"
for round in $(seq "$1"); do echo 3 >/proc/sys/vm/drop_caches; done
reserve=0
for sectors in $(dmsetup table --target integrity | sed -n 's/.* buffer_sectors:\\([0-9]*\\).*/\\1/p'); do
  reserve=$((reserve + sectors * 512))
done
[ "$reserve" != 0 ] || exit 0
cd /sys/module/dm_bufio/parameters
kept=$(cat retain_bytes)
echo 0 >retain_bytes
for round in $(seq 50); do
  echo 2 >/proc/sys/vm/drop_caches
  [ "$(cat current_allocated_bytes)" -gt "$reserve" ] || break
  sleep 0.1
done
echo "$kept" >retain_bytes
[ "$(cat current_allocated_bytes)" -le "$reserve" ]
"""


@dataclass(frozen=True)
class Aim:
    """A byte of the namespace."""

    block: int
    # `data` or `metadata` of that block, and the byte within.
    area: str
    byte: int


def aim(
    area: str, offset: int, byte: int, *, chain: Sequence[str], tables: Mapping[str, Mapped], namespace: Namespace
) -> Aim:
    """Where byte `byte` of an area lies.

    `chain` are the names of devices, top first, down from the layer whose area it is. For `data`, `tag` and the fields
    of protection information, it is that of the block at byte `offset` of the first of them; for `journal` and
    `superblock`, `offset` counts within. Raises UserError for what the layers do not have.
    """
    if area not in AREAS:
        raise UserError(f"There is no area {area!r} to corrupt. Choose one of: {', '.join(AREAS)}.")
    if area in ("journal", "superblock"):
        return _in_integrity(area, offset + byte, chain, tables, namespace)
    tagged = any(isinstance(tables.get(name), Tagged) for name in chain)
    if area == "tag" and tagged:
        spot = locate(chain, tables, offset // 512, tag=True)
        return _data(spot.sector * 512 + spot.byte + byte, namespace)
    spot = locate(chain, tables, offset // 512)
    place = _data(spot.sector * 512 + offset % 512 + byte, namespace)
    if area == "data":
        return place
    if area in FIELDS:
        return Aim(place.block, "metadata", Protection(namespace).byte(area) + byte)
    if not any(isinstance(tables.get(name), Inline) for name in chain):
        raise UserError("The stack has no layer with integrity tags, so there is no tag to corrupt.")
    return Aim(place.block, "metadata", byte)


def _in_integrity(
    area: str, offset: int, chain: Sequence[str], tables: Mapping[str, Mapped], namespace: Namespace
) -> Aim:
    for depth, name in enumerate(chain):
        mapped = tables.get(name)
        if isinstance(mapped, Tagged):
            first, sectors = mapped.start, _SUPERBLOCK_SECTORS
            if area == "journal":
                first, sectors = first + sectors, mapped.journal
            if not 0 <= offset < sectors * 512:
                raise UserError(f"The {area} of {name} has {sectors * 512} bytes, and none at {offset}.")
            spot = locate(chain[depth + 1:], tables, first + offset // 512)
            return _data(spot.sector * 512 + offset % 512, namespace)
    raise UserError(f"The stack has no dm-integrity device with a {area}.")


def _data(byte: int, namespace: Namespace) -> Aim:
    block, within = divmod(byte, namespace.block)
    return Aim(block, "data", within)
