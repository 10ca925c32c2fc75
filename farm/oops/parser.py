"""The streaming parser: console bytes in, findings out.

What comes out depends on the bytes alone, not on how they were cut into chunks, except for `flush`, which a monitor
calls when the console has gone quiet. Quiet output costs one scan for trigger words; only while a report is open
each line is looked at.
"""

import logging
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from farm.model import Finding
from farm.oops.events import event_words, match_event
from farm.oops.history import Boots, History
from farm.oops.lines import MAX_LINE, Line, split
from farm.oops.patterns import Pattern
from farm.oops.report import Report
from farm.oops.table import PATTERNS, match_line

log = logging.getLogger(__name__)

_CUT_HERE = "[ cut here ]"
_BANNER = "Linux version "
_INIT = " as init process"
# A line without any of these is of no interest by itself.
_WORDS = tuple(sorted({word for row in PATTERNS for word in row.words} | {*event_words(), _CUT_HERE, _BANNER, _INIT}))
_NEEDLES = tuple(word.encode() for word in _WORDS if not any(other in word for other in _WORDS if other != word))
# Capitals are rare in a console: an expression finds all words that begin with one in a single quick pass. The others
# are searched for one after the other, which is quicker than an expression that has to stop at every small letter.
_CAPITAL = re.compile(b"|".join(re.escape(needle) for needle in _NEEDLES if needle[:1].isupper()))
_SMALL = tuple(needle for needle in _NEEDLES if not needle[:1].isupper())
_BREAK = re.compile(rb"[\r\n]")
# Bytes that are searched at a time, which bounds what is kept about them.
_SLICE = 1 << 20
# Reports that may be open at once: one for each printing context.
_MAX_OPEN = 12
# Lines between `cut here` and the line that says what it is (kernel/panic.c, __warn_printk): one message.
_PREAMBLE = 12


def _marks(buffer: bytes, start: int, end: int) -> list[int]:
    """Where the words are in a part of the buffer: at least one place in each line that has any."""
    found = [match.start() for match in _CAPITAL.finditer(buffer, start, end)]
    for needle in _SMALL:
        at = buffer.find(needle, start, end)
        while at >= 0:
            found.append(at)
            at = buffer.find(needle, at + 1, end)
    found.sort()
    return found


