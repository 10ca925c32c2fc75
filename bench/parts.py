"""A long measurement in parts that outlive an interruption: what was measured is kept, what was under way goes on.

The time of a part is the sum over all its attempts, written down every few seconds: after a kill nothing but the last
of them is missing, and what an attempt has to repeat counts against the part.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from farm.results import records

_BEAT_SECONDS = 5.0


class Parts:
    """The parts of one measurement, in a file that may hold other ones too."""

    def __init__(self, path: Path, key: str) -> None:
        """`key` says what is measured: equal only for what may be added up."""
        self._path, self._key = path, key
        self._lock = threading.Lock()
        self._rows = [row for row in records.read(path) if row.get("key") == key]

    def found(self, part: str) -> Any:
        """What came of a part that was finished; None for any other."""
        return next((row["found"] for row in self._rows if row["part"] == part and "found" in row), None)

    def spent(self, part: str) -> float:
        """Seconds of all attempts so far."""
        return float(sum(row.get("seconds", 0.0) for row in self._rows if row["part"] == part))

    def finish(self, part: str, found: Any) -> None:
        """Keep what came of a part; JSON, and not None."""
        self._add(part, found=found)

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """An attempt at a part: its time counts, however it ends."""
        over = threading.Event()
        last = time.monotonic()

        def beat() -> None:
            nonlocal last
            while not over.wait(_BEAT_SECONDS):
                now = time.monotonic()
                self._add(part, seconds=now - last)
                last = now

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            end = time.monotonic()
            over.set()
            thread.join()
            self._add(part, seconds=max(0.0, end - last))

    def _add(self, part: str, **facts: Any) -> None:
        row = {"key": self._key, "part": part, **facts}
        with self._lock:
            records.append(self._path, row)
            self._rows.append(row)


def unfinished(path: Path, asked: dict[str, Any]) -> int | None:
    """The seed of the last measurement of that kind that was begun and not ended; None when there is none."""
    begun: dict[int, bool] = {}
    for row in records.read(path):
        if row.get("asked") == asked:
            begun.pop(row["seed"], None)
            begun[row["seed"]] = bool(row["ended"])
    return next((seed for seed, ended in reversed(begun.items()) if not ended), None)


def note(path: Path, asked: dict[str, Any], seed: int, *, ended: bool) -> None:
    """That a measurement began, or ended."""
    records.append(path, {"asked": asked, "seed": seed, "ended": ended})
