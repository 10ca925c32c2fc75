"""`farm dump`: what a guest's memory tells of its block layer."""

import json
from pathlib import Path

import click

from farm import dump
from farm.errors import UserError
from farm.evidence.memory import lacking
from farm.host import lease
from farm.host.cache import Store
from farm.host.workdir import Workdir


@click.command()
@click.argument("what", metavar="RUN|live")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="Keep the dump of a guest that runs in FILE.  [default: it is read and removed]")
@click.option("--vmlinux", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
              help="The kernel with debug information.  [default: the one of the run, from the cache]")
@click.option("--runs-dir", type=click.Path(path_type=Path), default="runs", show_default=True, metavar="DIR",
              help="Where `live` looks for runs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(what: str, *, output: Path | None, vmlinux: Path | None, runs_dir: Path, as_json: bool) -> None:
    """Print what a dump of a guest's memory tells, read by drgn.

    Where each blocked task stands, by file and line, with the bios and requests that it has in hand; block requests
    in flight; bios that suspended devices hold back; each disk with its integrity profile; device-mapper tables with
    the state of dm-crypt (never a key) and dm-integrity. RUN is the directory of a run with --dump-memory, or of one
    whose guest is still there; `live` is the only guest that --keep-on-failure, --break-at-report or `farm shell`
    keeps now. A guest that runs stands still for the seconds that its dump takes, and goes on. The kernel needs debug
    information: --flavor debuginfo or debug.

    \b
    Example: farm dump runs/20261121-213000-1f3a
             farm dump live -o vmcore
    """
    source = dump.find(what, runs_dir, Store(Workdir.default().root / "store"), vmlinux)
    if output is not None and (source.dump is not None or output.exists()):
        raise UserError(f"{output} exists already; name another file." if output.exists() else
                        f"--output is for a guest that runs: the dump of {what} lies in {source.dump}.")
    path = source.dump
    if path is None:
        why = lacking(source.vmlinux)
        if why and output is None:  # the guest would stand still for nothing
            raise UserError(f"The guest of {source.directory} was not asked: {why}")
        path = output or lease.scratch_directory("dump") / "vmcore"
        dump.request(source.directory, path)
    text = dump.report(source, path)
    kept = source.dump or output
    if as_json:
        click.echo(json.dumps({"cell": str(source.directory), "dump": str(kept) if kept else None,
                               "parts": [{"title": title, "lines": lines} for title, lines in dump.sections(text)]}))
        return
    click.echo(text, nl=False)
