"""Reports that are made to keep whoever reads them busy."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.errors import UserError
from farm.repro import failures, letter, understanding
from farm.repro.understanding import understand
from tests.hostile import FRAGMENTS, grows, half_matches, patterns

ALL = dict(patterns(understanding, failures))
# Names that a report may be full of, blank lines, and what they may be mixed with.
FILLS: dict[str, Callable[[int], str]] = {
    "names": lambda size: " ".join(f"name_{number}()" for number in range(size // 12)),
    "uncalled": lambda size: " ".join(f"name_{number}" for number in range(size // 10)),
    "blank-lines": lambda size: "\n" * size,
    "blanks": lambda size: " " * size,
    "quotes": lambda size: "> " * (size // 2),
    "stamps": lambda size: "[ 1.0]" * (size // 6),
    "digits": lambda size: "9" * size,
    "questions": lambda size: "?" * size,
}


def _read(text: str) -> None:
    try:
        understand(letter.read_letter(text.encode("utf-8", "replace"), "it").text)
    except UserError:
        understand(text)


@pytest.mark.parametrize("fill", FILLS)
def test_time_grows_as_the_text_does(fill: str) -> None:
    for lead in ("", "From a", "Subject: a\nTo: b\n\n"):
        assert grows(_read, lambda size, lead=lead: lead + FILLS[fill](size), 6000) == "", lead


@pytest.mark.parametrize("name", ALL)
def test_half_a_match_is_given_up_soon(name: str) -> None:
    for number in range(len(half_matches(ALL[name], 8))):
        assert grows(_read, lambda size, at=number: half_matches(ALL[name], size)[at], 2000) == "", number


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(st.one_of(st.sampled_from([*FRAGMENTS, "crypt_map(", "NIP ", "From a\n"]), st.text(max_size=8))))
def test_nothing_raises(pieces: list[str]) -> None:
    _read("".join(pieces))


def test_called_is_what_has_a_parenthesis_or_an_offset() -> None:
    read = understand("crypt_map() and bio_endio+0x1/0x2, but no some_word, nor xcrypt_convert(s")
    assert set(read.functions) == {"crypt_map", "bio_endio", "xcrypt_convert"}
    assert set(understand("crypt_map", frozenset({"crypt_map"})).functions) == {"crypt_map"}
