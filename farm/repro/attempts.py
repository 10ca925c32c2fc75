"""The runs of a reproduction, written down as soon as each is known: `attempts.jsonl`, only ever appended to."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from farm.bisect.values import Seen
from farm.errors import UserError
from farm.repro.shrink import Setup, Tally
from farm.results import records
from farm.verdict import Cause, cause_from_json

FILE = "attempts.jsonl"
# A setup that shows nothing of the bug for one of these reasons would do so again.
_REFUSED = frozenset({Seen.UNASKED, Seen.NO_BUILD})


class Purpose(Enum):
    """What a run is for."""

    FIND = "find"  # does this proposal show it?
    SHRINK = "shrink"  # does this smaller setup show it?
    RATE = "rate"  # how often does the smallest show it?


@dataclass(frozen=True)
class Attempt:
    """One run."""

    purpose: Purpose
    testcase: str
    flavor: str
    seen: Seen
    # What happened, in a line.
    title: str = ""
    # The failure: the one that is meant where that showed, else what ended the run.
    cause: Cause | None = None
    # Directory of its cell, relative to the reproduction's; "" for a run without.
    directory: str = ""
    # Wall seconds, less those in which it waited for room on the host.
    seconds: float = 0.0
    # None for a proposal that came to no cell.
    setup: Setup | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "purpose": self.purpose.value, "seen": self.seen.value}


def from_json(value: Mapping[str, Any]) -> Attempt:
    """The inverse of `Attempt.to_json`. Raises KeyError, TypeError or ValueError for anything else."""
    setup = value["setup"]
    return Attempt(**{
        **value, "purpose": Purpose(value["purpose"]), "seen": Seen(value["seen"]),
        "cause": cause_from_json(value["cause"]),
        "setup": Setup(**{**setup, "namespaces": tuple(setup["namespaces"]), "stacks": tuple(setup["stacks"])})
        if setup else None})


class Journal:
    """What was run in a directory, in order."""

    def __init__(self, directory: Path) -> None:
        """Raises UserError when a record in it is none of this farm's."""
        self._path = directory / FILE
        self._lock = threading.Lock()
        self.attempts: list[Attempt] = []
        for number, entry in enumerate(records.read(self._path), 1):
            try:
                self.attempts.append(from_json(entry))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise UserError(f"{self._path}: record {number} cannot be read ({error}). "
                                "Begin anew in another --dir.") from error

    def add(self, attempt: Attempt) -> None:
        """Raises InfrastructureError when it cannot be written."""
        with self._lock:
            records.append(self._path, attempt.to_json())
            self.attempts.append(attempt)

    @property
    def seconds(self) -> float:
        """Wall time of all runs."""
        return sum(one.seconds for one in self.attempts)

    @property
    def shown(self) -> Attempt | None:
        """The first run that showed the failure."""
        return next((one for one in self.attempts if one.seen is Seen.BUG and one.setup), None)


def tallies(attempts: Iterable[Attempt]) -> dict[Setup, Tally]:
    """The runs of each setup; a host that failed says nothing of any."""
    found: dict[Setup, Tally] = {}
    for one in attempts:
        if one.setup is None or one.seen in (Seen.HOST, Seen.STOPPED):
            continue
        tally, showed = found.get(one.setup, Tally()), one.seen is Seen.BUG
        if one.purpose is Purpose.RATE:
            tally = Tally(tally.seen, tally.missed, tally.rated_seen + showed, tally.rated + 1, tally.refused)
        else:
            tally = Tally(tally.seen + showed, tally.missed + (not showed), tally.rated_seen, tally.rated,
                          tally.refused or one.seen in _REFUSED)
        found[one.setup] = tally
    return found
