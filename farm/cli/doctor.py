"""`farm doctor`: what this host has and lacks."""

import json

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from farm.host import doctor
from farm.host.tools import Need
from farm.host.workdir import Workdir
from farm.model import Verdict


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def command(*, as_json: bool) -> int:
    """Show the tools, the disk, the memory and the accelerator of this host.

    The exit status is 0 when a run is possible here.

    \b
    Example: farm doctor
    """
    report = doctor.report(Workdir.default())
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=1))
    else:
        _show(report, Console(highlight=False, soft_wrap=True))
    return Verdict.STOP if report.problems else 0


def _show(report: doctor.Report, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("tool", "version", "needed for"):
        table.add_column(heading)
    for one in report.tools:
        table.add_row(one.tool.name, _state(one), escape(one.tool.purpose))
    console.print(table)
    console.print()
    console.print(f"disk         {_gib(report.disk_mib)} free for {escape(str(report.cache))}")
    console.print(f"memory       {_gib(report.capacity.memory_mib)}, of which {_gib(report.capacity.available_mib)} "
                  f"available; {report.capacity.cpus} CPUs")
    name = f"{report.accelerator}: " if report.accelerator else ""
    console.print(f"accelerator  {name}{escape(report.accelerator_reason)}")
    if report.apt:
        console.print(f"\nThis installs what is missing:\n  {escape(report.apt)}")
    for problem in report.problems:
        console.print(f"[red]problem[/]      {escape(problem)}")
    console.print("\n[red]A run is not possible yet.[/]" if report.problems else "\nA run is possible here.")


def _state(one: doctor.Examined) -> str:
    if one.usable:
        return escape(one.version) or "found"
    if one.problem:
        return "[red]broken[/]"
    colour, weight = ("red", "") if one.tool.need is Need.REQUIRED else ("yellow", "optional, ")
    return f"[{colour}]missing[/] ({weight}package {one.tool.package})"


def _gib(mib: int) -> str:
    return f"{mib / 1024:.1f} GiB"
