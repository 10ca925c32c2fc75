"""What a report is made of. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

from farm.model import Outcome
from farm.results.values import CellRow, Change, RunRow, VerdictRow

# In which order verdicts are told, the gravest first.
ORDER = (Change.NEW, Change.STILL, Change.FIXED, Change.FLAKY, Change.NEVER, Change.UNKNOWN, Change.PASSES)


class Status(IntEnum):
    """Exit status of `farm nightly`."""

    NOTHING_NEW = 0
    NEW_FAILURES = 1
    COULD_NOT_RUN = 2


@dataclass(frozen=True)
class NightReport:
    """One run with its verdicts."""

    run: RunRow
    # In the order in which they ended.
    cells: tuple[CellRow, ...]
    verdicts: tuple[VerdictRow, ...]
    # What somebody has to look at beside the verdicts: known failures that expired, say.
    remarks: tuple[str, ...] = ()
    # The last cell of each series that passed before, by the key of the series.
    good: Mapping[str, CellRow] = field(default_factory=dict)
    # The commit that brought a new failure, as far as it was bisected, by the failure's signature.
    culprits: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        # A kernel that was built and that nothing ran on says nothing; one that does not compile does.
        if not any(cell.judged and (cell.outcome is Outcome.FAIL or not cell.series.is_build) for cell in self.cells):
            return Status.COULD_NOT_RUN
        return Status.NEW_FAILURES if self.news else Status.NOTHING_NEW

    @property
    def news(self) -> tuple[VerdictRow, ...]:
        """New failures that nobody knows of."""
        return tuple(one for one in self.verdicts if one.change is Change.NEW and not one.known)

    @property
    def sorted(self) -> tuple[VerdictRow, ...]:
        """Those that are worth a line, the gravest first."""
        told = [one for one in self.verdicts if one.change is not Change.PASSES or one.slower]
        return tuple(sorted(told, key=lambda one: (ORDER.index(one.change), bool(one.known), str(one.series))))

    @property
    def counts(self) -> Mapping[Change, int]:
        """How many series have each verdict; those without are left out."""
        found = {change: sum(one.change is change for one in self.verdicts) for change in ORDER}
        return {change: count for change, count in found.items() if count}

    def cells_of(self, verdict: VerdictRow) -> tuple[CellRow, ...]:
        return tuple(cell for cell in self.cells if cell.series == verdict.series)

    def to_json(self) -> dict[str, Any]:
        return {
            "run": {**asdict(self.run), "state": self.run.state.value}, "status": int(self.status),
            "verdicts": [{**asdict(one), "change": one.change.value} for one in self.verdicts],
            "cells": [cell.to_json() for cell in self.cells], "remarks": list(self.remarks),
            "culprits": dict(self.culprits)}
