"""The guest's memory: dumped by QEMU, read by drgn in a process of its own."""

import shutil
import sys
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import FarmError
from farm.evidence.collect import write
from farm.guest.patient import Patient
from farm.host import process

# File names in the evidence directory.
DUMP = "vmcore"
TASKS = "blocked-tasks.txt"
# Wall seconds: for QEMU to write the dump (512 MiB took 4 s), and for drgn to read it and the debug information.
DUMP_SECONDS = 30.0
READ_SECONDS = 30.0


def blocked_tasks(target: Patient, directory: Path, memory_mib: int, vmlinux: Path | None, total: Deadline) -> None:
    """Write the dump, and what blocked tasks wait for. Never fails: what could not be had says why in its file."""
    dump = directory / DUMP
    try:
        free = shutil.disk_usage(directory).free >> 20
        if free < memory_mib:
            text = f"not dumped: the guest has {memory_mib} MiB of memory and the disk {free} MiB free\n"
        else:
            target.dump_memory(dump, total.at_most(DUMP_SECONDS))
            text = _read(dump, vmlinux, total.at_most(READ_SECONDS))
    except (FarmError, OSError) as error:
        dump.unlink(missing_ok=True)
        text = f"not dumped: {error}\n"
    write(directory / TASKS, text)


def _read(dump: Path, vmlinux: Path | None, deadline: Deadline) -> str:
    if vmlinux is None:
        return (f"not read: this kernel was built without debug information, which reading {dump.name} needs. "
                "The flavors debuginfo and debug have it.\n")
    # A process of its own: the memory of a broken kernel may send its reader round in circles.
    said = process.harvest([sys.executable, "-m", "farm.evidence.blocked", str(dump), str(vmlinux)], deadline=deadline)
    return said + (f"\nnot read to the end: {deadline.seconds:.0f} s had passed\n" if deadline.expired else "")
