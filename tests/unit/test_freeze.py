"""Naming the place of a freeze; that it is the right one is seen in tests/e2e/test_monitor.py."""

import pytest

from farm.freeze import Symbols, silence
from farm.guest.registers import Cpu

MAP = """0000000000000000 D __per_cpu_start
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 T vfs_write
ffffffff81000200 T full_proxy_write
ffffffff81000300 t lkdtm_do_action
ffffffff81000400 t lkdtm_HARDLOCKUP
ffffffff81000500 T native_halt
ffffffff81000600 T _raw_spin_lock
ffffffff81000700 T crypt_convert
ffffffff81000800 T _etext
ffffffff81800000 T _sinittext
ffffffff81800000 t set_reset_devices
ffffffff81800100 T start_kernel
ffffffff81800200 T _einittext
ffffffff82000000 D jiffies
"""
BASE = 0xFFFFFFFF81000000


def cpu(offset, index=0, *, halted=False, user=False):
    return Cpu(index, BASE + offset, 0xFFFFC90000000000, interrupts=False, halted=halted, user=user)


def freeze(cpus, symbols, read):
    return silence("silent freeze", cpus, symbols, read, stuck=True)


@pytest.fixture
def symbols(tmp_path):
    (tmp_path / "System.map").write_text(MAP)
    (tmp_path / "config").write_text("# CONFIG_RANDOMIZE_BASE is not set\n")
    return Symbols.of(tmp_path / "System.map", tmp_path / "config")


def test_addresses_and_functions(symbols):
    offsets = (0x105, 0x4FF, 0x500, 0x7FF, 0x800, 0x800104, 0x800200, 0x1000000)
    assert [symbols.function(BASE + offset) for offset in offsets] == [
        "vfs_write", "lkdtm_HARDLOCKUP", "native_halt", "crypt_convert", "", "start_kernel", "", ""]
    assert symbols.function(0x7F0000001000) == ""


def test_where_the_instruction_pointer_is(symbols):
    found = freeze([cpu(0x4A7)], symbols, lambda _cpu, _words: [BASE + 0x320, 7, BASE + 0x210])
    assert (found.kind, found.title) == ("silence", "silent freeze in lkdtm_HARDLOCKUP")
    assert found.function == "lkdtm_HARDLOCKUP"
    assert [frame.function for frame in found.frames] == ["lkdtm_HARDLOCKUP", "lkdtm_do_action", "full_proxy_write"]
    assert found.alt_titles == ("stall in lkdtm_HARDLOCKUP",)
    assert "CPU 0: kernel mode, interrupts off, RIP 0xffffffff810004a7" in found.text


def test_machinery_is_not_where_it_is(symbols):
    found = freeze([cpu(0x610)], symbols, lambda _cpu, _words: [BASE + 0x720])
    assert found.function == "crypt_convert"


def test_a_cpu_that_runs_goes_before_one_that_waits(symbols):
    stacks = {0: [BASE + 0x120], 1: [BASE + 0x720]}
    cpus = [cpu(0x510, 0, halted=True), cpu(0x610, 1)]
    found = freeze(cpus, symbols, lambda at, _words: stacks[at.index])
    assert found.function == "crypt_convert"


def test_without_symbols_nothing_is_said(symbols, tmp_path):
    found = freeze([cpu(0x4A7)], None, lambda _cpu, _words: pytest.fail("no stack is read"))
    assert (found.title, found.function, found.alt_titles) == ("silent freeze", "", ())
    (tmp_path / "config").write_text("CONFIG_RANDOMIZE_BASE=y\n")
    assert Symbols.of(tmp_path / "System.map", tmp_path / "config") is None
    assert Symbols.of(None, None) is None


def test_a_program_has_no_place_in_the_kernel(symbols):
    assert freeze([cpu(0x4A7, user=True)], symbols, lambda _cpu, _words: []).function == ""


def test_a_cpu_that_goes_on_is_somewhere_else_each_time(symbols):
    found = silence("no answer over ssh", [cpu(0x4A7)], symbols, lambda _cpu, _words: [], stuck=False)
    assert (found.title, found.function) == ("no answer over ssh", "")
    assert "lkdtm_HARDLOCKUP" in found.text
