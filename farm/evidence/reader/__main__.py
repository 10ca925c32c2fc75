"""Print what a dump tells, part by part; say in a sentence why there is nothing, or no more, to tell."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

from farm.evidence.reader import disks, inflight, tables, tasks
from farm.evidence.reader.values import guarded

# Title -> what yields its lines; for drgn's own types there are no stubs.
PARTS: dict[str, Callable[[Any], Iterator[str]]] = {
    "blocked tasks (state D)": tasks.blocked,
    "block requests in flight": inflight.requests,
    "bios held back by suspended device-mapper devices": inflight.held_back,
    "disks": disks.disks,
    "device-mapper tables": tables.tables,
}


def main() -> int:
    """Print the report; the status is 1 when nothing could be read."""
    import drgn  # noqa: PLC0415 - an optional extra; who starts this asks for it first (farm.evidence.memory.lacking)

    dump, vmlinux = sys.argv[1:]
    program = drgn.Program()
    try:
        program.set_core_dump(dump)
        program.load_debug_info([vmlinux])
    except Exception as error:  # a cut-off dump has drgn raise whatever comes first
        print(f"not read: {error}")
        return 1
    for title, part in PARTS.items():
        print(f"==> {title} <==", flush=True)
        told = False
        for line in guarded(part(program)):
            told = True
            print(line, flush=True)
        print("" if told else "none\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
