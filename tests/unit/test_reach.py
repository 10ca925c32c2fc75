"""QEMU's log of translated code, and the functions that it names."""

from farm.freeze import Symbols
from farm.reach import functions

LOG = """\
PROLOGUE: [size=45]
0x7f3c2c000000:  55                       pushq    %rbp

----------------
IN:
0xffffffff81000010:  48 8d 25 51 3f a0 01     leaq     0x1a03f51(%rip), %rsp
0xffffffff81000100:  e8 04 01 00 00           callq    0xffffffff81000180

----------------
IN: crypt_map
0xffffffff81000205:
OBJD-T: e858000000
----------------
IN:
0xffffffff81900000:  0f 0b                    ud2
IN:
0xzzz: cut off
IN:
"""
SYSTEM_MAP = """\
ffffffff81000000 T _stext
ffffffff81000000 T startup
ffffffff81000100 t not_begun_at
ffffffff81000200 t crypt_map
ffffffff81000300 T _etext
ffffffff81900000 D data
"""


def test_each_function_in_which_a_piece_begins_is_named_once(tmp_path):
    (tmp_path / "log").write_text(LOG * 2)
    (tmp_path / "System.map").write_text(SYSTEM_MAP)
    assert functions(tmp_path / "log", Symbols(tmp_path / "System.map")) == ["crypt_map", "startup"]
