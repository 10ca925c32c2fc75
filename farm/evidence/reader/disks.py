"""Each disk: its size, what is in flight on it, and the integrity profile of its data."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from farm.evidence.reader.inflight import MOST_REQUESTS, name_of
from farm.evidence.reader.values import enumerators, guarded, member, set_bits, text

# Flags of a profile before they had an enumeration (include/linux/blkdev.h, BLK_INTEGRITY_VERIFY and so on, in 6.1).
_OLD_FLAGS = ("VERIFY", "GENERATE", "DEVICE_CAPABLE", "IP_CHECKSUM")
_REF_TAG = "BLK_INTEGRITY_REF_TAG"
# As blk_integrity_profile_name (block/blk-integrity.c) has it: checksum -> its name, which ends in the type.
_FORMATS = {"IP": "T10-DIF-TYPE{type}-IP", "CRC": "T10-DIF-TYPE{type}-CRC", "CRC64": "EXT-DIF-TYPE{type}-CRC64"}


def disks(program: Any) -> Iterator[str]:
    """A line for each disk."""
    from drgn.helpers.linux.block import for_each_disk  # noqa: PLC0415

    for disk in for_each_disk(program):
        if disk.part0.bd_nr_sectors:  # else a loop device that nothing is attached to
            yield from guarded(_disk(disk))


def _disk(disk: Any) -> Iterator[str]:
    yield (f"{name_of(disk)}: {int(disk.part0.bd_nr_sectors)} sectors, blocks of "
           f"{int(disk.queue.limits.logical_block_size)} bytes, in flight: {in_flight(disk)}, "
           f"integrity: {profile(disk.queue) or 'none'}")


def in_flight(disk: Any) -> str:
    """What has begun and not ended: requests of a driver with a queue, else the bios that are accounted for."""
    from drgn.helpers.linux.block import request_queue_busy_iter  # noqa: PLC0415
    from drgn.helpers.linux.cpumask import for_each_possible_cpu  # noqa: PLC0415
    from drgn.helpers.linux.percpu import per_cpu_ptr  # noqa: PLC0415

    if disk.queue.mq_ops:
        count = sum(1 for _ in islice(request_queue_busy_iter(disk.queue), MOST_REQUESTS))
        return f"{count} requests" if count < MOST_REQUESTS else f"{count} requests or more"
    # block/blk-core.c, bdev_start_io_acct; one CPU may count the beginning and another the end.
    reads, writes = (sum(int(per_cpu_ptr(disk.part0.bd_stats, cpu).in_flight[way].a.counter)
                         for cpu in for_each_possible_cpu(disk.prog_)) for way in (0, 1))
    return f"{reads} reads, {writes} writes"


def profile(queue: Any) -> str:
    """The integrity profile of a queue, "" for none; since 6.11 it is one of the queue's limits."""
    integrity = member(queue, "integrity")
    if integrity is None:
        integrity = member(queue.limits, "integrity")
    size = member(integrity, "metadata_size", "tuple_size") if integrity is not None else None
    if size is None:
        return ""
    old = member(integrity, "profile")
    if not (int(size) if old is None else old):
        return ""
    flags = _flags(integrity, old)
    name = text(old.name) if old is not None else _format(integrity, flags)
    return (f"{name}, {int(size)} bytes for each {1 << int(integrity.interval_exp)}, tag size "
            f"{int(integrity.tag_size)}, flags: {', '.join(flags) or 'none'}")


def _flags(integrity: Any, old: Any) -> list[str]:
    names = dict(enumerators(integrity.prog_, "enum blk_integrity_flags"))
    value = int(integrity.flags)
    if old is not None or not names:
        return set_bits(value, _OLD_FLAGS)
    known = [name for name, bit in names.items() if value & bit]
    return [name.removeprefix("BLK_INTEGRITY_") for name in known]


def _format(integrity: Any, flags: list[str]) -> str:
    """The name that sysfs shows in integrity/format."""
    checksum = int(integrity.csum_type)
    names = {value: name.removeprefix("BLK_INTEGRITY_CSUM_")
             for name, value in enumerators(integrity.prog_, "enum blk_integrity_checksum")}
    kind = 1 if _REF_TAG.removeprefix("BLK_INTEGRITY_") in flags else 3
    return _FORMATS.get(names.get(checksum, ""), "nop").format(type=kind)
