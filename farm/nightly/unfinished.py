"""Runs of a plan that were broken off, and which of them `--resume` goes on with."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from farm.errors import UserError
from farm.nightly.plan import Plan
from farm.nightly.recorder import JOURNAL
from farm.report.load import ABOUT
from farm.results import records
from farm.results.alone import is_taken


@dataclass(frozen=True)
class Unfinished:
    """A run that has begun and not ended."""

    directory: Path
    # When it began, in seconds since the epoch.
    started: float
    # Cells that it has recorded.
    cells: int = 0
    # A process is at it.
    running: bool = False
    # The plan reads as it did.
    same: bool = True

    def __str__(self) -> str:
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.started))
        state = "running now" if self.running else f"{self.cells} cells recorded"
        return f"{self.directory.name}  begun {began}, {state}{'' if self.same else ', by another text of the plan'}"


def unfinished(plan: Plan) -> tuple[Unfinished, ...]:
    """The runs of the plan of that name that have not ended, those first that began last."""
    found = []
    for path in plan.runs_dir.glob(f"*/{ABOUT}"):
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):  # no run of ours, or just vanishing
            about = json.loads(path.read_bytes())
            if "ended" not in about and about["plan"]["name"] == plan.name:
                found.append(Unfinished(
                    path.parent, float(about["started"]), _cells(path.parent), is_taken(path.parent),
                    about["digest"] == plan.digest))
    return tuple(sorted(found, key=lambda one: one.started, reverse=True))


def choose(found: Sequence[Unfinished], plan: Plan, name: str = "") -> tuple[Unfinished, tuple[Unfinished, ...]]:
    """The run to go on with, and those that could be gone on with as well. Pure.

    Without a name the newest that nobody is at, since a timer cannot be asked. Raises UserError, with the choices.
    """
    if name:
        chosen = next((one for one in found if Path(name).name == one.directory.name), None)
        if chosen is None:
            listed = "".join(f"\n  {one}" for one in found) or " none"
            raise UserError(f"no run {name} of the plan {plan.name} in {plan.runs_dir} is unfinished. "
                            f"These are:{listed}")
        if not chosen.same:
            raise UserError(f"the plan {plan.name} has changed since {chosen.directory.name} began: a run goes on only "
                            "with the same plan. Put its text back, or leave --resume out.")
        return chosen, ()
    able = [one for one in found if one.same and not one.running]
    if able:
        return able[0], tuple(able[1:])
    because = "".join(f"\n  {one}" for one in found)
    raise UserError(f"there is no unfinished run of this plan in {plan.runs_dir} to go on with. Leave --resume out."
                    + (f" What has not ended:{because}" if because else ""))


def _cells(directory: Path) -> int:
    return sum("cell" in entry for entry in records.read(directory / JOURNAL))
