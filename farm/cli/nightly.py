"""`farm nightly`: run a plan, and tell what changed since the last nights."""

import json
import logging
import sys
from pathlib import Path

import click

from farm.cli.telling import complain
from farm.errors import FarmError
from farm.nightly.matrix import PlannedCell
from farm.nightly.session import Prepared, Session, cells_by_kernel, matrix_of, open_plan, prepare
from farm.report import terminal
from farm.report.values import Status
from farm.results.database import Database

DATABASE = click.option(
    "--database", metavar="URL", default="", envvar="FARM_DATABASE", show_envvar=True,
    help="Where results are kept: sqlite:////path.db or postgresql://user@host/name.  [default: the farm's own SQLite]")


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Print the cells, the builds and how long it will take; run nothing.")
@click.option("--resume", is_flag=True, help="Go on with the run of this plan that was broken off; of several, with "
              "the newest that nobody is at.")
@click.option("--run", "name", metavar="NAME", default="", help="Go on with this run that was broken off.")
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; everything else goes to stderr.")
def command(plan: Path, *, dry_run: bool, resume: bool, name: str, database: str, as_json: bool) -> int:
    """Run the plan in the file PLAN, and tell what changed since the last nights.

    A failure is run again until it is known to be new or flaky. The exit status is 0 when nothing is new, 1 for new
    failures, 2 when the plan could not be run. docs/nightly.md describes plans; docs/nightly.toml is one.

    \b
    Example: farm nightly docs/nightly.toml --dry-run
    """
    logging.basicConfig(format="farm: %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        if dry_run:
            _dry_run(plan, database, as_json=as_json)
            return 0
        report = Session(plan, database, _say, resume=resume or bool(name), name=name).run()
    except FarmError as error:
        complain(error)
        return Status.COULD_NOT_RUN
    except KeyboardInterrupt:
        click.echo(f"\nfarm: interrupted; `farm nightly {plan} --resume` goes on.", err=True)
        raise
    if as_json:
        click.echo(json.dumps(report.to_json()))
    else:
        for line in terminal.lines(report):
            click.echo(line)
    return report.status


def _dry_run(path: Path, url: str, *, as_json: bool) -> None:
    plan, _ = open_plan(path)
    matrix = matrix_of(plan, path.absolute().parent)
    with Database(url or plan.database) as database:
        prepared = prepare(plan, matrix, database)
    made = prepared.schedule()
    if as_json:
        click.echo(json.dumps({
            "cells": [_as_json(cell) for cell in made.cells], "cut": [_as_json(cell) for cell in made.cut],
            "left_out": [{"series": str(series), "reason": reason} for series, reason in prepared.matrix.left_out],
            "builds": [f"{one.kernel} {one.flavor}" for one in prepared.builds], "seconds": round(made.seconds)}))
        return
    _print(prepared)


def _print(prepared: Prepared) -> None:
    made = prepared.schedule()
    for (kernel, flavor), cells in cells_by_kernel(made.cells).items():
        click.echo(f"{kernel} {flavor}: {len(cells)} cells")
        for cell in cells:
            where = " ".join(filter(None, (cell.series.machine, cell.series.stack)))
            again = f" (repetition {cell.repetition})" if cell.repetition > 1 else ""
            click.echo(f"    {cell.series.testcase}{f' on {where}' if where else ''}{again}")
    for series, reason in prepared.matrix.left_out:
        click.echo(f"left out: {series}: {reason}")
    for cell in made.cut:
        click.echo(f"cut, the time does not suffice: {cell.series}")
    click.echo(f"{len(made.cells)} cells, {len(prepared.builds)} builds, about {made.seconds / 60:.0f} min"
               f" with {prepared.plan.parallel} at a time")


def _as_json(cell: PlannedCell) -> dict[str, object]:
    series = cell.series
    return {"kernel": series.kernel, "flavor": series.flavor, "testcase": series.testcase, "machine": series.machine,
            "stack": series.stack, "repetition": cell.repetition, "priority": cell.priority}


def _say(line: str) -> None:
    click.echo(line, err=True)
