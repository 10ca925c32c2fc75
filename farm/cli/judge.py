"""`farm judge`: one revision, one answer, for plain `git bisect run`."""

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from farm.bisect import strategy
from farm.bisect.judge import FarmJudge, Subject, of_build
from farm.bisect.session import resolve, uncommitted
from farm.bisect.values import Answer, Run, Seen, parse_symptom
from farm.cli.options import options
from farm.cli.run import absolute_testcases, require_runnable
from farm.errors import InfrastructureError
from farm.host.workdir import Workdir
from farm.kernel.git import user_query
from farm.model import Verdict
from farm.options import BUILD_OPTIONS, RUN_OPTIONS, as_arguments, without
from farm.results.directory import new_run_directory
from farm.textform import printable

BUILD = without(BUILD_OPTIONS, "--source", "--tree", "--rev")
RUN = without(RUN_OPTIONS, "--kernel-image", "--ssh-port", "--runs-dir")
_STATUS = {Answer.BUG: Verdict.BAD, Answer.NO_BUG: Verdict.GOOD, Answer.SKIP: Verdict.SKIP}


@click.command()
@click.argument("testcases", nargs=-1, required=True, metavar="TESTCASE...")
@click.option("--tree", type=Path, metavar="PATH", default=".", help="Git repository with a kernel tree.  [default: .]")
@click.option("--rev", metavar="REV", help="Revision to judge.  [default: BISECT_HEAD, else HEAD]")
@click.option("--symptom", metavar="KIND[:FUNCTION]", help="The only failure that counts as bad; any other is a skip.")
@click.option("--runs", type=click.IntRange(min=1), default=1, metavar="N",
              help="Runs without the failure before the revision is good.  [default: 1]")
@options((*BUILD, *RUN))
@click.option("--runs-dir", type=Path, metavar="DIR", default="runs", help="Where run directories are made.")
def command(
    testcases: Sequence[str], tree: Path, rev: str | None, *, symptom: str | None, runs: int, runs_dir: Path,
    **given: Any,
) -> int:
    """Judge one revision: exit status 0 for good, 1 for bad, 125 for skip, 128 and above to stop.

    A kernel that does not build or does not boot is skipped, unless --symptom says `build` or what happens then; so is
    one to which a patch does not apply, and one that fails in another way than --symptom says.

    \b
    Example: git bisect start --no-checkout v6.13 v6.12
             git bisect run farm judge test_crypt.py --symptom hung-task
    """
    logging.basicConfig(format="farm: %(message)s", level=logging.INFO, stream=sys.stderr)
    wanted = parse_symptom(symptom) if symptom else None
    subject = subject_of(tree, testcases, given)
    commit = resolve(tree, rev or _head(tree), Workdir.default())
    if dirty := uncommitted(tree):
        click.echo(f"farm: {dirty}", err=True)
    judge = FarmJudge(subject, new_run_directory(runs_dir), boots=True)
    build = judge.build(commit)
    if build.seen is Seen.HOST:
        raise InfrastructureError(build.error)
    seen: list[Run] = []
    while (conclusion := strategy.conclude(seen, runs)) is None:
        run = of_build(commit, build, wanted) or judge.run(commit, build, wanted)
        if run.seen is Seen.HOST:
            raise InfrastructureError(run.title)
        seen.append(run)
    why = printable(conclusion.why or strategy.tally(seen))
    click.echo(f"{commit[:12]} {_STATUS[conclusion.answer].name.lower()}: {why}")
    return _STATUS[conclusion.answer]


def _head(tree: Path) -> str:
    """What git asks about: BISECT_HEAD when it bisects without a checkout."""
    asked = user_query(tree, ["rev-parse", "--verify", "--quiet", "BISECT_HEAD"])
    return "BISECT_HEAD" if asked.returncode == 0 else "HEAD"


def subject_of(tree: Path, testcases: Sequence[str], given: Mapping[str, Any]) -> Subject:
    """What the options say is judged; paths are absolute, so that it can go on from another directory."""
    fixed = {name: absolute(value) for name, value in given.items()}
    places = absolute_testcases(testcases)
    require_runnable(places, fixed, RUN)
    return Subject(tree.absolute(), places, tuple(as_arguments(fixed, BUILD)), tuple(as_arguments(fixed, RUN)))


def absolute(value: object) -> object:
    """The value of an option, with every path in it absolute."""
    if isinstance(value, Path):
        return value.absolute()
    return tuple(map(absolute, value)) if isinstance(value, tuple) else value
