"""Stacks and their text form."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import UserError
from farm.stack import LAYERS, Stack, parse_stack
from farm.stack.layers import Crypt, Linear, Luks2, Xfs

SAMPLES = {
    "cipher": ["aes-xts-plain64", "aes-cbc-essiv:sha256"],
    "number": [0, 1, 2056, 1 << 40],
}


def values_of(item: Any) -> st.SearchStrategy[Any]:
    form = item.metadata["value"]
    if form.type == "flag":
        return st.booleans()
    if form.choices:
        return st.sampled_from([int(choice) if form.type == "number" else choice for choice in form.choices])
    if form.type == "number":
        return st.integers(form.least, 10**14)
    return st.sampled_from(SAMPLES[item.name])


layers = st.one_of([
    st.builds(cls, **{item.name: values_of(item) for item in fields(cls)}) for cls in LAYERS.classes])


@given(st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True), st.lists(layers, max_size=5))
def test_round_trip(serial: str, made: list[Any]) -> None:
    stack = Stack(serial, tuple(made))
    assert parse_stack(str(stack)) == stack


def test_reads_the_documented_form() -> None:
    stack = parse_stack("data / linear:offset=2056 / luks2:integrity=hmac-sha256,sector_size=4096 / xfs")
    assert stack == Stack("data", (Linear(2056), Luks2(integrity="hmac-sha256", sector_size=4096), Xfs()))
    assert stack.name(0) == "farm-data-1-linear"


def test_a_cipher_of_drivers_keeps_its_colons_and_brackets() -> None:
    text = "data / crypt:cipher=capi:cryptd(xts(ecb(aes-generic)))-plain64,no_read_workqueue"
    assert parse_stack(text).layers == (
        Crypt("capi:cryptd(xts(ecb(aes-generic)))-plain64", no_read_workqueue=True),)
    assert str(parse_stack(text)) == text


@pytest.mark.parametrize(("text", "said"), [
    ("data / linear / luks", r"Layer 2 .* unknown layer 'luks'. Choose one of partition, linear"),
    ("data / linear:ofset=1", r"Layer 1 .* no option 'ofset'. Its options are: offset, size"),
    ("data / integrity:mode=fast", r"Layer 1 .* one of journal, bitmap, direct, inline"),
    ("data / crypt:cipher=rot13", r"Layer 1 .* aes-xts-plain64"),
    ("data / crypt:cipher=capi:$(reboot)-plain", r"Layer 1"),
    ("data / luks2:iterations=5", r"at least 1000"),
    ("", r"no namespace serial"),
    ("da ta / xfs", r"no namespace serial"),
])
def test_says_which_layer_is_wrong_and_what_would_do(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_stack(text)
