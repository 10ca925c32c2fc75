"""`farm repro`: from a report to the testcases that may show it, and with `--run` to its failure."""

import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from farm.cli.classify import to_json
from farm.cli.options import options
from farm.cli.reproduce import Request, reproduce
from farm.errors import UserError
from farm.options import BUILD_OPTIONS, RUN_OPTIONS, as_arguments, without
from farm.repro.letter import Letter, read_letter
from farm.repro.ranking import Proposal, propose
from farm.repro.understanding import Understanding, understand
from farm.results.reached import load
from farm.textform import printable

# Source packages of Debian 12, by the version of their kernels.
_SOURCES = {(6, 12): "debian:linux-source-6.12", (6, 1): "debian:linux-source-6.1"}
_DEFAULT = (6, 12)


_TABLE = (*BUILD_OPTIONS, *without(RUN_OPTIONS, "--ssh-port", "--runs-dir"))


@click.command()
@click.argument("report", metavar="REPORT")
@click.option("-n", "--most", type=click.IntRange(1, 100), default=5, show_default=True, metavar="N",
              help="Proposals that are shown, and run.")
@click.option("--run", "run_them", is_flag=True, help="Run the proposals, in this order, until one shows the failure "
              "of the report; then look for the smallest setup that does.")
@click.option("--tries", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
              help="Times that all proposals are run before giving up.")
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, metavar="N",
              help="Runs of the smallest setup, for the rate.")
@click.option("--budget", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="MINUTES",
              help="Time of runs, without their waiting for room on this host, after which no new one begins but for "
              "those of --runs.")
@click.option("--dir", "directory", type=Path, metavar="DIR",
              help="Directory of the reproduction.  [default: one below `reproductions`, named after what is asked]")
