"""`farm qualify`: prove that the testcases catch the bugs that they were written for."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from farm.cli.options import options
from farm.cli.run import absolute_testcases
from farm.errors import UserError
from farm.host.cache import Store
from farm.host.workdir import Workdir
from farm.kernel import build
from farm.model import KernelId, Verdict
from farm.options import LIVE_OPTIONS, OPTIONS, build_request
from farm.progress import Display
from farm.qualify.execute import begin, require_qualification
from farm.qualify.mutant import Mutant, load_mutants
from farm.qualify.table import Row
from farm.textform import printable

# What a mutant, or the qualification itself, decides about.
_OWN = {"--patch", "--flavor", "--kernel-image", "--seed", "--ssh-port", *(option.flag for option in LIVE_OPTIONS)}
_SENTENCES = {
    Verdict.GOOD: "good: every mutant was caught, and the unmodified kernel passed",
    Verdict.BAD: "bad: a mutant got away, or the unmodified kernel was blamed",
    Verdict.SKIP: "skip: some runs said nothing, see the reasons above",
    Verdict.STOP: "stop: the host failed in some runs, see the reasons above",
}


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--runs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
              help="Runs of each mutant, and of its testcase on the unmodified kernel.")
@click.option("--resume", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
              help="Go on in this run directory (default: in the newest one in which the same was broken off).")
@options([option for option in OPTIONS if option.flag not in _OWN])
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; everything else goes to stderr.")
def command(names: Sequence[str], *, runs: int, resume: Path | None, as_json: bool, **given: Any) -> int:
    """Put bugs back into the kernel, and count how often their testcases notice.

    NAME is a mutant that comes with the farm (testcases/mutants/), or the path of a patch with such a header;
    without any, all of the farm's are tried. The exit status is 0 when every mutant was caught, in nine of ten runs
    and with the right kind of report, and the unmodified kernel passed; 1 when not; 125 or above when that could not
    be asked. Broken off, the same command line goes on where it was.

    \b
    Example: farm qualify dm-crypt-null-callback --runs 3
    """
    everything = {option.name: given.get(option.name, [] if option.multiple else option.default) for option in OPTIONS}
    known = load_mutants(names)
    absolute_testcases([mutant.testcase for mutant in known])  # before minutes of building
    if resume is not None:
        require_qualification(resume)
    kernel = _unmodified(everything)
    mutants = _applicable(known, kernel.release, named=bool(names))
    runs_dir = Path(str(everything.pop("runs_dir")))
    qualification = begin(mutants, runs, everything, runs_dir, kernel=kernel.build, resume=resume)
    _say(f"run directory: {qualification.directory}")
    table, verdict = qualification.carry_out(_say)
    if as_json:
        click.echo(json.dumps({
            "verdict": verdict.name.lower(), "status": int(verdict), "run": str(qualification.directory),
            "mutants": [{**asdict(row), "caught": row.caught} for row in table]}))
        return verdict
    for line in render(table):
        click.echo(line)
    click.echo(f"run directory: {qualification.directory}")
    click.echo(f"verdict: {_SENTENCES[verdict]}")
    return verdict


def _unmodified(given: Mapping[str, Any]) -> KernelId:
    """The kernel as it is, built to learn its release."""
    workdir = Workdir.default()
    with Display() as display:
        return build(build_request(given), workdir, Store(workdir.root / "store"), display).id


def _applicable(mutants: Sequence[Mutant], release: str, *, named: bool) -> tuple[Mutant, ...]:
    """The mutants made for this release. Raises UserError when one that was named is not, or none is."""
    others = [mutant for mutant in mutants if not mutant.is_for(release)]
    for mutant in others:
        _say(f"{mutant.name} is left out: made for {', '.join(mutant.kernels)}, not for {release}")
    if others and (named or len(others) == len(mutants)):
        raise UserError(f"The kernel is {release}, and {', '.join(one.name for one in others)} is made for "
                        "others. Choose another --source or --tree, or other mutants.")
    return tuple(mutant for mutant in mutants if mutant not in others)


def render(table: Sequence[Row]) -> list[str]:
    """The table as lines of text, with the reasons of runs that said nothing below it."""
    head = ("mutant", "report", "detected", "kind", "function", "latency", "false alarms", "seen")
    cells = [head, *(_cells(row) for row in table)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return [*map(printable, lines), *(printable(f"{row.name}: {one}") for row in table for one in row.troubles)]


def _cells(row: Row) -> tuple[str, ...]:
    def share(right: int | None) -> str:
        if right is None or not row.detected:
            return "-"
        return "right" if right == row.detected else f"right {right} of {row.detected}" if right else "wrong"

    return (row.name, row.report, f"{row.detected} of {row.runs}", share(row.right_kind), share(row.right_function),
            f"{row.latency:.1f} s" if row.latency is not None else "-", f"{row.false_alarms} of {row.unmodified}",
            ", ".join(row.seen) or "-")


def _say(line: str) -> None:
    click.echo(printable(line), err=True)
    sys.stderr.flush()
