"""The record of a qualification: one line of JSON for each run that was made, appended as soon as it is known."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from farm.model import Outcome
from farm.qualify.plan import Step
from farm.results import records

FILE = "results.jsonl"


@dataclass(frozen=True)
class Record:
    """How one run ended."""

    step: Step
    # Where no cell came of it: SKIP when the kernel does not compile, else ERROR.
    outcome: Outcome
    # What it was: a crash report's kind, function and title, or the sentence of an error.
    kind: str = ""
    function: str = ""
    title: str = ""
    # Seconds from the start of the load until the testcase's failure was known; -1 when there was no load yet.
    latency: float = -1.0
    # Wall seconds of the run, boot included.
    seconds: float = 0.0
    # Where everything about it is, relative to the run directory; "" for no cell.
    directory: str = ""

    @property
    def judged(self) -> bool:
        """False when the run says nothing: the host failed, or the testcase was skipped."""
        return self.outcome in (Outcome.PASS, Outcome.FAIL)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "outcome": self.outcome.value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Record":
        return cls(**{**value, "step": Step(**value["step"]), "outcome": Outcome(value["outcome"])})


class Journal:
    """The file of records in a run directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE

    def read(self) -> dict[Step, Record]:
        """The last record of every step. A line that a dying process left cut off is no record."""
        found = {}
        for entry in records.read(self._path):
            try:
                record = Record.from_json(entry)
            except (KeyError, TypeError, ValueError):
                continue
            found[record.step] = record
        return found

    def append(self, record: Record) -> None:
        """Write a record so that it outlives whatever happens to this process next. Raises InfrastructureError."""
        records.append(self._path, record.to_json())
