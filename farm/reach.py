"""Which functions of the kernel a guest ran, as its emulator saw it.

TCG translates each piece of code before it first runs and can write down where that was, without a special kernel and
nearly without cost; what was inlined into another function counts as that one. A piece of code is translated again when
the cache of translations was flushed, so the list is complete, and says nothing of how often.
"""

from collections.abc import Iterator
from pathlib import Path

from farm.freeze import Symbols

# Name of the list in the directory of a cell.
FILE = "functions.txt"
# What QEMU writes before each piece, and before each address of it (disas/disas.c; accel/tcg/translator.c).
_PIECE = b"IN:"
_ADDRESS = b"0x"


def functions(log: Path, symbols: Symbols) -> list[str]:
    """The functions in QEMU's log of translated code, sorted, each once."""
    found = {symbols.function(address) for address in set(_addresses(log))}
    return sorted(found - {""})


def _addresses(log: Path) -> Iterator[int]:
    """Where the pieces begin."""
    waiting = False
    with log.open("rb") as lines:
        for line in lines:
            if waiting and line.startswith(_ADDRESS):
                waiting = False
                try:
                    yield int(line.partition(b":")[0], 16)
                except ValueError:
                    continue
            elif line.startswith(_PIECE):
                waiting = True
