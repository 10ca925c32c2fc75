"""What a user is told of a guest that runs, and the line by which gdb attaches."""

import shlex
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farm.enter import Entrance, gdb_script, hold, instructions

HERE = Entrance(22, "/key", "ssh-ed25519 AAAA", "/console.log", 1, gdb="/tmp/a b/stub", vmlinux="/cache/vmlinux",
                gdb_script="/tmp/lx/vmlinux-gdb.py")


@pytest.mark.parametrize(("entrance", "words", "why"), [
    (HERE, ["gdb", "/cache/vmlinux", "-ex", "source /tmp/lx/vmlinux-gdb.py", "-ex", "target remote /tmp/a b/stub"],
     "with the kernel's own commands, lx-ps, lx-dmesg"),
    (replace(HERE, gdb_script=""), ["gdb", "/cache/vmlinux", "-ex", "target remote /tmp/a b/stub"],
     "built without CONFIG_GDB_SCRIPTS"),
    (replace(HERE, gdb_script="", vmlinux=""), ["gdb", "-ex", "target remote /tmp/a b/stub"],
     "without symbols: --flavor debuginfo"),
])
def test_gdb_is_told_what_there_is(entrance: Entrance, words: list[str], why: str) -> None:
    assert shlex.split(entrance.gdb_line) == words
    told = "\n".join(instructions(entrance, Path("/runs/one/cell"), kept=False))
    assert entrance.gdb_line in told
    assert why in told


def test_without_a_stub_there_is_no_line() -> None:
    shut = replace(HERE, gdb="")
    assert shut.gdb_line == ""
    assert "gdb" not in "\n".join(instructions(shut, Path("/runs/one/cell"), kept=True))


def test_the_kernels_scripts_are_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "gdb.zip", "w") as out:
        out.writestr("vmlinux-gdb.py", "import linux.tasks")
        out.writestr("scripts/gdb/linux/tasks.py", "")
    script = Path(gdb_script(tmp_path / "gdb.zip"))
    assert script.read_text() == "import linux.tasks"
    assert (script.parent / "scripts/gdb/linux/tasks.py").exists()
    assert gdb_script(None) == ""


def test_who_holds_a_guest_is_called_until_it_is_released() -> None:
    """What is done meanwhile releases nothing, and is done once more before the end."""
    ticks: list[int] = []
    guest: Any = SimpleNamespace(alive=True)
    hold(guest, lambda: len(ticks) == 2, lambda: ticks.append(1))
    assert len(ticks) == 2
    guest.alive = False
    hold(guest, lambda: False, lambda: ticks.append(1))
    assert len(ticks) == 2
