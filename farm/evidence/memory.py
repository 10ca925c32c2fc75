"""The guest's memory: dumped by QEMU, read by drgn in a process of its own."""

import importlib.util
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import FarmError, InfrastructureError
from farm.evidence.collect import write
from farm.evidence.elf import mismatch
from farm.guest.patient import Patient
from farm.host import process

# File names in the evidence directory.
DUMP = "vmcore"
TOLD = "dump.txt"
# Wall seconds: for QEMU to write the dump (512 MiB took 4 s), and for drgn to read it and the debug information.
DUMP_SECONDS = 30.0
READ_SECONDS = 30.0
# What the reader says first when it could read nothing.
NOTHING = "not read: "


def memory(target: Patient, directory: Path, memory_mib: int, vmlinux: Path | None, total: Deadline) -> None:
    """Write the dump, and what it tells. Never fails: what could not be had says why in its file."""
    dump = directory / DUMP
    try:
        take(target, dump, memory_mib, total.at_most(DUMP_SECONDS))
    except (FarmError, OSError) as error:
        with suppress(OSError):
            dump.unlink(missing_ok=True)
        text = f"not dumped: {error}\n"
    else:
        text = _told(dump, vmlinux, total.at_most(READ_SECONDS))
    write(directory / TOLD, text)


def _told(dump: Path, vmlinux: Path | None, deadline: Deadline) -> str:
    """What the dump tells. A reader that cannot be started leaves it whole, for `farm dump` to read later."""
    try:
        return read(dump, vmlinux, deadline)
    except (FarmError, OSError) as error:
        return f"{NOTHING}{error}\n"


def take(target: Patient, dump: Path, memory_mib: int, deadline: Deadline) -> None:
    """Write a dump of a guest, which stands still meanwhile and then goes on.

    Raises InfrastructureError when there is no room for it, or QEMU does not write it, and OSError.
    """
    free = shutil.disk_usage(dump.parent).free >> 20
    if free < memory_mib:
        raise InfrastructureError(f"the guest has {memory_mib} MiB of memory and the disk {free} MiB free")
    target.dump_memory(dump, deadline)


def lacking(vmlinux: Path | None) -> str:
    """What is missing to read any dump of a kernel, in a sentence; "" for nothing."""
    if vmlinux is None:
        return ("this kernel was built without debug information, which reading its memory needs. "
                "The flavors debuginfo and debug have it.")
    if importlib.util.find_spec("drgn") is None:
        return "drgn is not installed. `pip install 'kernel-farm[dump]'` brings it."
    return ""


def read(dump: Path, vmlinux: Path | None, deadline: Deadline) -> str:
    """What the dump tells, or a line that says why it tells nothing. Raises OSError and FarmError."""
    why = lacking(vmlinux)
    if vmlinux is None or why or (why := mismatch(dump, vmlinux)):
        return f"{NOTHING}{why}\n"
    # A process of its own: the memory of a broken kernel may send its reader round in circles.
    said = process.harvest([sys.executable, "-m", "farm.evidence.reader", str(dump), str(vmlinux)], deadline=deadline)
    return said + (f"\nnot read to the end: {deadline.seconds:.0f} s had passed\n" if deadline.expired else "")
