"""The parser as a stream: chunks change nothing, nothing crashes it, nothing makes it grow."""

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.model import Finding
from farm.oops import KINDS, Parser, classify, findings
from farm.oops.lines import MAX_LINE

from . import reports, samples

_LINES = [line for text in reports.ALL.values() for line in text.splitlines()]
_LINES += [*samples.REPORTS.values(), *samples.EVENTS.values(), "------------[ cut here ]------------"]
_PREFIXES = ["", "[   12.345678] ", "[   12.345678][  T123] ", "[   12.345679][    C1] ", "<6>[   13.000000] ", "<4>",
             "Dec  4 15:56:11 host kernel: [   99.000000] ", "login: [   14.0", "[  T7] ", "\x1b[31m"]  # fmt: skip
_BREAKS = ["\n", "\r\n", "\r", "\n\n", " ", ""]
_pieces = st.one_of(
    st.builds(
        lambda prefix, line, end: (prefix + line + end).encode(),
        st.sampled_from(_PREFIXES), st.sampled_from(_LINES), st.sampled_from(_BREAKS),
    ),
    st.binary(max_size=40),
    st.builds(lambda size: b"x" * size, st.integers(MAX_LINE - 3, 2 * MAX_LINE + 3)),
)  # fmt: skip
_consoles = st.lists(_pieces, max_size=40).map(b"".join)
_HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large]
_slow = settings(max_examples=300, suppress_health_check=_HEALTH)


def _in_chunks(data: bytes, cuts: list[int]) -> list[Finding]:
    parser = Parser()
    found: list[Finding] = []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for first, last in pairwise(edges):
        found += parser.feed(data[first:last])
    return sorted(found + parser.close(), key=lambda finding: (finding.start, finding.end))


@_slow
@given(_consoles, st.lists(st.integers(0, 1 << 20), max_size=12))
def test_chunks_change_nothing(data: bytes, cuts: list[int]) -> None:
    whole = classify(data)
    parts = _in_chunks(data, cuts)
    assert whole == parts
    assert [one.text for one in whole] == [one.text for one in parts]


@_slow
@given(_consoles)
def test_findings_are_sound(data: bytes) -> None:
    for finding in classify(data):
        assert finding.kind in KINDS
        assert finding.title
        assert "{" not in finding.title or "{" in finding.text
        assert 0 <= finding.start <= finding.end <= len(data)
        assert finding.signature


@pytest.mark.parametrize("name", reports.ALL)
def test_byte_by_byte(name: str) -> None:
    data = reports.stamped(reports.ALL[name]).encode()
    assert _in_chunks(data, list(range(len(data)))) == classify(data)


def _led(prefix: str, text: str) -> str:
    return "".join(f"{prefix}{line}\n" for line in text.splitlines())


@pytest.mark.parametrize("name", reports.ALL)
@pytest.mark.parametrize("form", [
    "bare", "stamped", "callers", "levels", "crlf", "garbage", "syslog", "late", "journal", "terminal", "readable",
    "kmsg", "colours"])
def test_prefixes_change_nothing(name: str, form: str) -> None:
    text = reports.ALL[name]
    want = classify(text.encode())[0]
    spoiled = {
        "bare": text,
        "stamped": reports.stamped(text),
        "callers": reports.stamped(text, caller="T57"),
        "levels": reports.stamped(text, level="<4>"),
        "crlf": reports.stamped(text).replace("\n", "\r\n"),
        "garbage": "\x00\xff\x1b[2J login: \n" + reports.stamped(text) + "\x80\x00",
        "syslog": "".join(f"Dec  4 15:56:11 host kernel: {line}\n" for line in reports.stamped(text).splitlines()),
        # `journalctl -k`, wall messages of a syslog daemon, `dmesg -T`, extended netconsole, `dmesg -L`.
        "journal": _led("Dec 04 15:56:11 host kernel: ", text),
        "terminal": _led("kernel:", text),
        "readable": _led("[Wed Dec  4 15:56:11 2024] ", text),
        "kmsg": "".join(f"4,{n},{12_000_000 + n},-,caller=T57;{line}\n" for n, line in enumerate(text.splitlines())),
        "colours": _led("\x1b[32m[   12.000001] \x1b[0m\x1b[1m", text),
        "late": "x" * 1_000_000 + "\n" + reports.stamped(text),
    }[form].encode("latin-1")
    found = classify(spoiled)[0]
    facts = (found.kind, found.title, found.function, found.signature, found.process, found.corrupted, found.frames)
    assert facts == (want.kind, want.title, want.function, want.signature, want.process, want.corrupted, want.frames)