@options(_TABLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; progress goes to stderr.")
def command(
    report: str, *, most: int, run_them: bool, tries: int, runs: int, budget: float, directory: Path | None,
    as_json: bool, **given: Any,
) -> int:
    """Read a bug report or a patch, say what was understood, and propose the testcases that exercise it.

    REPORT is a file, or - for standard input: a mail, an mbox, the text of a bugzilla entry, a console log, or a diff.
    The order of the proposals comes from measurements: which functions each testcase reaches (`farm reach`). For a
    patch those come first whose text names a function that it changes, or that caught a mutant there.

    With --run they are run, on the kernel that the options name or else on Debian's nearest to the report's. The same
    failure is one of the kind and in the function that the report's crash report has or, without one, of the kind that
    its words speak of; any other is told, and not taken for it. The exit status is 0 when it showed, 1 when every
    proposal was run and none did, 125 when some could not be judged, 128 and above when the host or the request is to
    blame. After an interruption the same command goes on where it was.

    \b
    Example: farm repro mail.txt
             journalctl -k | farm repro -
             git show | farm repro -
             farm repro mail.txt --run --tree ~/linux --rev v6.12
    """
    letter = read_report(report)
    reached = load()
    understood = understand(letter.text, reached.known)
    proposals = propose(understood, reached)[:most]
    if not proposals:
        raise UserError(_nothing(report, list(understood.functions), reached.known))
    source = click.get_current_context().get_parameter_source("flavor")
    given |= {"source": _source(given, understood.versions), "flavor": given["flavor"] if source is
              ParameterSource.COMMANDLINE else None}
    about = _as_json(understood, proposals, letter.left_out, given)
    if as_json and not run_them:
        click.echo(json.dumps(about))
    else:
        for line in [*_told(understood, letter.left_out), "", *_proposed(understood, proposals, given)]:
            click.echo(printable(line), err=as_json)
    if not run_them:
        return 0
    click.echo("", err=as_json)
    return reproduce(
        Request(report, letter.text, understood, tuple(proposals), given, tries, runs, budget * 60, directory),
        about if as_json else None)


def read_report(name: str) -> Letter:
    """The text of a report in a file, or of standard input for `-`. Raises UserError."""
    if name == "-":
        return read_letter(sys.stdin.buffer.read(), "standard input")
    try:
        return read_letter(Path(name).read_bytes(), name)
    except OSError as error:
        raise UserError(f"The report {name} cannot be read: {error.strerror}. Name a file, or - for standard input."
                        ) from error


def source_for(versions: Sequence[str]) -> str:
    """The source package whose kernel is nearest to the first of these versions."""
    match = re.match(r"(\d+)\.(\d+)", versions[0]) if versions else None
    wanted = (int(match[1]), int(match[2])) if match else _DEFAULT
    # No series has had a hundred releases.
    return _SOURCES[min(_SOURCES, key=lambda one: abs(100 * (one[0] - wanted[0]) + one[1] - wanted[1]))]


def _nothing(report: str, functions: Sequence[str], reached: frozenset[str]) -> str:
    """Why no testcase is proposed for a report that names these functions."""
    if functions and reached.issuperset(functions):
        return (f"Every testcase of the farm reaches what {report} names ({', '.join(functions[:3])}): none is more "
                "about it than others. `farm run`, for a patch with --patch, begins with the smoke plan.")
    return (f"{report} names nothing that a testcase of the farm reaches: no function, no subject. "
            "`farm classify` reads crash reports of any subsystem.")


def _told(report: Understanding, left_out: Sequence[str]) -> Iterator[str]:
    """What was understood, and how sure that is."""
    for finding in report.findings:
        sure = "a guess: it is cut off" if finding.corrupted else "certain"
        yield f"crash report   {finding.title}  ({sure})"
    functions = sorted(report.functions.items(), key=lambda item: -item[1])[:8]
    rows = {
        "kernel": ", ".join(report.versions[:4]),
        "functions": ", ".join(f"{name} ({report.how(name)})" for name, _ in functions),
        "subjects": ", ".join(f"{name} ({count} times)" for name, count in
                              sorted(report.concepts.items(), key=lambda item: -item[1])),
        "failure": ", ".join(f"{name} ({count} times)" for name, count in report.failures.items()),
        "devices": ", ".join(report.targets), "ciphers": ", ".join(report.ciphers[:6]),
        "configuration": ", ".join(report.config[:8]), "commits": ", ".join(report.commits[:6]),
        "regression": ", ".join(report.regressions[:4]),
        "changes": ", ".join([*report.changes.functions[:8], *(f"in {file}" for file in report.changes.files[:4])]),
    }
    yield from (f"{what:<14} {text}" for what, text in rows.items() if text)
    yield from (f"note: {doubt}" for doubt in report.doubts)
    yield from (f"note: {what}." for what in left_out)


def _proposed(report: Understanding, proposals: Sequence[Proposal], given: Mapping[str, Any]) -> Iterator[str]:
    for place, one in enumerate(proposals, 1):
        yield f"{place}. {one.testcase}  ({one.share:.0%} of what is named)"
        yield f"   stacks: {'; '.join(one.stacks) or 'none'}"
        if one.because:
            yield f"   reaches {', '.join(one.because)}"
        if one.standing.names:
            yield f"   says that it is about {', '.join(one.standing.names[:4])}"
        if one.standing.caught:
            yield f"   caught in it {', '.join(one.standing.caught[:4])}"
        elif one.standing.nearby:
            yield f"   caught in the same file {', '.join(one.standing.nearby[:4])}"
        yield f"   {shlex.join(_command(one, given))}"


def _source(given: Mapping[str, Any], versions: Sequence[str]) -> str | None:
    """The source package, unless the user names another kernel; None for the default one."""
    if given["tree"] or given["source"] or given["kernel_image"]:
        named: str | None = given["source"]
        return named
    nearest = source_for(versions)
    return nearest if nearest != _SOURCES[_DEFAULT] else None


def _command(one: Proposal, given: Mapping[str, Any]) -> list[str]:
    return ["farm", "run", one.testcase, *as_arguments({**given, "flavor": given["flavor"] or one.flavor}, _TABLE)]


def _as_json(
    report: Understanding, proposals: Sequence[Proposal], left_out: Sequence[str], given: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "findings": [to_json("", one) for one in report.findings], "kernels": report.versions,
        "functions": dict(report.functions), "subjects": dict(report.concepts),
        "failures": dict(report.failures), "devices": report.targets,
        "ciphers": report.ciphers, "config": report.config, "commits": report.commits,
        "regressions": report.regressions, "changes": asdict(report.changes),
        "doubts": [*report.doubts, *left_out], "flavors": report.flavors,
        "proposals": [{**asdict(one), "command": _command(one, given)} for one in proposals]}
