"""Block I/O that has not ended: requests that drivers have, and bios that suspended devices hold back."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from farm.evidence.reader.values import cast, enumerators, escaped, symbol

# Requests of one disk, and bios of one device, that are shown.
MOST_REQUESTS = 256
MOST_BIOS = 64


def requests(program: Any) -> Iterator[str]:
    """Requests that the block layer has given to a driver, by disk (blk_mq_tags)."""
    from drgn.helpers.linux.block import for_each_disk, request_queue_busy_iter  # noqa: PLC0415

    for disk in for_each_disk(program):
        for one in islice(request_queue_busy_iter(disk.queue), MOST_REQUESTS):
            yield f"{name_of(disk)}: {request(one)}"


def held_back(program: Any) -> Iterator[str]:
    """Bios that a suspended device-mapper device keeps until it is resumed (drivers/md/dm.c, queue_io)."""
    for disk, device in mapped_devices(program):
        waiting, left = device.deferred.head, MOST_BIOS
        while waiting and left:
            yield f"{name_of(disk)}: {bio(waiting)}"
            waiting, left = waiting.bi_next, left - 1


def mapped_devices(program: Any) -> Iterator[tuple[Any, Any]]:
    """Each device-mapper disk with its struct mapped_device."""
    from drgn.helpers.linux.block import for_each_disk  # noqa: PLC0415

    for disk in for_each_disk(program):
        if symbol(program, disk.fops.submit_bio) == "dm_submit_bio":
            yield disk, cast("struct mapped_device", disk.private_data)


def name_of(disk: Any) -> str:
    from drgn.helpers.linux.block import disk_name  # noqa: PLC0415

    return escaped(disk_name(disk))


def bio(value: Any) -> str:
    """A bio: what it does, where, and who is told of its end."""
    end = symbol(value.prog_, value.bi_end_io)
    device = name_of(value.bi_bdev.bd_disk) if value.bi_bdev else "no device"
    return (f"bio {value.value_():#x} {_operation(value)} of {int(value.bi_iter.bi_size) >> 9} sectors at sector "
            f"{int(value.bi_iter.bi_sector)} of {device}" + (f", ends in {end}" if end else ""))


def request(value: Any) -> str:
    """A request: its tag, what it does, where, and its first bio."""
    from drgn.helpers.linux.block import blk_rq_bytes, blk_rq_pos  # noqa: PLC0415

    first = value.bio
    end = f", first {bio(first)}" if first else ""
    return (f"request {value.value_():#x} tag {int(value.tag)} {_operation(value)} of "
            f"{int(blk_rq_bytes(value)) >> 9} sectors at sector {int(blk_rq_pos(value))}{end}")


def _operation(io: Any) -> str:
    """`READ`, `WRITE` and so on (include/linux/blk_types.h)."""
    flags = io.bi_opf if io.type_.type_name() == "struct bio *" else io.cmd_flags
    number = int(flags) & 0xFF
    # 6.1 and newer say `enum req_op`, older ones `enum req_opf`.
    names = {value: name for name, value in enumerators(io.prog_, "enum req_op", "enum req_opf")}
    return names.get(number, f"operation {number}").removeprefix("REQ_OP_")
