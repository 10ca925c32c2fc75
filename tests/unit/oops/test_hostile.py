"""A console that wants to keep whoever reads it busy, or to command its terminal."""

import time

import pytest

from farm.oops import classify
from farm.oops.lines import MAX_LINE

from . import samples

# What a line may be filled with to make an expression try everywhere.
FILLS = ("_", "0", ".1", "a-", ": ")
# Of the processor, for a line: 2 ms are usual, 35 the worst that was measured; it was 900.
SECONDS = 0.1


def _seconds(data: bytes) -> float:
    began = time.process_time()
    classify(data)
    return time.process_time() - began


@pytest.mark.parametrize("fill", FILLS)
def test_no_line_takes_long(fill: str) -> None:
    """One line of any length cost up to a second: each expression began anew at each of its characters."""
    for name, text in {**samples.REPORTS, **samples.EVENTS}.items():
        half = len(text) // 2
        for line in (text + fill * MAX_LINE, fill * (MAX_LINE // len(fill) - len(text)) + text,
                     text[:half] + fill * MAX_LINE):
            data = line[:MAX_LINE].encode() + b"\n"
            # Once is enough, unless something else on the host got in between.
            assert _seconds(data) < SECONDS or min(_seconds(data) for _ in range(5)) < SECONDS, (name, line[:60])


@pytest.mark.parametrize("name", ["_" * 4000, "asm_" * 1000, "spin_" * 800, "x" + ".isra.1" * 500, "_RN" * 1000])
def test_no_name_takes_long(name: str) -> None:
    text = f"BUG: kernel NULL pointer dereference, address: 0\nRIP: 0010:{name}+0x1/0x2\nCall Trace:\n {name}+0x1/0x2\n"
    assert min(_seconds(text.encode()) for _ in range(3)) < SECONDS


def test_megabytes_without_a_line_break_pass() -> None:
    assert classify(b"BUG: KASAN: use-after-free in a+0x1/0x2 " + b"A" * (8 << 20) + b"\nquiet\n")[0].kind == "kasan"


def test_no_text_commands_a_terminal() -> None:
    text = "Kernel panic - not syncing: \x9b2J\x1b]0;owned\x07 \x1b[31mred\x1b[0m \x85\x7f\x00\n"
    (found,) = classify(text.encode())
    assert all(char.isprintable() for char in found.title)
    assert "\x9b" not in found.text
    assert found.title == "kernel panic: 2J]NUM;owned red"
