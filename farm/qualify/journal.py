"""The record of a qualification: one line of JSON for each run that was made, appended as soon as it is known."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from farm.errors import InfrastructureError
from farm.model import Outcome
from farm.qualify.plan import Step

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
        lines = self._path.read_bytes().split(b"\n")[:-1] if self._path.exists() else []
        for line in lines:
            try:
                record = Record.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue
            found[record.step] = record
        return found

    def append(self, record: Record) -> None:
        """Write a record so that it outlives whatever happens to this process next. Raises InfrastructureError."""
        line = json.dumps(record.to_json(), sort_keys=True)
        try:
            # A cut-off line in front of it is ended first.
            torn = self._path.exists() and self._path.read_bytes()[-1:] not in (b"", b"\n")
            with self._path.open("a", encoding="utf-8") as out:
                out.write(("\n" if torn else "") + line + "\n")
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise InfrastructureError(f"cannot write {self._path} ({error.strerror})") from error
