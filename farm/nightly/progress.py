"""Progress of a night: one line that is kept up to date on a terminal, plain lines elsewhere; always on stderr."""

import sys
import time
from collections.abc import Mapping
from typing import TextIO

from farm.model import Outcome
from farm.results.values import CellRow
from farm.textform import printable

# Seconds between two looks of the line; the clock in it moves on.
_REFRESH = 1.0


class Progress:
    """Counts what was planned and what ended."""

    def __init__(self, seconds: float, *, stream: TextIO | None = None) -> None:
        """`seconds`: how long it is expected to take."""
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._began, self._seconds = time.monotonic(), seconds
        self._planned = self._done = self._failed = 0
        self._what = ""
        self._drawn = 0.0
        # Testcases that run now; set by whoever runs them.
        self.running: Mapping[str, float] = {}

    def planned(self, count: int) -> None:
        """More cells will run."""
        self._planned += count

    def building(self, kernel: str) -> None:
        self._what = f"building {kernel}"
        if not self._terminal:
            self.say(self._what)
        self.tick()

    def ended(self, row: CellRow) -> None:
        """A cell ended, or a build."""
        self._what = ""
        self._done += not row.series.is_build
        self._failed += row.outcome is Outcome.FAIL
        if not self._terminal or row.outcome in (Outcome.FAIL, Outcome.ERROR):
            again = f", attempt {row.attempt}" if row.attempt > 1 else ""
            title = f": {row.title}" if row.title else ""
            count = "" if row.series.is_build else f"[{self._done}/{self._planned}] "
            self.say(f"{count}{row.outcome.value} {row.series}{again} ({row.seconds:.0f} s){title}")
        self.tick()

    def say(self, line: str) -> None:
        """A line that stays."""
        clear = "\r\x1b[K" if self._terminal else ""
        self._stream.write(f"{clear}{printable(line)}\n")
        self._stream.flush()
        self._drawn = 0.0

    def tick(self) -> None:
        """Keep the line up to date."""
        now = time.monotonic()
        if not self._terminal or now - self._drawn < _REFRESH:
            return
        self._drawn = now
        left = self._left(now)
        words = [f"{self._done} of {self._planned} cells", f"{self._failed} failed", f"{len(self.running)} running",
                 f"about {left / 60:.0f} min left" if left >= 90 else "nearly done"]
        self._stream.write("\r\x1b[K" + ", ".join([*words, *filter(None, [self._what])]))
        self._stream.flush()

    def _left(self, now: float) -> float:
        """By what was expected while little is done, by what is done later."""
        spent, share = now - self._began, self._done / max(1, self._planned)
        by_pace = spent / share - spent if share else self._seconds - spent
        return max(0.0, share * by_pace + (1 - share) * (self._seconds - spent))

    def close(self) -> None:
        """Leave the terminal's line."""
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
