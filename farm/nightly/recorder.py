"""Recording a run: first in the journal of its directory, then in the database.

    runs/20261120-213000-1f3a/
        night.json       the plan, how far it got, and remarks
        journal.jsonl    every batch that began, every cell that ended: what the database gets
        events/          what each `farm run` told while it ran
        logs/            what builds and runs said
        cells/           their run directories
        report/          the reports

The journal makes the run independent of the database: when that is locked, full or gone, cells are recorded in it
later, by the next one that ends, at the end, or by `farm nightly --resume`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from farm.errors import InfrastructureError
from farm.results import records
from farm.results.database import Database
from farm.results.values import CellRow, State, VerdictRow

JOURNAL = "journal.jsonl"
# A database that did not answer is not asked again for so long: a locked one makes everybody wait.
RETRY_SECONDS = 60.0
Say = Callable[[str], None]


class Recorder:
    """The journal of a run, and its copy in the database."""

    def __init__(self, directory: Path, database: Database, number: int, say: Say, *,
                 retry_seconds: float = RETRY_SECONDS) -> None:
        self._path = directory / JOURNAL
        self._database, self._number, self._say = database, number, say
        # By place, in the order in which they ended.
        self.rows: dict[tuple[str, int, int], CellRow] = {}
        # Cells that began together, by the number of their batch: key, repetition and attempt of each.
        self.batches: dict[int, list[tuple[str, int, int]]] = {}
        # Seconds that the run had lasted when something was last recorded.
        self.elapsed = 0.0
        # Not in the database yet.
        self._unsaved: list[CellRow] = []
        self._complained = False
        self._retry_seconds, self._asked = retry_seconds, 0.0
        self._read()

    def _read(self) -> None:
        for entry in records.read(self._path):
            with suppress(KeyError, TypeError, ValueError):
                self.elapsed = max(self.elapsed, float(entry["elapsed"]))
                if "batch" in entry:
                    self.batches[entry["batch"]] = [(key, int(one), int(two)) for key, one, two in entry["cells"]]
                else:
                    row = CellRow.from_json(entry["cell"])
                    self.rows[row.place] = row
        self._unsaved = list(self.rows.values())

    def begin_batch(self, cells: Sequence[tuple[str, int, int]], elapsed: float) -> int:
        """Write down what is about to run. Returns the batch's number. Raises InfrastructureError."""
        number = max(self.batches, default=0) + 1
        self._append({"batch": number, "cells": cells, "elapsed": elapsed})
        self.batches[number] = list(cells)
        return number

    def record(self, row: CellRow, elapsed: float) -> None:
        """Record a cell that ended, once. Raises InfrastructureError when not even the journal can be written."""
        if row.place in self.rows:
            return
        self._append({"cell": row.to_json(), "elapsed": elapsed})
        self.rows[row.place] = row
        self._unsaved.append(row)
        if not self._complained or time.monotonic() - self._asked >= self._retry_seconds:
            self.save()

    def _append(self, entry: Mapping[str, Any]) -> None:
        self.elapsed = max(self.elapsed, float(entry["elapsed"]))
        records.append(self._path, entry)

    def save(self) -> bool:
        """Bring the database up to date; False when it does not answer, which is said once."""
        self._asked = time.monotonic()
        try:
            self._database.record(self._number, self._unsaved)
        except InfrastructureError as error:
            if not self._complained:
                self._say(f"{error}. The run goes on; results are kept in {self._path} and recorded later.")
                self._complained = True
            return False
        if self._complained and self._unsaved:
            self._say(f"the results database answers again: {len(self._unsaved)} cells recorded")
        self._unsaved, self._complained = [], False
        return True

    def finish(self, verdicts: Sequence[VerdictRow], state: State, ended: float) -> bool:
        """Record the verdicts and the end; False when the database does not answer."""
        if not self.save():
            return False
        try:
            self._database.decide(self._number, verdicts)
            self._database.end(self._number, state, ended)
        except InfrastructureError as error:
            self._say(str(error))
            return False
        return True
