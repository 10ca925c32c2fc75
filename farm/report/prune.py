"""Making room: what passed loses its bulk after some nights; what failed, and every result, is kept."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from farm.model import Outcome
from farm.report.evidence import cell_directory
from farm.results import queries
from farm.results.database import Database
from farm.results.directory import RESULT
from farm.results.values import RunRow, State

# What of a cell that passed is kept: what it was and how to repeat it.
KEPT = (RESULT, "command")


@dataclass(frozen=True)
class Pruned:
    """A cell's directory that was, or would be, made smaller."""

    path: Path
    # Bytes.
    size: int


def prune(database: Database, *, keep: int, dry_run: bool) -> Iterator[Pruned]:
    """Drop the bulk of cells that passed or were skipped, in all but the latest `keep` runs of each plan.

    A run that is not over is left alone.
    """
    everything = queries.runs(database, most=1_000_000)
    latest: dict[str, int] = {}
    for run in everything:
        latest[run.plan] = latest.get(run.plan, 0) + 1
        if latest[run.plan] > keep and run.state is not State.RUNNING:
            yield from _prune_run(database, run, dry_run=dry_run)


def _prune_run(database: Database, run: RunRow, *, dry_run: bool) -> Iterator[Pruned]:
    for cell in queries.cells_of_run(database, run.number):
        if cell.outcome in (Outcome.FAIL, Outcome.ERROR):
            continue
        directory = cell_directory(run.directory, cell)
        # A directory without a result is none of a cell's: nothing of it is touched.
        if directory is None or not (directory / RESULT).is_file():
            continue
        bulk = [path for path in directory.iterdir() if path.name not in KEPT]
        size = sum(_size(path) for path in bulk)
        if not bulk:
            continue
        if not dry_run:
            for path in bulk:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        yield Pruned(directory, size)


def _size(path: Path) -> int:
    """On the disk."""
    files = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    return sum(one.lstat().st_blocks * 512 for one in files)
