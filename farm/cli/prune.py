"""`farm prune`: room on the disk, without losing what failed."""

import json

import click

from farm.cli.cache import size_text
from farm.cli.nightly import DATABASE
from farm.report.prune import prune
from farm.results.database import reading


@click.command()
@click.option("--keep", type=click.IntRange(min=1), default=14, show_default=True, metavar="N",
              help="Runs of each plan that are left as they are.")
@click.option("--dry-run", is_flag=True, help="Print what would be dropped; drop nothing.")
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(keep: int, *, dry_run: bool, database: str, as_json: bool) -> None:
    """Drop consoles and other bulk of cells that passed, but for the latest runs of each plan.

    What failed stays whole, and so do all results in the database, and the command that repeats each cell.

    \b
    Example: farm prune --dry-run
    """
    with reading(database) as opened:
        found = list(prune(opened, keep=keep, dry_run=dry_run))
    size = sum(one.size for one in found)
    if as_json:
        click.echo(json.dumps({"cells": [str(one.path) for one in found], "bytes": size, "dry_run": dry_run}))
        return
    for one in found:
        click.echo(one.path)
    click.echo(f"{'would drop' if dry_run else 'dropped'} {size_text(size)} of {len(found)} cells")
