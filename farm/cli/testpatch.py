"""`farm test-patch`: does a patch mend what a testcase, or a report, shows?"""

import json
import logging
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from farm.bisect.shown import Meant, Shown
from farm.cli.options import options
from farm.cli.repro import read_report
from farm.cli.run import prepare, require_runnable, resolve
from farm.cli.telling import complain
from farm.deadline import Deadline
from farm.errors import BuildError, UserError
from farm.host import lease, process
from farm.kernel import DEFAULT_FLAVOR, patches
from farm.model import Verdict
from farm.options import BUILD_OPTIONS, RUN_OPTIONS, as_arguments, without
from farm.repro import trypatch
from farm.repro.likeness import likeness
from farm.repro.ranking import propose
from farm.repro.understanding import understand
from farm.results.reached import load
from farm.textform import printable

_TABLE = (*BUILD_OPTIONS, *without(RUN_OPTIONS, "--kernel-image", "--seed", "--ssh-port"))


@click.command()
@click.argument("fix", type=click.Path(path_type=Path), metavar="PATCH")
@click.option("--testcase", metavar="TESTCASE", help="What shows the failure, as `farm run` takes it.")
@click.option("--report", metavar="REPORT", help="A bug report, as `farm repro` takes it: its first proposal is run, "
              "unless --testcase names another, and what counts is what `farm repro --run` counts, "
              "in the flavor that its crash report asks for, if --flavor does not name one.")
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, metavar="N",
              help="Runs on each side.")
@options(_TABLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; progress goes to stderr.")
def command(
    fix: Path, *, testcase: str | None, report: str | None, runs: int, as_json: bool, **given: Any
) -> int:
    """Run a testcase without PATCH and with it, and put both side by side.

    --patch adds what both sides have. Without a report the failure that is meant is the one that most runs without
    PATCH show, by kind and function. Any other is told as another failure, and not taken for it. The exit status is 0
    when it showed without the patch and every run with it passed, 1 when a run with it failed, by whatever, 125 when
    it did not show or nothing ran with the patch, 128 and above when the host or the request is to blame.

    \b
    Example: farm test-patch fix.patch --testcase test_crypt_reclaim.py --tree ~/linux --runs 5
    """
    logging.basicConfig(format="farm: %(message)s", level=logging.INFO, stream=sys.stderr)
    patches.read(fix)
    place, meant = subject(testcase, report)
    if meant is not None and click.get_current_context().get_parameter_source("flavor") is ParameterSource.DEFAULT:
        given["flavor"] = meant.flavor
        _say(f"flavor {meant.flavor}")
    (path,) = resolve([place])
    require_runnable([path], given, _TABLE)
    kernel = str(given["tree"] or given["source"] or "Debian's Linux 6.12")
    try:
        # First of all: one that does not apply, or does not compile, would be noticed after all runs without it.
        prepare({**given, "kernel_image": None, "patch": (*given["patch"], fix)})
    except BuildError as error:
        complain(error)
        compared = trypatch.not_built(error)
        _print(compared, meant.counted if meant else "nothing was run", place, kernel, as_json=as_json)
        return compared.verdict
    logs, seed = lease.scratch_directory("test-patch"), secrets.randbelow(1 << 30)

    def side(what: str, added: Sequence[Path], meant: _Meant | None) -> tuple[trypatch.Try, ...]:
        _say(what)
        arguments = [path, *as_arguments({**given, "patch": (*given["patch"], *added)}, _TABLE)]
        return _run(arguments, runs, seed, logs, meant)

    without_it = side("without the patch", [], meant)
    meant = meant or _seen(without_it)
    compared = trypatch.compare(without_it, side("with the patch", [fix], meant), meant.covers)
    _print(compared, meant.counted, place, kernel, as_json=as_json)
    return compared.verdict


@dataclass(frozen=True)
class _Meant:
    """The failure that is meant."""

    covers: Meant
    # What counts, in words.
    counted: str
    # Flavor that reports it.
    flavor: str = DEFAULT_FLAVOR


def _run(arguments: Sequence[str], runs: int, seed: int, logs: Path, meant: _Meant | None) -> tuple[trypatch.Try, ...]:
    """The runs of one side, each told as soon as it is over."""
    made = []
    for number, one in enumerate(trypatch.run(arguments, runs, seed, logs), 1):
        # Before it is known which failure is meant, every failure is.
        shown = one.shows(meant.covers if meant else lambda _: True)
        _say(f"  run {number} of {runs}: {trypatch.describe(shown)}")
        made.append(one)
    return tuple(made)


def _seen(without: Sequence[trypatch.Try]) -> _Meant:
    """What counts where no report says so: what the runs without the patch showed."""
    symptom = trypatch.symptom_of(without)
    meant = _Meant(lambda _: False, "none, for no run without the patch failed")
    if symptom is not None:
        meant = _Meant(symptom.covers, f"{trypatch.name_of(symptom)}, as most runs without the patch show it")
    _say(f"the same failure: {meant.counted}")
    return meant


def subject(testcase: str | None, report: str | None) -> tuple[str, _Meant | None]:
    """The testcase, and what counts as the failure of the report; None without one."""
    if testcase is None and report is None:
        raise UserError("Say what shows the failure, by --testcase TESTCASE or by --report REPORT.")
    if report is None:
        assert testcase is not None
        return testcase, None
    reached = load()
    understood = understand(read_report(report).text, reached.known)
    if understood.empty:
        raise UserError(f"{report} names nothing by which a failure could be told: no crash report, no function, no "
                        "subject. With --testcase alone, what the runs without the patch show counts.")
    proposals = propose(understood, reached)
    if testcase is None and not proposals:
        raise UserError(f"{report} names nothing that a testcase of the farm reaches. Choose one with --testcase.")
    chosen = testcase or proposals[0].testcase
    counted = likeness(understood)
    _say(f"testcase {chosen}")
    _say(f"the same failure: {counted.text}")
    return chosen, _Meant(counted.covers, counted.text, understood.flavors[0])


def _who() -> str:
    """The user as git knows it."""
    found = [process.run(["git", "config", f"user.{what}"], deadline=Deadline(10.0), check=False).stdout.strip()
             for what in ("name", "email")]
    return f"{found[0]} <{found[1]}>" if all(found) else "YOUR NAME <YOUR ADDRESS>"


def _print(compared: trypatch.Comparison, counted: str, testcase: str, kernel: str, *, as_json: bool) -> None:
    summary = trypatch.credits_of(compared, _who(), testcase, kernel)
    if as_json:
        click.echo(json.dumps({
            "verdict": compared.verdict.name.lower(), "status": int(compared.verdict), "rate": compared.rate,
            "counted": counted, "symptom": next(map(asdict, compared.symptoms), None), "tested_by": summary,
            **{name: [_shown(one) for one in side]
               for name, side in (("without", compared.without), ("with", compared.patched))}}))
        return
    for line in trypatch.table(compared):
        click.echo(printable(line))
    if compared.verdict is Verdict.GOOD:
        click.echo(f"at this rate all runs with the patch pass by chance in {compared.chance:.0%} of cases")
    click.echo(f"verdict: {trypatch.sentence(compared)}")
    for line in ["", *summary] if summary else []:
        click.echo(printable(line))


def _shown(one: Shown) -> dict[str, str]:
    return {"outcome": trypatch.OUTCOMES[one.seen].value, "seen": one.seen.value, "title": one.title}


def _say(line: str) -> None:
    click.echo(printable(line), err=True)
