"""`farm history`: what became of a testcase, or of a failure, night after night."""

import json
from collections.abc import Iterator, Sequence

import click

from farm.cli.nightly import DATABASE
from farm.errors import UserError
from farm.results import queries
from farm.results.database import Database, reading
from farm.results.queries import Recorded
from farm.results.values import RunRow
from farm.textform import printable


@click.command()
@click.argument("what", default="", metavar="[TESTCASE|SIGNATURE]")
@click.option("-n", "--most", type=click.IntRange(min=1), default=30, show_default=True, metavar="N",
              help="Cells of each series, or runs.")
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def command(what: str, *, most: int, database: str, as_json: bool) -> None:
    """Show the latest cells of a testcase or of a signature, newest first; a part of either will do.

    Without any, the latest runs. They are those of `farm nightly`; `farm run` records none.

    \b
    Example: farm history test_luks2.py::test_hmac_sha256_written_and_reopened
    """
    with reading(database) as opened:
        if not what:
            _print_runs(queries.runs(opened, most=most), as_json=as_json)
            return
        found = _find(opened, what, most)
        known = {run.number: run.name for run in queries.runs(opened, most=100_000)}
    if as_json:
        click.echo(json.dumps([{"run": known[number], **cell.to_json()} for number, cell in found]))
        return
    for line in lines(found, known):
        click.echo(printable(line))


def _find(database: Database, what: str, most: int) -> list[Recorded]:
    """By testcase, else by signature. Raises UserError when it is neither."""
    series = queries.series_of(database, what)
    if series:
        return [cell for one in series for cell in queries.history(database, one.key, most=most)]
    signatures = queries.signatures_like(database, what)
    if not signatures:
        raise UserError(f"{database.name} knows no testcase and no signature {what!r}. `farm history` lists the runs, "
                        "`farm report RUN` what a run saw.")
    return [cell for one in signatures for cell in queries.cells_of_signature(database, one, most=most)]


def lines(found: Sequence[Recorded], names: dict[int, str]) -> Iterator[str]:
    """A paragraph for each series."""
    series = None
    for number, cell in found:
        if cell.series != series:
            series = cell.series
            yield str(series)
        again = f" attempt {cell.attempt}" if cell.attempt > 1 else ""
        title = f"  {cell.title}" if cell.title else ""
        signature = f"  [{cell.signature}]" if cell.signature else ""
        where = f"{names[number]}  {cell.outcome.value:<5} {cell.seconds:7.1f} s  {cell.release}"
        yield f"    {where}{again}{title}{signature}"


def _print_runs(runs: Sequence[RunRow], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([{"name": run.name, "number": run.number, "plan": run.plan, "state": run.state.value,
                                "started": run.started, "ended": run.ended, "directory": run.directory}
                               for run in runs]))
        return
    if not runs:
        click.echo("no runs yet: `farm nightly` records them, `farm run` does not", err=True)
    for run in runs:
        click.echo(f"{run.number:>6}  {run.name}  {run.plan}  {run.state.value}  {run.directory}")
