"""`farm tree import`: a kernel source package as a git tree of the user's."""

import time
from pathlib import Path

import click

from farm.host.workdir import Workdir
from farm.kernel.sources import import_tree


@click.group()
def command() -> None:
    """Turn a kernel source package into a git tree."""


@command.command("import")
@click.argument("source", metavar="debian:PACKAGE")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--no-checkout", is_flag=True, help="Leave the work tree empty: the farm needs none.")
def import_(source: str, directory: Path, *, no_checkout: bool) -> None:
    """Make DIRECTORY a git repository with the files of a source package as its first commit.

    Debian's linux-source packages hold the patched tree in one tarball; their patch series is not in them, so it is
    one commit.

    \b
    Example: farm tree import debian:linux-source-6.12 ~/linux
    """
    began = time.monotonic()
    commit = import_tree(source, directory, Workdir.default(), checkout=not no_checkout)
    click.echo(f"{commit}  {directory}  ({time.monotonic() - began:.0f} s)")
