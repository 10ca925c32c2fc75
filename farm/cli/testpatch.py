"""`farm test-patch`: does a patch mend what a testcase, or a report, shows?"""

import json
import logging
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from farm.cli.classify import visible
from farm.cli.options import options
from farm.cli.repro import read_report
from farm.cli.run import resolve
from farm.deadline import Deadline
from farm.errors import UserError
from farm.host import lease, process
from farm.kernel import patches
from farm.model import Finding, Verdict
from farm.options import BUILD_OPTIONS, RUN_OPTIONS, as_arguments, without
from farm.repro import trypatch
from farm.repro.ranking import rank
from farm.repro.reached import load
from farm.repro.understanding import understand

_TABLE = (*BUILD_OPTIONS, *without(RUN_OPTIONS, "--kernel-image", "--seed", "--ssh-port"))
_SENTENCES = {
    Verdict.GOOD: "good: it showed without the patch, and with it every run passed",
    Verdict.BAD: "bad: with the patch a run failed",
    Verdict.SKIP: "skip: it did not show without the patch, so the patch cannot be judged",
    Verdict.STOP: "stop: the host failed in some runs",
}


@click.command()
@click.argument("fix", type=click.Path(path_type=Path), metavar="PATCH")
@click.option("--testcase", metavar="TESTCASE", help="What shows the failure, as `farm run` takes it.")
@click.option("--report", metavar="REPORT", help="A bug report, as `farm repro` takes it: its first proposal is run, "
              "and only a failure that it names counts.")
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, metavar="N",
              help="Runs on each side.")
@options(_TABLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; progress goes to stderr.")
def command(
    fix: Path, *, testcase: str | None, report: str | None, runs: int, as_json: bool, **given: Any
) -> int:
    """Run a testcase without PATCH and with it, and put both side by side.

    --patch adds what both sides have. The exit status is 0 when the failure showed without the patch and every run with
    it passed, 1 when a run with it failed, 125 when it did not show, 128 and above when the host or the request is to
    blame.

    \b
    Example: farm test-patch fix.patch --testcase test_crypt_reclaim.py --tree ~/linux --runs 5
    """
    logging.basicConfig(format="farm: %(message)s", level=logging.INFO, stream=sys.stderr)
    patches.read(fix)
    place, reported = _subject(testcase, report)
    (path,) = resolve([place])
    log, seed = lease.scratch_directory("test-patch") / "log", secrets.randbelow(1 << 30)
    sides = []
    for what, given_patches in (("without the patch", given["patch"]), ("with the patch", (*given["patch"], fix))):
        _say(what)
        arguments = [path, *as_arguments({**given, "patch": given_patches}, _TABLE)]
        sides.append(tuple(trypatch.run(arguments, runs, seed, log, _say)))
    compared = trypatch.Comparison(sides[0], sides[1], trypatch.symptom_of(sides[0], reported))
    _print(compared, place, str(given["tree"] or given["source"] or "Debian's Linux 6.12"), as_json=as_json)
    return compared.verdict


def _subject(testcase: str | None, report: str | None) -> tuple[str, Sequence[Finding]]:
    """The testcase, and the crash reports of which one has to show."""
    if testcase is None and report is None:
        raise UserError("Say what shows the failure, by --testcase TESTCASE or by --report REPORT.")
    if report is None:
        assert testcase is not None
        return testcase, ()
    reached = load()
    understood = understand(read_report(report).text, reached.known)
    proposals = rank(understood, reached)
    if testcase is None and not proposals:
        raise UserError(f"{report} names nothing that a testcase of the farm reaches. Choose one with --testcase.")
    chosen = testcase or proposals[0].testcase
    _say(f"testcase {chosen}")
    return chosen, understood.findings


def _who() -> str:
    """The user as git knows it."""
    found = [process.run(["git", "config", f"user.{what}"], deadline=Deadline(10.0), check=False).stdout.strip()
             for what in ("name", "email")]
    return f"{found[0]} <{found[1]}>" if all(found) else "YOUR NAME <YOUR ADDRESS>"


def _print(compared: trypatch.Comparison, testcase: str, kernel: str, *, as_json: bool) -> None:
    summary = trypatch.credits_of(compared, _who(), testcase, kernel)
    if as_json:
        click.echo(json.dumps({
            "verdict": compared.verdict.name.lower(), "status": int(compared.verdict), "rate": compared.rate,
            "symptom": asdict(compared.symptom) if compared.symptom else None, "tested_by": summary,
            **{name: [{"outcome": one.outcome.value, "title": one.said} for one in side]
               for name, side in (("without", compared.without), ("with", compared.patched))}}))
        return
    for line in trypatch.table(compared):
        click.echo(visible(line))
    if compared.verdict is Verdict.GOOD:
        click.echo(f"at this rate all runs with the patch pass by chance in {compared.chance:.0%} of cases")
    click.echo(f"verdict: {_SENTENCES[compared.verdict]}")
    for line in ["", *summary] if summary else []:
        click.echo(visible(line))


def _say(line: str) -> None:
    click.echo(visible(line), err=True)
