"""`farm bundle`: a run as one file that travels."""

import json
from pathlib import Path

import click

from farm.host.cache import Store
from farm.host.workdir import Workdir
from farm.repro.bundle import bundle_name, missing, write_bundle
from farm.repro.recorded import find
from farm.repro.replay import command_line
from farm.textform import printable


@click.command()
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="Where to write it.  [default: a file here, named after the testcase]")
@click.option("--with-kernel", is_flag=True, help="Put the bzImage in: nothing has to be built to replay it.")
@click.option("--with-image", is_flag=True, help="Put the guest image in, with ssh keys of its own (about 150 MB): "
              "replay.sh then needs QEMU and ssh alone.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: Path, *, output: Path | None, with_kernel: bool, with_image: bool, as_json: bool) -> None:
    """Write the run in directory RUN, or the cell of it that failed, as one archive.

    It holds the revision, patches and .config of the kernel, the digest of the guest image, machine, stack, workload
    and seed, QEMU's argv and version, the console and the crash reports, a README with the one command that repeats
    it, and a script that does so without the farm.

    \b
    Example: farm bundle runs/20261121-213000-1f3a --with-kernel
    """
    recorded = find(run)
    path = output or Path(bundle_name(recorded))
    store = Store(Workdir.default().root / "store")
    manifest = write_bundle(recorded, path, store, with_kernel=with_kernel, with_image=with_image)
    size = path.stat().st_size
    if as_json:
        click.echo(json.dumps({"bundle": str(path), "size": size, "testcase": manifest.cell.testcase,
                               "outcome": manifest.outcome.value, "title": manifest.title}))
        return
    click.echo(f"testcase {printable(manifest.cell.testcase)}")
    click.echo(f"outcome  {manifest.outcome.value}  {printable(manifest.title)}".rstrip())
    click.echo(f"bundle   {path} ({size / (1 << 20):.1f} MiB)")
    for note in missing(recorded):
        click.echo(f"note: for replay.sh: {note}")
    click.echo(f"to repeat it: {command_line(manifest, str(path))}")
