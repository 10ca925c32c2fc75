"""`farm build`: build a kernel, or find it in the cache."""

import json
import logging
import sys
import time
from dataclasses import asdict
from typing import Any

import click

from farm.cli.options import options
from farm.errors import RevisionError
from farm.host.cache import Store
from farm.host.workdir import Workdir
from farm.kernel import Kernel, build
from farm.model import UNFIT
from farm.options import BUILD_OPTIONS, build_request
from farm.progress import Display


@click.command()
@options(BUILD_OPTIONS)
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Compiler jobs.  [default: one per CPU]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; progress goes to stderr.")
def command(*, jobs: int | None, as_json: bool, **given: Any) -> None:
    """Build a kernel in a flavor, and keep it in the cache.

    The user's tree, its index and its worktrees are never touched: the farm checks revisions out in a work tree
    of its own.

    \b
    Example: farm build --tree ~/linux --rev v6.12 --flavor lockdep --config KASAN=n
    """
    logging.basicConfig(format="farm: %(message)s", level=logging.INFO, stream=sys.stderr)
    workdir = Workdir.default()
    started = time.monotonic()
    try:
        with Display() as display:
            kernel = build(build_request(given, jobs), workdir, Store(workdir.root / "store"), display)
    except RevisionError as error:
        if as_json:  # a mistake in one revision may be none in the next
            click.echo(json.dumps({UNFIT: str(error)}))
        raise
    _print(kernel, time.monotonic() - started, as_json=as_json)


def _print(kernel: Kernel, seconds: float, *, as_json: bool) -> None:
    if as_json:
        paths = {name: str(path) if path else None for name, path in _paths(kernel).items()}
        identity = asdict(kernel.id)
        identity["overrides"] = identity.pop("config")  # `config` is the file
        click.echo(json.dumps({**identity, **paths, "cached": kernel.cached, "seconds": round(seconds, 2),
                               "cpu_seconds": kernel.cpu_seconds}))
        return
    click.echo(f"key      {kernel.id.build}")
    click.echo(f"release  {kernel.id.release}")
    click.echo(f"flavor   {kernel.id.flavor}")
    for name, path in _paths(kernel).items():
        if path:
            click.echo(f"{name:8} {path}")
    how = "found in the cache" if kernel.cached else f"built with {kernel.cpu_seconds / 60:.1f} CPU-minutes"
    click.echo(f"seconds  {seconds:.2f} ({how})")


def _paths(kernel: Kernel) -> dict[str, Any]:
    return {"image": kernel.image, "config": kernel.config, "vmlinux": kernel.vmlinux, "modules": kernel.modules,
            "log": kernel.log}
