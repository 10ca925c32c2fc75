"""`farm report`: a run of a plan, in the form that somebody wants."""

import json
from pathlib import Path

import click

from farm.cli.nightly import DATABASE
from farm.report import terminal
from farm.report.load import FORMATS, load, remarks_of, write
from farm.report.site import Site
from farm.results import queries
from farm.results.database import reading


@click.command()
@click.argument("run", default="latest", metavar="[RUN]")
@click.option("--format", "form", type=click.Choice(["text", *FORMATS]), default="text", show_default=True,
              help="A summary, JUnit XML, Markdown, a mail with regzbot's lines, or JSON for KCIDB.")
@click.option("--output", type=Path, metavar="FILE", help="Where to write it (default: standard output).")
@click.option("--site", type=Path, metavar="DIR", help="Write the static site of the run's plan there.")
@click.option("--nights", type=click.IntRange(1, 400), default=30, show_default=True, metavar="N",
              help="Runs that the site shows.")
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known of the run as one JSON object.")
def command(
    run: str, form: str, output: Path | None, site: Path | None, *, nights: int, database: str, as_json: bool,
) -> None:
    """Tell of RUN: its name, its number, or `latest`.

    \b
    Example: farm report latest --format markdown
    """
    with reading(database) as opened:
        found = queries.find_run(opened, run)
        if site is not None:
            remarks = {one.number: remarks_of(one) for one in queries.runs(opened, plan=found.plan, most=nights)}
            click.echo(Site(site, opened, found.plan, nights).write(remarks))
            return
        report = load(opened, found)
    if as_json:
        text = json.dumps(report.to_json()) + "\n"
    elif form == "text":
        text = "".join(f"{line}\n" for line in terminal.lines(report))
    else:
        text = FORMATS[form](report)
    if output is not None:
        write(output, text)
    else:
        click.echo(text, nl=False)
