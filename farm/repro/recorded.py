"""A run as its directory records it."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm.errors import UserError
from farm.guest.argv import kernel_parameters
from farm.model import Cell, Outcome
from farm.repro.manifest import MANIFEST, cell_of
from farm.results import records
from farm.results.directory import PATCHES, RESULT, TESTCASE
from farm.verdict import Cause, cause_from_json

COMMANDS = "commands.jsonl"
# What a host's own clock has on the kernel's command line; it would be wrong on any other.
_OF_THE_HOST = ("tsc_early_khz=",)


@dataclass(frozen=True)
class Recorded:
    """One cell of a run."""

    directory: Path
    cell: Cell
    outcome: Outcome
    title: str
    cause: Cause | None
    # Everything else that result.json says.
    facts: Mapping[str, Any]

    @property
    def patches(self) -> tuple[Path, ...]:
        """The patches of its kernel, in order. Raises UserError when one is missing or has changed."""
        paths = tuple(sorted((self.directory / PATCHES).glob("[0-9][0-9].patch")))
        digests = tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
        if digests != self.cell.kernel.patches:
            raise UserError(f"{self.directory / PATCHES} does not hold the {len(self.cell.kernel.patches)} patches of "
                            "the run's kernel. The directory was changed, or an older farm made it; run it again.")
        return paths

    @property
    def testcase(self) -> Path:
        return self.directory / TESTCASE

    @property
    def append(self) -> tuple[str, ...]:
        """The kernel's command line beyond what every guest gets, the machine says, and only this host needs."""
        with suppress(OSError, ValueError):
            argv = (self.directory / "qemu.txt").read_text(encoding="utf-8").splitlines()
            known = {*kernel_parameters(self.cell.machine), *self.cell.machine.append}
            return tuple(word for word in argv[argv.index("-append") + 1].split()
                         if word not in known and not word.startswith(_OF_THE_HOST))
        return ()

    @property
    def findings(self) -> Sequence[Mapping[str, Any]]:
        """Its crash reports that are not suppressed, earliest first."""
        return [one for one in self.facts.get("findings", ()) if not one.get("suppressed")]

    @property
    def report(self) -> Mapping[str, Any] | None:
        """The crash report that ended it, else its first one; None without any.

        What a testcase announced and saw stands among the reports too, and before the one that it failed by.
        """
        ended = [one for one in self.findings
                 if self.cause is not None and (one["kind"], one["title"]) == (self.cause.kind, self.cause.title)]
        return next(iter([*ended, *self.findings]), None)

    def commands(self) -> list[Mapping[str, Any]]:
        """What the testcase, and what it is made of, ran in the guest, by the time of its start."""
        over = float(self.facts.get("over") or "inf")
        ran = [one for one in records.read(self.directory / COMMANDS) if one.get("started", 0.0) < over]
        return sorted(ran, key=lambda one: float(one["started"]))


def load(directory: Path) -> Recorded:
    """The cell in a directory. Raises UserError when there is none, or it came in a bundle: nobody here ran it."""
    path = directory / RESULT
    if (directory / MANIFEST).exists():
        raise UserError(f"{directory} is an unpacked bundle and no run of this host: its testcase and its patches may "
                        "be a stranger's. `farm replay` repeats a bundle.")
    try:
        about = json.loads(path.read_bytes())
        return Recorded(directory.absolute(), cell_of(about["cell"], str(path)), Outcome(about["outcome"]),
                        str(about["title"]), cause_from_json(about.get("cause")), about)
    except OSError as error:
        raise UserError(f"{directory} is no run: {path} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is no record of a cell that this farm can read.") from error


def find(run: Path) -> Recorded:
    """The cell that is meant by a run directory or one of its cells.

    A run of several cells stands for the one that failed. Raises UserError, with the choices, when that is not clear.
    """
    if (run / RESULT).is_file() or not run.is_dir():
        return load(run)
    cells = [load(path.parent) for path in sorted(run.glob(f"*/{RESULT}"))]
    failed = [cell for cell in cells if cell.outcome is Outcome.FAIL]
    chosen = cells if len(cells) == 1 else failed
    if len(chosen) == 1:
        return chosen[0]
    if not cells:
        raise UserError(f"{run} is no run directory: nothing in it has a {RESULT}.")
    listed = "".join(f"\n  {cell.directory}  {cell.outcome.value}" for cell in (failed or cells))
    what = "cells that failed" if failed else "cells, of which none failed"
    raise UserError(f"{run} has {len(failed or cells)} {what}. Name one of them:{listed}")


def without_paths(line: str) -> str:
    """An argument of QEMU's without the directories of this host."""
    return re.sub(r"(^|file=)/(?:[^,/]+/)*", r"\1", line)
