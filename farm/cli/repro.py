"""`farm repro`: from a report to the testcases that may show it."""

import json
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from farm.cli.classify import to_json, visible
from farm.errors import UserError
from farm.repro.letter import Letter, read_letter
from farm.repro.ranking import Proposal, rank
from farm.repro.reached import load
from farm.repro.understanding import Understanding, understand

# Source packages of Debian 12, by the version of their kernels.
_SOURCES = {(6, 12): "debian:linux-source-6.12", (6, 1): "debian:linux-source-6.1"}
_DEFAULT = (6, 12)


@click.command()
@click.argument("report", metavar="REPORT")
@click.option("-n", "--most", type=click.IntRange(1, 100), default=5, show_default=True, metavar="N",
              help="Proposals that are shown.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(report: str, *, most: int, as_json: bool) -> None:
    """Read a bug report, say what was understood, and propose the testcases that exercise it.

    REPORT is a file, or - for standard input: a mail, an mbox, the text of a bugzilla entry, or a console log. The
    order of the proposals comes from measurements: which functions each testcase reaches (`farm reach`).

    \b
    Example: farm repro mail.txt
             journalctl -k | farm repro -
    """
    letter = read_report(report)
    reached = load()
    understood = understand(letter.text, reached.known)
    proposals = rank(understood, reached)[:most]
    if not proposals:
        raise UserError(f"{report} names nothing that a testcase of the farm reaches: no function, no subject. "
                        "`farm classify` reads crash reports of any subsystem.")
    if as_json:
        click.echo(json.dumps(_as_json(understood, proposals, letter.left_out)))
        return
    for line in [*_told(understood, letter.left_out), "", *_proposed(understood, proposals)]:
        click.echo(visible(line))


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
        "devices": ", ".join(report.targets), "ciphers": ", ".join(report.ciphers[:6]),
        "configuration": ", ".join(report.config[:8]), "commits": ", ".join(report.commits[:6]),
        "regression": ", ".join(report.regressions[:4]),
    }
    yield from (f"{what:<14} {text}" for what, text in rows.items() if text)
    yield from (f"note: {doubt}" for doubt in report.doubts)
    yield from (f"note: {what}." for what in left_out)


def _proposed(report: Understanding, proposals: Sequence[Proposal]) -> Iterator[str]:
    for place, one in enumerate(proposals, 1):
        yield f"{place}. {one.testcase}  ({one.share:.0%} of what is named)"
        yield f"   stacks: {'; '.join(one.stacks) or 'none'}"
        yield f"   reaches {', '.join(one.because)}"
        yield f"   {shlex.join(_command(report, one))}"


def _command(report: Understanding, one: Proposal) -> list[str]:
    source = source_for(report.versions)
    return ["farm", "run", one.testcase, *([f"--flavor={one.flavor}"] if one.flavor != "base" else []),
            *([f"--source={source}"] if source != _SOURCES[_DEFAULT] else [])]


def _as_json(report: Understanding, proposals: Sequence[Proposal], left_out: Sequence[str]) -> dict[str, Any]:
    return {
        "findings": [to_json("", one) for one in report.findings], "kernels": report.versions,
        "functions": dict(report.functions), "subjects": dict(report.concepts), "devices": report.targets,
        "ciphers": report.ciphers, "config": report.config, "commits": report.commits,
        "regressions": report.regressions, "doubts": [*report.doubts, *left_out], "flavors": report.flavors,
        "proposals": [{**asdict(one), "command": _command(report, one)} for one in proposals]}
