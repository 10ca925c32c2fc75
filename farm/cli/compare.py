"""`farm compare`: what two runs do not agree on."""

import json
from dataclasses import asdict

import click

from farm.cli.nightly import DATABASE
from farm.report.compare import compare
from farm.results import queries
from farm.results.database import reading
from farm.textform import printable


@click.command()
@click.argument("old")
@click.argument("new", default="latest", metavar="[NEW]")
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def command(old: str, new: str, *, database: str, as_json: bool) -> None:
    """Show in which testcases two runs differ: OLD and NEW are names or numbers of runs, or `latest`.

    \b
    Example: farm compare 20261120-213000-1f3a latest
    """
    with reading(database) as opened:
        runs = [queries.find_run(opened, name) for name in (old, new)]
        cells = [queries.cells_of_run(opened, run.number) for run in runs]
    found = tuple(compare(*cells))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found]))
        return
    for one in found:
        click.echo(printable(f"{one.series}: {one.old} -> {one.new}"))
    click.echo(f"{len(found)} differences between {runs[0].name} and {runs[1].name}")
