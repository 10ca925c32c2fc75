"""`farm bisect`: from a good and a bad revision to the commit that made the difference."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from farm.bisect.config.request import holds_config
from farm.bisect.config.request import load as load_config
from farm.bisect.gitbisect import LOG
from farm.bisect.inputs import digests, of_testcases
from farm.bisect.report import render, to_json
from farm.bisect.request import Request, load
from farm.bisect.session import Session, resolve
from farm.bisect.state import Journal
from farm.bisect.values import ORDERS, SUSPECTS, Settings
from farm.cli.bisect_config import AS_JSON, CONFIDENCE, MATCH
from farm.cli.bisect_config import run as run_config
from farm.cli.judge import BUILD, RUN, subject_of
from farm.cli.options import options
from farm.cli.telling import announcer, echo
from farm.errors import UserError
from farm.guest.shell import visible
from farm.host.workdir import Workdir

_START = "start"
_DIRECTORY = click.argument("directory", type=click.Path(path_type=Path))


class _Bisect(click.Group):
    """`farm bisect OPTIONS TESTCASE` begins one; `log` and `resume` are about one that began."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [_START, *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "--tree PATH --good REV --bad REV [OPTIONS] TESTCASE...")


@click.group(cls=_Bisect, name="bisect")
def command() -> None:
    """Find the commit that brought a bug, or with --fix the one that mended it.

    All options: `farm bisect start --help`. The same command, given again after an interruption, goes on where it was.
    """


@command.command(_START)
@click.argument("testcases", nargs=-1, required=True, metavar="TESTCASE...")
@click.option("--tree", type=Path, required=True, metavar="PATH",
              help="Git repository with a kernel tree; it is never written to.")
@click.option("--good", required=True, metavar="REV", help="Revision without the bug.")
@click.option("--bad", required=True, metavar="REV", help="Revision with the bug.")
@click.option("--fix", is_flag=True, help="Find the commit that mended the bug: --bad comes before --good.")
@click.option("--path", "paths", multiple=True, metavar="PATH",
              help="Only commits that touch this file or directory; may be repeated.")
@MATCH
@click.option("--runs", type=click.IntRange(min=0), default=0, metavar="N",
              help="Runs of each revision.  [default: as many as the reproduction rate wants]")
@click.option("--jobs", type=click.IntRange(min=1), default=1, metavar="J", help="Judge J revisions at once.")
@CONFIDENCE
@click.option("--order", type=click.Choice(ORDERS), default=SUSPECTS, show_default=True,
              help="Who chooses the next revision: the farm, by which commits the failure speaks of, or git.")
@click.option("--dir", "directory", type=Path, metavar="DIR",
              help="Directory of the bisection.  [default: one below `bisections`, named after what is asked]")
@AS_JSON
@options((*BUILD, *RUN))
def start(
    testcases: Sequence[str], tree: Path, good: str, bad: str, *, paths: tuple[str, ...], directory: Path | None,
    as_json: bool, fix: bool, match: str, runs: int, jobs: int, confidence: float, order: str, **given: Any,
) -> int:
    """Begin a bisection, or go on with it.

    \b
    Example: farm bisect --tree ~/linux --good v6.11 --bad v6.12 test_crypt.py::test_xfs_on_crypt_on_pi
    """
    workdir = Workdir.default()
    subject = subject_of(tree, testcases, given)
    request = Request(
        subject, good=resolve(tree, good, workdir), bad=resolve(tree, bad, workdir),
        settings=Settings(fix=fix, match=match, runs=runs, jobs=jobs, confidence=confidence,
                          order=order, paths=tuple(_within(subject.tree, path) for path in paths)),
        inputs=digests([*given["patch"], *given["config_dir"], *of_testcases(subject.testcases)]))
    return _run(request, directory or Path("bisections") / request.name, as_json=as_json)


@command.command()
@_DIRECTORY
@AS_JSON
def resume(directory: Path, *, as_json: bool) -> int:
    """Go on with the bisection in DIRECTORY, be it of revisions or of configurations.

    \b
    Example: farm bisect resume bisections/xfs
    """
    if holds_config(directory):
        return run_config(load_config(directory), directory, as_json=as_json)
    return _run(load(directory), directory, as_json=as_json)


@command.command()
@_DIRECTORY
def log(directory: Path) -> None:
    """Print what git was told and why.

    It can be given to `git bisect replay`: what the farm saw stands in comments.

    \b
    Example: farm bisect log bisections/xfs > replay.log
    """
    if holds_config(directory):
        raise UserError(f"{directory} holds a search among configurations, of which git knows nothing.")
    load(directory)
    journal = Journal(directory)
    path = directory / LOG
    if not path.exists():
        raise UserError(f"{directory} has no {LOG} yet: its ends have not been verified.")
    for step in journal.steps.values():
        # In one line: git would obey one that begins with its name, and whoever crashed may have written it.
        why = visible(" ".join(step.why.split()))
        click.echo(f"# {step.commit[:12]} {step.answer.value}" + (f": {why}" if why else ""))
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
        click.echo(visible(line) if line.startswith("#") else line)


def _within(tree: Path, path: str) -> str:
    """A path of the tree, as git is told of it. Raises UserError for one that is empty or lies elsewhere."""
    if Path(path).is_relative_to(tree):
        path = str(Path(path).relative_to(tree))
    if not path or Path(path).is_absolute():
        raise UserError(f"--path {path!r} is no path in {tree}. Give one as `git log` takes it there.")
    return path


def _run(request: Request, directory: Path, *, as_json: bool) -> int:
    report = Session(request, directory, Workdir.default(), announcer()).run()
    echo(to_json(report), render(report)["report.txt"], as_json=as_json)
    return 0
