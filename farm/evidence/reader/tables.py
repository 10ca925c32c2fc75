"""Device-mapper devices: their state, their tables, and what the targets that stacks are made of say of themselves."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from farm.evidence.reader.crypt import crypt
from farm.evidence.reader.inflight import mapped_devices, name_of
from farm.evidence.reader.integrity import integrity
from farm.evidence.reader.values import cast, escaped, guarded, set_bits, text

# Targets of a table, and devices beneath it, that are shown.
MOST_TARGETS = 64
MOST_DEVICES = 64
# drivers/md/dm-core.h, DMF_*: macros, which are not in the debug information; the same from 4.12 to 6.12.
_FLAGS = ("block I/O for suspend", "suspended", "frozen", "freeing", "deleting", "noflush suspending",
          "deferred remove", "suspended internally")


def tables(program: Any) -> Iterator[str]:
    """Each device: its name, what state it is in, and its table."""
    for disk, device in mapped_devices(program):
        yield from guarded(_device(disk, device), "  ")


def _device(disk: Any, device: Any) -> Iterator[str]:
    name, uuid = _names(device)
    flags = set_bits(int(device.flags) & (1 << len(_FLAGS)) - 1, _FLAGS)
    yield f"{name_of(disk)}: {name}{f' ({uuid})' if uuid else ''}, {', '.join(flags) or 'active'}"
    if not device.map:
        yield "  no table"
        return
    table = cast("struct dm_table", device.map)
    for number in range(min(int(table.num_targets), MOST_TARGETS)):
        yield from guarded(_target(table.targets[number]), "    ")
    yield f"  on {', '.join(_beneath(table)) or 'nothing'}"


def _names(device: Any) -> tuple[str, str]:
    """Name and uuid, which the ioctl interface keeps (drivers/md/dm-ioctl.c); both "" for a device that it let go."""
    if not device.interface_ptr:
        return text(device.name), ""
    cell = cast("struct hash_cell", device.interface_ptr, "dm-ioctl.c")
    return text(cell.name), text(cell.uuid)


def _target(target: Any) -> Iterator[str]:
    kind = text(target.type.name)
    yield f"  {int(target.begin)} {int(target.len)} {kind}"
    if kind in TARGETS:
        yield from (f"    {line}" for line in TARGETS[kind](target.private))


def _linear(private: Any) -> Iterator[str]:
    context = cast("struct linear_c", private, "dm-linear.c")
    yield f"from sector {int(context.start)} of {name_of(context.dev.bdev.bd_disk)}"


# Type of a target -> what yields its lines from its private data.
TARGETS: dict[str, Callable[[Any], Iterator[str]]] = {"crypt": crypt, "integrity": integrity, "linear": _linear}


def _beneath(table: Any) -> Iterator[str]:
    """The devices that a table is made of (drivers/md/dm-table.c, dm_get_device)."""
    from drgn.helpers.linux.block import part_name  # noqa: PLC0415
    from drgn.helpers.linux.list import list_for_each_entry  # noqa: PLC0415

    found = list_for_each_entry("struct dm_dev_internal", table.devices.address_of_(), "list")
    for one in islice(found, MOST_DEVICES):
        yield escaped(part_name(one.dm_dev.bdev))
