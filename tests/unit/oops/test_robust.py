"""Whatever the text: nothing raises, no report is lost, and four times the text takes four times as long."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.oops import (
    Parser,
    checks,
    classify,
    demangle,
    events,
    faults,
    frames,
    history,
    lines,
    report,
    sanitizers,
    sections,
    tasks,
    title,
)
from farm.oops.events import EVENTS, match_event
from farm.oops.lines import MAX_LINE, Line, split
from tests.hostile import FRAGMENTS, grows, half_matches, patterns

from . import reports, samples

KASAN = "BUG: KASAN: slab-use-after-free in a+0x1/0x2\nCall Trace:\n"
BLOCKED = "task:fio state:D stack:0 pid:412 ppid:1\nCall Trace:\n"
ALL = dict(patterns(checks, events, faults, frames, history, lines, report, sanitizers, sections, tasks, title))
_LINES = [*samples.REPORTS.values(), *samples.EVENTS.values(), *reports.KASAN.splitlines(), BLOCKED, KASAN]
_pieces = st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(_LINES), st.text(max_size=8))
_hostile = st.lists(_pieces, max_size=12).map("".join)
# What begins a mangled name, and what may go on for ever in one.
MANGLED = ("", "_R", "_RNvC", "_RI", "_RTB_", "_ZN", "_Z")


def _classified(text: str) -> None:
    for finding in classify(text.encode("utf-8", "replace")):
        json.dumps(asdict(finding))
        assert max(finding.sector, finding.sectors, finding.lba, finding.blocks) < 1 << 64


def _frames(text: str) -> None:
    for line in text.splitlines():
        frames.parse_frames(line)
        frames.parse_register(line)


ENTRIES: dict[str, Callable[[str], Any]] = {
    "classify": _classified, "report": lambda text: _classified(KASAN + text),
    "stuck": lambda text: tasks.stuck(BLOCKED + text), "frames": _frames,
    "names": lambda text: [frames.base_name(lead + text) for lead in MANGLED],
    "demangle": lambda text: [demangle.demangle(lead + text) for lead in MANGLED],
}


@pytest.mark.parametrize("entry", ENTRIES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(text=_hostile)
def test_nothing_raises(entry: str, text: str) -> None:
    ENTRIES[entry](text)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("fill", ["?", "(", " ", "0", "9", "²", "_", "1a", "f (a:?", " f (a:", "[<", "C", "TB_", "S"])
def test_time_grows_as_the_text_does(entry: str, fill: str) -> None:
    for lead in ("", " f (a:", " f+0x", "_RI", "_ZN"):
        assert grows(ENTRIES[entry], lambda size, lead=lead: lead + fill * (size // len(fill)), 4096) == "", lead


@pytest.mark.parametrize("name", ALL)
def test_half_a_match_is_given_up_soon(name: str) -> None:
    for run in (ENTRIES["classify"], ENTRIES["report"], ENTRIES["stuck"]):
        for number in range(len(half_matches(ALL[name], 8))):
            assert grows(run, lambda size, at=number: half_matches(ALL[name], size)[at], MAX_LINE // 4) == "", number


@pytest.mark.parametrize("event", [one for one in EVENTS if match_event(Line(samples.EVENTS[one.name], 0, 0))],
                         ids=lambda one: one.name)
def test_no_number_is_too_long_to_be_printed(event: events.Event) -> None:
    """Python neither reads nor prints more than 4300 decimal digits; hexadecimal ones become more."""
    for digits in ("f" * 4000, "9" * 3800):
        text = samples.EVENTS[event.name]
        match = event.regex.search(text)
        assert match
        for group in ("sector", "hex", "byte", "length", "lba", "blocks"):
            if match.groupdict().get(group):
                _classified(text[: match.start(group)] + digits + text[match.end(group):] + "\n")


def test_the_report_of_a_long_number_is_not_lost() -> None:
    text = f"XFS (sda): Metadata CRC error detected at foo+0x1, bar block 0x{'f' * 4000}\n"
    (found,) = classify(text.encode())
    assert (found.kind, found.function, found.sector) == ("verification", "foo", (1 << 64) - 1)
    assert str(found.sector) in json.dumps(asdict(found))


@pytest.mark.parametrize("name", ["_RNvC²foo", "_R²", "_RNvC", "_Z²", "_ZN٣abcE", "_ZN9abc", "_R" + "S" * 9000 + "y"])
def test_what_is_no_mangled_name_stays_as_it_is(name: str) -> None:
    assert demangle.demangle(name) == name


def test_a_name_of_other_digits_loses_no_report() -> None:
    text = KASAN + " _RNvC²foo+0x1/0x2\n crypt_map+0x1/0x2\n"
    (found,) = classify(text.encode())
    assert (found.kind, found.text) == ("kasan", text.strip("\n"))
    assert "crypt_map" in [frame.function for frame in found.frames]


def test_an_error_of_the_analysis_loses_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr("farm.oops.report.layout", fails)
    parser = Parser()
    (found,) = [*parser.feed(reports.KASAN.encode()), *parser.close()]
    assert (found.kind, found.corrupted, found.suppressed, found.function) == ("kasan", True, False, "")
    assert found.title == "kasan report that the farm could not read (ValueError)"
    assert found.text.splitlines()[0] in reports.KASAN
    assert found.signature


def test_a_line_is_cut_wherever_it_is_split() -> None:
    (line,) = split(b"a" * (3 * MAX_LINE), 0, 3 * MAX_LINE)
    assert (len(line.text), line.end) == (MAX_LINE, 3 * MAX_LINE)
