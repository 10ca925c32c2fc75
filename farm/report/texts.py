"""Markdown for CI systems, and a mail with regzbot's lines. Pure."""

import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from farm.report.terminal import percent
from farm.report.values import NightReport
from farm.results.values import CellRow, Change, VerdictRow
from farm.textform import printable

# Reruns and repetitions of one failure that a mail lists.
_MOST_LISTED = 10
_MARKDOWN = re.compile(r"([\\`*_{}\[\]|#~])")


def markdown(report: NightReport) -> str:
    """A summary, with a table of what is worth a line."""
    return "\n".join(_markdown(report)) + "\n"


def _markdown(report: NightReport) -> Iterator[str]:
    yield f"## {_escaped(report.run.plan)}: {_headline(report)}"
    yield ""
    yield f"Run {_escaped(report.run.name)}, {report.run.state.value}: " + ", ".join(
        f"{count} {change.value}" for change, count in report.counts.items()) + "."
    if report.sorted:
        yield ""
        yield "| verdict | testcase | where | what |"
        yield "| --- | --- | --- | --- |"
    for one in report.sorted:
        what = [one.title, percent(one) if one.change is Change.FLAKY else one.why,
                f"slower by {one.slower - 1:.0%}" if one.slower else "", f"known: {one.known}" if one.known else ""]
        yield f"| {one.change.value} | {_escaped(one.series.testcase)} | {_escaped(one.series.place)} | " \
              f"{_escaped('; '.join(filter(None, what)))} |"
    if report.remarks:
        yield ""
    for remark in report.remarks:
        yield f"- {_escaped(remark)}"


def _headline(report: NightReport) -> str:
    count = len(report.news)
    return f"{count} new failure{'s' * (count > 1)}" if count else "nothing new"


def _escaped(text: str) -> str:
    """In one line, and with nothing that Markdown or HTML would take for its own."""
    return escape(_MARKDOWN.sub(r"\\\1", printable(" ".join(text.split()))), quote=False)


def mail(report: NightReport) -> str:
    """A mail's headers and body: the new failures, one part for each signature, each with regzbot's lines."""
    return "\n".join(_mail(report)) + "\n"


def _mail(report: NightReport) -> Iterator[str]:
    yield f"Subject: [{printable(report.run.plan)}] {_headline(report)} in run {printable(report.run.name)}"
    yield "MIME-Version: 1.0"
    yield "Content-Type: text/plain; charset=utf-8"
    yield "Content-Transfer-Encoding: 8bit"
    yield ""
    news = sorted(report.news, key=lambda one: one.signature)
    for _, listed in groupby(news, key=lambda one: one.signature):
        yield from _regression(report, tuple(listed))
    for change in (Change.FIXED, Change.STILL, Change.FLAKY):
        found = [one for one in report.verdicts if one.change is change]
        if found:
            yield f"{change.value}:"
            yield from (f"  {printable(str(one.series))}: {printable(one.title)}" for one in found)
            yield ""
    yield from (printable(remark) for remark in report.remarks)


def _regression(report: NightReport, listed: Sequence[VerdictRow]) -> Iterator[str]:
    one = listed[0]
    failed: list[CellRow] = [cell for verdict in listed for cell in report.cells_of(verdict)
                             if cell.signature == one.signature]
    yield f"{printable(one.title)}"
    yield ""
    for verdict in listed:
        yield f"  {printable(str(verdict.series))}: {printable(verdict.why)}"
    if failed:
        cell = failed[0]
        yield f"  kernel: {printable(cell.release)} ({printable(cell.source)}), {printable(cell.compiler)}"
        yield f"  machine: {printable(cell.machine)}, {printable(cell.stacks)}, seed {cell.seed}"
    for cell in failed[:_MOST_LISTED]:
        if cell.directory:
            yield f"  {printable(report.run.directory)}/{printable(cell.directory)}"
    yield ""
    # See Documentation/process/handling-regressions.rst.
    culprit = report.culprits.get(one.signature, "")[:12]
    came = introduced(report.good.get(one.series.key), failed[0] if failed else None)
    yield f"#regzbot introduced: {printable(culprit) or came}"
    yield f"#regzbot title: {printable(one.title)}"
    yield ""


def introduced(good: CellRow | None, bad: CellRow | None) -> str:
    """What regzbot is told: the range of commits, or of versions, in which it came; one of them when that is all."""
    ends = [_version(cell) for cell in (good, bad) if cell is not None]
    return "..".join(dict.fromkeys(filter(None, ends))) or "unknown"


def _version(cell: CellRow) -> str:
    """A commit where the kernel came from git, else the release."""
    if re.fullmatch(r"[0-9a-f]{40}", cell.source):
        return cell.source[:12]
    release = cell.release.partition("-")[0]
    return f"v{printable(release)}" if release else ""
