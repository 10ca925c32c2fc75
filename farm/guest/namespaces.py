"""What QEMU's NVMe emulation and Linux can do together: rules as data, checked before anything is started.

Sources: QEMU 7.2, hw/nvme/ns.c (nvme_ns_check_constraints, nvme_ns_init_format, nvme_ns_zoned_check_calc_geometry);
Linux 6.12, drivers/nvme/host/core.c (nvme_configure_metadata) and zns.c (nvme_query_zone_info).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from farm.errors import UserError
from farm.model import Machine, Namespace

SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,19}", re.ASCII)
# Each namespace has a controller of its own, a PCI function: 8 in each of the slots 8 to 30.
FIRST_SLOT, LAST_SLOT, FUNCTIONS = 8, 30, 8
MOST_NAMESPACES = (LAST_SLOT - FIRST_SLOT + 1) * FUNCTIONS
MOST_CPUS = 64
LEAST_MEMORY_MIB = 128


@dataclass(frozen=True)
class Rule:
    """One thing that cannot be."""

    # Short name, shown to the user.
    name: str
    # What holds instead, as a sentence.
    sentence: str
    # True for a namespace that breaks it.
    broken: Callable[[Namespace], bool]


RULES: tuple[Rule, ...] = (
    Rule("serial", "A serial is 1 to 20 letters, digits, '_' or '-', and begins with a letter or digit.",
         lambda ns: not SERIAL.fullmatch(ns.serial)),
    Rule("size", "A namespace has at least 1 MiB.", lambda ns: ns.size_mib < 1),
    Rule("block-size", "A logical block has 512 or 4096 bytes.", lambda ns: ns.block not in (512, 4096)),
    Rule("metadata-size", "Metadata has 0, 8, 16 or 64 bytes a block: the LBA formats that QEMU offers.",
         lambda ns: ns.ms not in (0, 8, 16, 64)),
    Rule("pi-type", "Protection information is of type 0 (none), 1, 2 or 3.", lambda ns: ns.pi not in (0, 1, 2, 3)),
    Rule("pi-needs-metadata", "Protection information lies in the metadata: give ms=8 or more.",
         lambda ns: ns.pi != 0 and ns.ms < 8),
    Rule("guard-width", "A guard has 16 or 64 bits.", lambda ns: ns.guard not in (16, 64)),
    Rule("guard-needs-pi", "A guard is part of protection information: give pi=1, 2 or 3 with guard=64.",
         lambda ns: ns.guard == 64 and ns.pi == 0),
    Rule("guard-needs-room", "A 64-bit guard makes protection information 16 bytes long: give ms=16 or 64.",
         lambda ns: ns.guard == 64 and ns.ms < 16),
    Rule("pi-first-needs-pi", "pi_first says where protection information lies: give pi=1, 2 or 3 with it.",
         lambda ns: ns.pi_first and ns.pi == 0),
    Rule("zone-power-of-two", "Linux takes only zones whose size is a power of two.",
         lambda ns: ns.zone_mib < 0 or ns.zone_mib & (ns.zone_mib - 1) != 0),
    Rule("zone-whole", "A zoned namespace has a whole number of zones, at least two.",
         lambda ns: ns.zone_mib > 0 and (ns.size_mib % ns.zone_mib != 0 or ns.size_mib < 2 * ns.zone_mib)),
)


def check_namespace(namespace: Namespace) -> None:
    """Raises UserError naming the first rule that the namespace breaks."""
    for rule in RULES:
        if rule.broken(namespace):
            raise UserError(f"Namespace {namespace.serial!r} cannot be made (rule {rule.name}). {rule.sentence}")


def check_machine(machine: Machine) -> None:
    """Raises UserError for a machine that cannot be emulated, naming the rule."""
    if not 1 <= machine.cpus <= MOST_CPUS:
        raise UserError(f"A machine has 1 to {MOST_CPUS} CPUs, not {machine.cpus} (rule cpus).")
    if machine.memory_mib < LEAST_MEMORY_MIB:
        raise UserError(
            f"The guest does not boot with {machine.memory_mib} MiB of memory (rule memory). "
            f"Give at least {LEAST_MEMORY_MIB} MiB.")
    if len(machine.namespaces) > MOST_NAMESPACES:
        raise UserError(f"A machine has room for {MOST_NAMESPACES} namespaces, not {len(machine.namespaces)}.")
    for parameter in machine.append:
        if not re.fullmatch(r"[\x20-\x7e]+", parameter):
            raise UserError(f"{parameter!r} is no kernel parameter (rule append). Give printable ASCII.")
    serials = [namespace.serial for namespace in machine.namespaces]
    if twice := next((serial for serial in serials if serials.count(serial) > 1), ""):
        raise UserError(f"Two namespaces have the serial {twice!r} (rule unique-serial). Each needs its own.")
    for namespace in machine.namespaces:
        check_namespace(namespace)