@pytest.mark.parametrize(
    "prefix",
    [
        "Dec 04 15:56:11.123456 host kernel: ", "1733324171.123456 host kernel: ", "[   12.345678] host kernel: ",
        "Wed 2024-12-04 15:56:11 CET host kernel: ", "2024-12-04T15:56:11.123456+01:00 host kernel: ",
        "2024-12-04T15:56:11,123456+01:00 ", "[   12.345678 <    0.000012>] ", "[  +0.000012] ", "[Dec 4 15:56] ",
        "kern  :warn  : [   12.345678] ", "kern  :warn  : [Wed Dec  4 15:56:11 2024] ",
        "2024-12-04T15:56:11.1234567Z ", "2024-12-04T15:56:11.1234567Z [   12.345678] ",
        "6.12.117-farm,4,400,12345678,-;", "6.12.117-farm,4,400,12345678,-,caller=T57;",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", reports.ALL)
def test_prefixes_of_tools_change_nothing(name: str, prefix: str) -> None:
    """The formats of journalctl -o, of dmesg's options, of CI systems and of netconsole."""
    want = classify(reports.ALL[name].encode())[0]
    found = classify(_led(prefix, reports.ALL[name]).encode())[0]
    assert (found.title, found.signature, found.frames) == (want.title, want.signature, want.frames)


def test_a_finding_is_given_as_soon_as_none_can_come_before_it() -> None:
    seen: list[str] = []

    def chunks() -> Iterator[bytes]:
        report = reports.stamped(reports.KASAN)
        for name, text in (("report", report), ("later", "[   99.000000] quiet\n"), ("end", "")):
            seen.append(name)
            yield text.encode()

    for found in findings(chunks()):
        seen.append(found.kind)
    assert seen == ["report", "kasan", "later", "end"]


def test_interleaved_cpus_are_told_apart() -> None:
    kasan = reports.stamped(reports.KASAN, caller="T57").splitlines()
    oops = reports.stamped(reports.OOPS, caller="T412").splitlines()
    mixed = [line for pair in zip(kasan, oops, strict=False) for line in pair] + oops[len(kasan) :] + kasan[len(oops) :]
    found = {one.kind: one for one in classify("\n".join(mixed).encode()) if not one.suppressed}
    assert found["kasan"].function == "crypt_dec_pending"
    assert found["oops"].function == "bio_integrity_prep"
    assert "bio_integrity_prep" not in found["kasan"].text


def test_a_report_under_way_is_told() -> None:
    parser = Parser()
    head, _, tail = reports.stamped(reports.HUNG).partition("\n")
    assert parser.feed((head + "\n").encode()) == []
    assert [kind for kind, _ in parser.pending] == ["hung-task"]
    assert parser.feed(tail.encode()) == []
    (found,) = parser.flush()
    assert found.function == "blk_mq_get_tag"
    assert not found.corrupted
    assert parser.pending == ()
    assert parser.close() == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("kasan", reports.KASAN),
        ("oops", reports.OOPS.partition("Kernel panic")[0]),
        ("panic", "Kernel panic - not syncing: dm-crypt\nCall Trace:\n panic+0x1/0x2\n crypt_map+0x1/0x2\n"
                  "---[ end Kernel panic - not syncing: dm-crypt ]---\n"),
    ],
)  # fmt: skip
def test_end_mark_completes_a_report(kind: str, text: str) -> None:
    parser = Parser()
    (found,) = parser.feed(reports.stamped(text).encode())
    assert found.kind == kind
    assert parser.pending == ()


def test_log_that_ends_in_the_middle_is_corrupted() -> None:
    head = reports.KASAN.split("Call Trace")[0]
    (found,) = classify(head.encode())
    assert (found.kind, found.function, found.corrupted) == ("kasan", "crypt_dec_pending", True)


def test_lost_messages_corrupt() -> None:
    text = reports.KASAN.replace("Call Trace:", "** 12 printk messages dropped ** Call Trace:")
    assert classify(text.encode())[0].corrupted


def test_a_quiet_minute_ends_a_report() -> None:
    parser = Parser()
    parser.feed(reports.stamped(reports.HUNG, start=200).encode())
    found = parser.feed(b"[  260.000000] dm-0: detected capacity change from 0 to 8192\n")
    assert [one.kind for one in found] == ["hung-task"]


def test_memory_is_bounded() -> None:
    quiet = b"[   12.345678] XFS (dm-0): Ending clean mount\n" * 20_000
    trigger = b"[   12.345678] BUG: KASAN: slab-out-of-bounds in foo+0x1/0x2\n" + b"x" * 2_000_000
    frames = b"[   12.345678]  foo+0x1/0x2\n" * 20_000
    parser = Parser()
    tracemalloc.start()
    for _ in range(3):
        for part in (quiet, trigger, b"\n", frames):
            for at in range(0, len(part), 65_536):
                parser.feed(part[at : at + 65_536])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000


def test_callers_without_end_are_bounded() -> None:
    parser = Parser()
    for number in range(500):
        parser.feed(f"[   12.345678][ T{number:4}] BUG: KASAN: slab-out-of-bounds in foo{number}+0x1/0x2\n".encode())
    assert len(parser.pending) < 20
