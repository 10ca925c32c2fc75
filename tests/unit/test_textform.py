"""The text form that layers, pressures and workloads share."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm import textform
from farm.errors import UserError
from farm.textform import Kind, Registry, bytes_of, printable, size_text, split_options

THINGS: Registry[Kind] = Registry("thing")


@THINGS.register
@dataclass(frozen=True)
class Thing(Kind):
    kind: ClassVar[str] = "thing"
    room: int = textform.size(hint="a number of bytes", least=1024)
    mode: str = textform.choice("plain", "fancy")
    count: int = textform.number(1, hint="a count", least=1)
    cipher: str = textform.text("", r"[a-z()0-9,:-]*", "a cipher")
    fast: bool = textform.flag()


@pytest.mark.parametrize(("written", "thing"), [
    ("thing:room=64M", Thing(64 << 20)),
    ("thing:room=1K,mode=fancy,count=3,fast", Thing(1024, "fancy", 3, fast=True)),
    ("thing:room=2048,cipher=capi:a(h(s),x(y))-plain,fast", Thing(2048, cipher="capi:a(h(s),x(y))-plain", fast=True)),
])
def test_reads_options(written: str, thing: Thing) -> None:
    assert THINGS.parse(written, "here") == thing


@pytest.mark.parametrize(("written", "said"), [
    ("thong", "unknown thing 'thong'. Choose one of thing."),
    ("thing:rom=1M", "no option 'rom'. Its options are: room, mode"),
    ("thing", "needs the option 'room'"),
    ("thing:room=1M,room=2M", "twice"),
    ("thing:room=1M,mode=plane", "one of plain, fancy"),
    ("thing:room=1M,count=0", "cannot be '0'"),
    ("thing:room=1M,count=-1", "cannot be '-1'"),
    ("thing:room=512", "a number of bytes"),
    ("thing:room=1M,fast=yes", "flag without a value"),
    ("thing:room", "cannot be ''"),
    ("thing:room=1M,count=\u0663", "a count"),
])
def test_refuses_with_the_place_and_the_choices(written: str, said: str) -> None:
    with pytest.raises(UserError, match="Layer 7") as caught:
        THINGS.parse(written, "Layer 7")
    assert said in str(caught.value)


@given(st.builds(
    Thing, room=st.integers(1024, 1 << 39), mode=st.sampled_from(["plain", "fancy"]), count=st.integers(1, 10**14),
    cipher=st.sampled_from(["", "xts", "capi:cryptd(xts(ecb(aes)))-plain64"]), fast=st.booleans()))
def test_round_trip(thing: Thing) -> None:
    written = THINGS.render(thing)
    assert THINGS.parse(written, "here") == thing
    assert THINGS.render(THINGS.parse(written, "here")) == written


@given(st.integers(0, 1 << 60))
def test_sizes_are_exact(count: int) -> None:
    text = size_text(count)
    if len(text.rstrip("KMG")) <= 12:
        assert bytes_of(text) == count


@given(st.text(max_size=60))
def test_no_text_does_more_than_raise_usererror(written: str) -> None:
    with suppress(UserError):
        THINGS.parse(f"thing:{written}", "here")


def test_commas_in_brackets_do_not_separate() -> None:
    assert split_options("a=f(x,y),b, c") == ["a=f(x,y)", "b", "c"]


@given(st.text(max_size=60))
def test_what_is_printed_can_be_read_back(said: str) -> None:
    shown = printable(said.replace("\\", "/"))
    assert shown.replace("\t", " ").isprintable()
    assert re.sub(r"\\(?:x(..)|u(.{4})|U(.{8}))", lambda one: chr(int(one[1] or one[2] or one[3], 16)), shown) == \
        said.replace("\\", "/")


def test_an_escape_has_one_meaning() -> None:
    assert printable("a\tb\x1b\x7f\u200b\U000e0001") == "a\tb\\x1b\\x7f\\u200b\\U000e0001"
