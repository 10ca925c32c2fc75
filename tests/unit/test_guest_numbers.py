"""What a guest gone mad says in place of a number, or to keep its reader busy.

Python neither reads nor prints an integer of more than 4300 digits.
"""

from collections.abc import Callable

import pytest

from farm.errors import MissingFeatureError, UserError
from farm.growth import parse_slabinfo
from farm.leaks import allocated
from farm.model import Finding
from farm.stack import parse_stack
from farm.stack.ciphertext import parse_ciphertext
from farm.stack.crypto import algorithms
from farm.stack.features import check_features
from farm.stack.locate import parse_tables
from farm.workload import churn, fio_output, stress
from tests.hostile import grows

LONG = "9" * 5000
TABLES = (
    f"a: 0 8 linear 8:0 {LONG}", f"a: 0 8 crypt aes-xts-plain64 00 0 8:0 {LONG}",
    f"a: 0 8 crypt aes-xts-plain64 00 0 8:0 8 1 sector_size:{LONG}",
    f"a: 0 8 integrity 8:0 {LONG} 4 J 1 journal_sectors:8 interleave_sectors:8 buffer_sectors:8",
    f"a: 0 8 integrity 8:0 0 {LONG} J 1 journal_sectors:8 interleave_sectors:8 buffer_sectors:8",
    f"a: 0 8 integrity 8:0 0 4 J 3 journal_sectors:{LONG} interleave_sectors:8 buffer_sectors:8",
)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_without_end_is_none_that_can_be_seen_through(table: str) -> None:
    assert all(LONG[:20] not in str(mapped) for mapped in parse_tables(table).values())


@pytest.mark.parametrize("table", [
    f"0 8 crypt aes-xts-plain64 {'0' * 64} {LONG} 8:0 8", f"0 8 crypt aes-xts-plain64 00 0 8:0 8 1 sector_size:{LONG}",
    "0 8 crypt aes-xts-plain64 00 0 8:0 8 1 sector_size:x"])
def test_a_cipher_with_a_number_that_is_none_is_not_known(table: str) -> None:
    with pytest.raises(UserError, match="cannot decipher"):
        parse_ciphertext(table)


def test_other_numbers_without_end_are_passed_over() -> None:
    assert list(algorithms(f"name: a\ndriver: b\ntype: c\npriority: {LONG}\n")) == []
    assert parse_slabinfo(f"kmalloc-8 {LONG} 1\nkmalloc-16 7 8\n") == {"kmalloc-16": 7}
    leak = Finding("memory-leak", "x", text=f'  comm "a", pid 1, jiffies {LONG}\n')
    assert len(str(allocated(leak))) < 30
    with pytest.raises(MissingFeatureError):
        check_features(parse_stack("data / integrity:mode=inline"), f"integrity v{LONG}.0.0")
    assert fio_output.totals('{\n"jobs": [{"read": {"total_ios": ' + "9" * 4200 + "}}]\n}") == (1, 0, 0)


@pytest.mark.parametrize(("run", "unit"), [
    (fio_output.totals, "{\n"), (fio_output.io_errors, "fio: io_u error on file "),
    (fio_output.verify_errors, "a: bad at file "),
    (lambda text: list(churn._FAILED.finditer(text)), "a:"),
    (lambda text: list(churn._WRONG.finditer(text)), "farm-churn: "),
    (lambda text: list(stress._WRONG.finditer(text)), "fail:"),
    (lambda text: allocated(Finding("memory-leak", "x", text=text)), "\n"),
    (lambda text: allocated(Finding("memory-leak", "x", text=text)), " "),
])
def test_time_grows_as_the_text_does(run: Callable[[str], object], unit: str) -> None:
    assert grows(run, lambda size: unit * (size // len(unit)), 20_000) == ""
