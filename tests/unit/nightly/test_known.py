"""Known failures: the file, what it excuses, and whom it reminds."""

from datetime import date

import pytest

from farm.errors import UserError
from farm.nightly.known import excuse, read_known, remarks
from farm.results.values import Change, Series, VerdictRow

TODAY = date(2026, 11, 21)
ENTRY = """
[[known]]
signature = "oops:f"
note = "a fix is under review"
owner = "Ada <ada@example.org>"
expires = 2026-11-21
"""
NEW = VerdictRow(Series("6.12", "base", "t"), Change.NEW, "oops:f", "oops in f")
FIXED = VerdictRow(Series("6.12", "base", "t"), Change.FIXED, "oops:f", "oops in f")


def entries(tmp_path, text):
    (tmp_path / "known.toml").write_text(text)
    return read_known(tmp_path / "known.toml")


def test_a_known_failure_is_excused_with_its_note_until_its_last_day(tmp_path):
    known = entries(tmp_path, ENTRY)
    assert excuse([NEW], known, TODAY)[0].known == "a fix is under review (Ada <ada@example.org>)"
    assert excuse([NEW], known, date(2026, 11, 22))[0].known == ""
    assert remarks([NEW], known, TODAY) == ()


def test_only_its_signature_is_excused(tmp_path):
    known = entries(tmp_path, ENTRY.replace("oops:f", "oops"))
    assert excuse([NEW, VerdictRow(NEW.series, Change.PASSES)], known, TODAY) == (
        NEW, VerdictRow(NEW.series, Change.PASSES))


@pytest.mark.parametrize(("fixed_by", "today", "verdict", "contained", "excused", "words"), [
    ("", date(2027, 1, 1), NEW, None, False, "expired on 2026-11-21 and still shows"),
    ("", date(2027, 1, 1), FIXED, None, False, "expired on 2026-11-21; remove it"),
    ("0123456789ab", TODAY, NEW, True, False, "still shows though this kernel has 0123456789ab"),
    ("0123456789ab", TODAY, NEW, False, True, ""),
    ("0123456789ab", TODAY, FIXED, None, True, "is mended by 0123456789ab and did not show"),
])
def test_expired_and_fixed_entries_are_told_of(tmp_path, *, fixed_by, today, verdict, contained, excused, words):
    known = entries(tmp_path, ENTRY + f'fixed_by = "{fixed_by}"')
    told = remarks([verdict], known, today, lambda _: contained)
    assert bool(excuse([verdict], known, today, lambda _: contained)[0].known) is excused
    assert [words in one for one in told] == ([True] if words else [])


@pytest.mark.parametrize(("change", "place"), [
    (('signature = "oops:f"', ""), "known.0.signature: is missing"),
    (("2026-11-21", '"soon"'), "known.0.expires: "),
    (("owner =", 'colour = "red"\nowner ='), "known.0.colour: there is no such key"),
    (("[[known]]", "[[knwon]]"), "knwon: there is no such key"),
    (("= ", "== "), "is no TOML"),
])
def test_a_mistake_is_named_by_its_place(tmp_path, change, place):
    with pytest.raises(UserError, match=r"known\.toml") as raised:
        entries(tmp_path, ENTRY.replace(*change))
    assert place in str(raised.value)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_known(tmp_path / "nothing.toml")
