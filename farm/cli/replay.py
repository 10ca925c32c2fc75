"""`farm replay`: a bundle, run on this machine."""

import json
import logging
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from farm.cli.options import options
from farm.errors import UserError
from farm.host import lease
from farm.model import Verdict
from farm.options import OPTIONS
from farm.repro.archive import unpack
from farm.repro.manifest import Manifest
from farm.repro.replay import Comparison, arguments, replay
from farm.textform import printable

# What the user may choose; all else is the bundle's.
_CHOSEN = ("--tree", "--kernel-image", "--accel", "--ssh-port", "--dump-memory", "--runs-dir")
_SENTENCES = {
    Verdict.GOOD: "reproduced: it ended as in the bundle",
    Verdict.BAD: "not reproduced: it ended otherwise",
    Verdict.SKIP: "skip: nothing could be judged",
    Verdict.STOP: "stop: the host failed, nothing was judged",
}


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path), metavar="BUNDLE")
@options([option for option in OPTIONS if option.flag in _CHOSEN])
@click.option("--trust", is_flag=True, help="Build the kernel from the bundle's patches and configuration: their "
              "makefiles run on this host.")
@click.option("--unpack", "unpack_to", type=click.Path(path_type=Path), metavar="DIR",
              help="Only check it, and write its files into the new directory DIR.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; everything else goes to stderr.")
def command(bundle: Path, *, trust: bool, unpack_to: Path | None, as_json: bool, **given: Any) -> int:
    """Repeat the run in a bundle, and say whether it ends in the same way.

    The kernel is the bundle's, or built as its manifest says. Bundles may come from strangers: their digests and
    sizes are checked, and nothing in them is started but the kernel, in QEMU. The exit status is 0 when the run ended
    as in the bundle, 1 when it ended otherwise, 125 when nothing could be judged, 128 and above when the host or the
    request is to blame.

    \b
    Example: farm replay test_crypt.test_xfs-1f3a5b7c.farm.tar.gz --runs-dir /tmp/runs
    """
    logging.basicConfig(format="farm: %(message)s", level=logging.INFO, stream=sys.stderr)
    if not bundle.is_file():
        raise UserError(f"There is no bundle {bundle}. `farm bundle RUN` writes one.")
    files = _directory(unpack_to)
    try:
        manifest = unpack(bundle, files)
    except BaseException:
        shutil.rmtree(files, ignore_errors=True)  # nothing of a bundle that is refused stays
        raise
    _show(manifest)
    if unpack_to is not None:
        click.echo(f"unpacked into {unpack_to}: {len(manifest.files)} files, all as the manifest says", err=as_json)
        return 0
    everything = {option.name: given.get(option.name, [] if option.multiple else option.default) for option in OPTIONS}
    argv = arguments(manifest, files, everything, trust=trust)
    compared = replay(manifest, files, argv, files / "run.log")
    _print(compared, as_json=as_json)
    return compared.verdict


def _directory(wanted: Path | None) -> Path:
    if wanted is None:
        return lease.scratch_directory("replay")
    try:
        wanted.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--unpack {wanted}: {error.strerror}. Name a directory that does not exist yet.") from error
    return wanted


def _show(manifest: Manifest) -> None:
    cell = manifest.cell
    click.echo(f"testcase {printable(cell.testcase)}", err=True)
    click.echo(f"kernel   {printable(cell.kernel.release)} {cell.kernel.flavor}, {len(cell.kernel.patches)} patches, "
               f"{'in the bundle' if 'bzImage' in manifest.files else 'to be built'}", err=True)


def _print(compared: Comparison, *, as_json: bool) -> None:
    manifest = compared.manifest
    if as_json:
        click.echo(json.dumps({
            "verdict": compared.verdict.name.lower(), "status": int(compared.verdict),
            "bundle": {"outcome": manifest.outcome.value, "title": manifest.title,
                       "cause": asdict(manifest.cause) if manifest.cause else None},
            "here": {"outcome": compared.outcome.value, "title": compared.title,
                     "cause": asdict(compared.cause) if compared.cause else None},
            "differences": compared.differences,
            "directory": str(compared.directory) if compared.directory else None}))
        return
    for line in compared.differences:
        click.echo(f"note: {printable(line)}")
    for where, outcome, title in (("bundle", manifest.outcome, manifest.title),
                                  ("here", compared.outcome, compared.title)):
        click.echo(f"{where:8} {outcome.value:<6} {printable(title)}".rstrip())
    if compared.directory is not None:
        click.echo(f"cell: {compared.directory}")
    click.echo(f"verdict: {_SENTENCES[compared.verdict]}")