class Parser:
    """Feed it the console in chunks of any size; a finding follows at the end of its report.

    An error in the analysis of a report does not lose it: what can be said without is its finding then.
    """

    def __init__(self) -> None:
        self._buffer = b""
        # Offset of the buffer in the stream.
        self._base = 0
        # Bytes of an overlong line that have been dropped; the line goes on.
        self._dropped = 0
        self._open: dict[str, Report] = {}
        # Printing context -> offset of its `cut here`, lines seen since, and those lines.
        self._preambles: dict[str, tuple[int, list[Line]]] = {}
        self._history = History()
        self._boots = Boots()
        self._found: list[Finding] = []

    @property
    def pending(self) -> tuple[tuple[str, str], ...]:
        """Kind and first line of each report that has begun and not ended."""
        return tuple((report.pattern.kind, report.first) for report in self._open.values())

    @property
    def horizon(self) -> int:
        """Offset in the stream before which no further finding will begin."""
        starts = (*(report.start for report in self._open.values()), *(start for start, _ in self._preambles.values()))
        return min(starts, default=self._base)

    def feed(self, data: bytes) -> list[Finding]:
        """The findings that became complete, earliest first."""
        if len(data) > _SLICE:
            for start in range(0, len(data), _SLICE):
                self._slice(data[start : start + _SLICE])
        else:
            self._slice(data)
        return self._take()

    def _slice(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        position = 0
        # Where the words are; searched for only when the first quiet stretch begins.
        marks: list[int] | None = None
        end = max(buffer.rfind(b"\n"), buffer.rfind(b"\r")) + 1
        while position < end:
            if self._quiet():
                marks = _marks(buffer, position, end) if marks is None else marks
                index = bisect_left(marks, position)
                if index == len(marks):
                    position = end
                    break
                mark = marks[index]
                line = max(buffer.rfind(b"\n", position, mark), buffer.rfind(b"\r", position, mark)) + 1
                position = max(position, line)
            stop = _BREAK.search(buffer, position)
            if stop is None:
                break
            self._physical(buffer[position : stop.start()], self._base + position)
            position = stop.end()
        self._base += position
        self._buffer = buffer[position:]
        if len(self._buffer) > MAX_LINE:
            self._dropped += len(self._buffer) - MAX_LINE
            self._buffer = self._buffer[:MAX_LINE]

    def flush(self) -> list[Finding]:
        """The console has gone quiet: what is open is complete."""
        for key in list(self._open):
            self._finish(key)
        return self._take()

    def close(self) -> list[Finding]:
        """The console has ended."""
        if self._buffer:
            self._physical(self._buffer, self._base)
            self._buffer = b""
        for report in self._open.values():
            report.cut = True
        return self.flush()

    def start_over(self) -> list[Finding]:
        """The machine was switched off: what comes next is the console of another boot, which was asked for."""
        length = len(self._buffer)
        found = self.close()
        self._base += length
        self._preambles.clear()
        # Nothing follows from what the kernel of the other boot has said.
        self._boots, self._history = Boots(), History()
        return found

    def _quiet(self) -> bool:
        """Whether only lines with one of the words need a look."""
        return not (self._open or self._preambles or self._dropped) and self._boots.first is not None

    def _take(self) -> list[Finding]:
        found, self._found = self._found, []
        found.sort(key=lambda finding: (finding.start, finding.end))
        return found

    def _physical(self, raw: bytes, start: int) -> None:
        end = start + len(raw) + self._dropped
        self._base += self._dropped
        self._dropped = 0
        for line in split(raw, start, end):
            self._line(line)

    def _line(self, line: Line) -> None:
        if self._boots.first is None:
            self._boots.note(line)
        text = line.text
        trigger = any(word in text for word in _WORDS)
        owner = self._owner(line)
        if trigger:
            if self._boot(line):
                return
            started = match_line(line.text)
            if started is not None:
                if owner is not None and owner.absorbs(started[0]):
                    owner.add(line)
                    return
                self._start(line, *started)
                return
            if owner is None or not owner.claims(line.text):
                event = match_event(line)
                if event is not None:
                    self._event(event)
                    return
            if _CUT_HERE in line.text and (owner is None or owner.settled):
                self._preambles[line.caller] = (line.start, [])
                while len(self._preambles) > _MAX_OPEN:
                    del self._preambles[next(iter(self._preambles))]
                return
        if owner is not None:
            owner.add(line)
            if owner.ended:
                self._finish(owner.key)
        elif line.caller in self._preambles:
            self._preamble(line)
        self._expire(line)

    def _owner(self, line: Line) -> Report | None:
        """The open report that a line belongs to."""
        report = self._open.get(line.caller)
        if report is None:
            return next((one for one in self._open.values() if one.shares(line)), None)
        if line.time < 0 <= report.time and not line.caller:
            return None  # userspace, or somebody else's half line, in between
        return report

    def _preamble(self, line: Line) -> None:
        lines = self._preambles[line.caller][1]
        lines.append(line)
        if len(lines) > _PREAMBLE:
            del self._preambles[line.caller]

    def _start(self, line: Line, pattern: Pattern, groups: dict[str, str]) -> None:
        if pattern.single:
            report = Report(pattern, groups, line.caller, line.start, line.text)
            report.add(line)
            self._history.began(pattern, line.start)
            self._report(report)
        else:
            self._open_report(line, pattern, groups)

    def _open_report(self, line: Line, pattern: Pattern, groups: dict[str, str]) -> None:
        start, before = self._preambles.pop(line.caller, (line.start, []))
        report = Report(pattern, groups, line.caller, start, line.text)
        report.before((one.caller, one.text) for one in before)
        earlier = self._open.get(line.caller)
        if earlier is not None and earlier.leads_to(pattern):
            report.start = earlier.start
            report.before(earlier.lines)
            del self._open[line.caller]
        elif earlier is not None:
            earlier.interrupted = True
            self._finish(line.caller)
        report.add(line)
        self._history.began(pattern, start)
        while len(self._open) >= _MAX_OPEN:
            self._finish(next(iter(self._open)))
        self._open[line.caller] = report

    def _event(self, event: Finding) -> None:
        finding = self._history.event(event)
        if finding is not None:
            self._found.append(finding)

    def _boot(self, line: Line) -> bool:
        """Banners of a boot; a second one is a reboot."""
        if _INIT in line.text and line.text.startswith("Run "):
            self._boots.up = True
            return True
        if not line.text.startswith(_BANNER):
            return False
        if self._boots.again(line.text):
            self._event(self._boots.finding(line))
        return True

    def _expire(self, line: Line) -> None:
        for key, report in list(self._open.items()):
            if report.stale(line):
                self._finish(key)

    def _finish(self, key: str) -> None:
        self._report(self._open.pop(key))

    def _report(self, report: Report) -> None:
        try:
            finding = report.finding()
        except Exception as error:  # a bug of the farm's; the kernel's, which the report is about, matters more
            log.warning("The farm could not read the report that begins with %r: %r", report.first, error)
            finding = report.unread(error)
        self._found.append(self._history.judge(finding, report.groups.get("reason", "")))


def findings(chunks: Iterable[bytes]) -> Iterator[Finding]:
    """The findings in a stream, earliest first, each as soon as none can come before it; in bounded memory."""
    parser = Parser()
    waiting: list[Finding] = []
    for chunk in chunks:
        waiting += parser.feed(chunk)
        waiting.sort(key=_position)
        ready = bisect_left(waiting, parser.horizon, key=lambda finding: finding.start)
        yield from waiting[:ready]
        del waiting[:ready]
    yield from sorted([*waiting, *parser.close()], key=_position)


def classify(data: bytes) -> list[Finding]:
    """All findings in a whole log, earliest first."""
    return list(findings([data]))


def _position(finding: Finding) -> tuple[int, int]:
    return finding.start, finding.end
