"""The summary of a run for a terminal, as lines. Pure."""

from collections.abc import Iterator

from farm.report.values import NightReport
from farm.results.values import Change, VerdictRow
from farm.textform import printable


def percent(verdict: VerdictRow) -> str:
    """The rate with its interval."""
    return f"{verdict.rate:.0%} [{verdict.low:.0%} to {verdict.high:.0%}] of {verdict.runs} runs"


def lines(report: NightReport) -> Iterator[str]:
    """What is worth a line, the gravest first, and the count of everything."""
    width = max((len(str(one.series)) for one in report.sorted), default=0)
    for one in report.sorted:
        yield printable(f"{one.change.value:<14} {one.series!s:<{width}}  {_what(one)}".rstrip())
    for remark in report.remarks:
        yield printable(f"note: {remark}")
    counts = ", ".join(f"{count} {change.value}" for change, count in report.counts.items())
    yield f"run {report.run.name}: {counts or 'nothing ran'}"


def _what(verdict: VerdictRow) -> str:
    words = []
    if verdict.change in (Change.UNKNOWN, Change.NEVER):
        words.append(verdict.why)
    elif verdict.change is Change.FLAKY:
        words += [verdict.title, percent(verdict)]
    elif verdict.change is not Change.PASSES:
        words += [verdict.title, verdict.why]
    if verdict.slower:
        words.append(f"slower by {verdict.slower - 1:.0%}")
    if verdict.known:
        words.append(f"known: {verdict.known}")
    return "; ".join(filter(None, words))
