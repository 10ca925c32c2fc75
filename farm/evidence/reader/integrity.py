"""The state of a dm-integrity target: its mode, its tags, its journal, and the ranges that are locked."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from farm.evidence.reader.inflight import name_of
from farm.evidence.reader.values import cast, member, set_bits, text

_FILE = "dm-integrity.c"
# drivers/md/dm-integrity.c, dm_integrity_ctr: the letter of a table line.
_MODES = {"J": "journal", "B": "bitmap", "D": "direct", "R": "recovery", "I": "inline"}
# drivers/md/dm-integrity.c, SB_FLAG_*.
_SUPERBLOCK_FLAGS = ("HAVE_JOURNAL_MAC", "RECALCULATING", "DIRTY_BITMAP", "FIXED_PADDING", "FIXED_HMAC", "INLINE")
_RECALCULATING = "RECALCULATING"
# Ranges that are shown.
MOST_RANGES = 32


def integrity(private: Any) -> Iterator[str]:
    """What the target keeps its tags in, what of the journal is used, and which ranges are in progress.

    Raises LookupError for a kernel whose debug information lacks the target.
    """
    target = cast("struct dm_integrity_c", private, _FILE)
    mode = chr(int(target.mode))
    tag = int(target.tag_size)
    stored = member(target, "tuple_size")
    # The algorithm's name alone: what stands beside it in struct alg_spec is the key.
    checksum = text(target.internal_hash_alg.alg_string) if target.internal_hash else "of the layer above"
    metadata = name_of(target.meta_dev.bdev.bd_disk) if target.meta_dev else name_of(target.dev.bdev.bd_disk)
    yield (f"mode {_MODES.get(mode, f'{mode!r}')}, tag size {tag}"
           + (f" of {int(stored)} bytes" if stored is not None and int(stored) > tag else "")
           + f", checksum {checksum}, blocks of {int(target.sectors_per_block) << 9} bytes, metadata on {metadata}")
    if mode == "J":
        yield (f"journal: {int(target.journal_sections)} sections from section {int(target.committed_section)}, "
               f"{int(target.n_committed_sections)} committed, {int(target.n_uncommitted_sections)} uncommitted, "
               f"{int(target.free_sectors)} of {int(target.journal_entries)} entries free")
    yield from _superblock(target)
    failed, mismatches = int(target.failed), int(target.number_of_mismatches.counter)
    yield f"failed: {failed if failed else 'no'}, mismatches: {mismatches}"
    yield from _ranges(target)


def _superblock(target: Any) -> Iterator[str]:
    if not target.sb:
        return
    flags = set_bits(int(target.sb.flags), _SUPERBLOCK_FLAGS)
    done = (f"recalculating: at sector {int(target.sb.recalc_sector)} of {int(target.provided_data_sectors)}"
            if _RECALCULATING in flags else "recalculating: no")
    yield f"{done}; superblock: {', '.join(flags) or 'no flags'}"


def _ranges(target: Any) -> Iterator[str]:
    """Ranges of sectors that I/O, or the journal's writer, has locked, and those that wait for them."""
    from drgn.helpers.linux.list import list_for_each_entry  # noqa: PLC0415
    from drgn.helpers.linux.rbtree import rbtree_inorder_for_each_entry  # noqa: PLC0415

    kind = target.prog_.type("struct dm_integrity_range", _FILE)
    for word, found in (
        ("in progress", rbtree_inorder_for_each_entry(kind, target.in_progress.address_of_(), "node")),
        ("waiting", list_for_each_entry(kind, target.wait_list.address_of_(), "wait_entry")),
    ):
        for one in islice(found, MOST_RANGES):
            who = f", {text(one.task.comm)} pid {int(one.task.pid)}" if word == "waiting" and one.task else ""
            yield f"{word}: {int(one.n_sectors)} sectors at sector {int(one.logical_sector)}{who}"
