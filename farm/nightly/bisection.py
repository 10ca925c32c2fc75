"""Looking for the commits that brought new failures, by `farm bisect`, in the time that is left."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from farm import trial
from farm.deadline import Deadline
from farm.nightly.plan import Kernel, Plan
from farm.report.pages import slug
from farm.results.values import CellRow, Change, Series, VerdictRow

_COMMIT = re.compile(r"[0-9a-f]{40}")
_POLL_SECONDS = 0.5
# Without a time budget, a bisection gets so many seconds.
MOST_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Suspect:
    """A new failure between two commits that are known."""

    series: Series
    signature: str
    title: str
    good: str
    bad: str


@dataclass(frozen=True)
class Bisected:
    """What came of a bisection."""

    sentence: str
    # The one commit that brought the failure; "" when it was not found, or several are left.
    culprit: str = ""


def suspects(
    plan: Plan, verdicts: Iterable[VerdictRow], good: Mapping[str, CellRow], cells: Iterable[CellRow]
) -> tuple[Suspect, ...]:
    """The new failures that can be bisected, one series for each signature. Pure.

    `good` has the last cell of each series that passed before. Failures that are known, or of a build, are left out.
    """
    sources = {cell.series: cell.source for cell in cells if cell.source}
    found: dict[str, Suspect] = {}
    for one in verdicts:
        last = good.get(one.series.key)
        bad = sources.get(one.series, "")
        if one.change is not Change.NEW or one.known or one.series.is_build or last is None:
            continue
        commits = _COMMIT.fullmatch(last.source) and _COMMIT.fullmatch(bad) and last.source != bad
        if commits and plan.kernel(one.series.kernel).tree:
            found.setdefault(one.signature, Suspect(one.series, one.signature, one.title, last.source, bad))
    return tuple(found.values())


def arguments(suspect: Suspect, kernel: Kernel, place: str, options: Sequence[str], directory: Path) -> list[str]:
    """Those of `farm bisect`; `options` are what else its runs need."""
    return ["bisect", "start", place, "--json", f"--tree={kernel.tree}", f"--good={suspect.good}",
            f"--bad={suspect.bad}", "--match=signature", f"--dir={directory}", *options]


def bisect(
    suspect: Suspect, kernel: Kernel, place: str, options: Sequence[str], directory: Path, *,
    deadline: Deadline | None, tick: Callable[[], None],
) -> Bisected:
    """Bisect until the deadline. Raises only what ends the farm."""
    where = directory / "bisections" / slug(suspect.signature)
    where.mkdir(parents=True, exist_ok=True)
    command = trial.Command(arguments(suspect, kernel, place, options, where), where / "log")
    limit = deadline or Deadline(MOST_SECONDS)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(command.wait)
        try:
            while not waiting.done():
                if limit.expired:
                    command.stop()
                wait([waiting], timeout=_POLL_SECONDS)
                tick()
        except BaseException:
            command.stop()
            raise
        ended = waiting.result()
    about = f"bisection of {suspect.title or suspect.signature} ({suspect.good[:12]}..{suspect.bad[:12]})"
    if ended.status == 0 and isinstance(ended.answer, dict):
        named = [one["commit"] for one in ended.answer.get("culprits", ())]
        return Bisected(f"{about}: {ended.answer.get('title', 'no answer')}; report in {where}",
                        named[0] if len(named) == 1 else "")
    if ended.stopped:
        return Bisected(f"{about}: the time budget is spent; `farm bisect resume {where}` goes on")
    said = (ended.said.splitlines() or [f"farm bisect ended with status {ended.status}"])[0]
    return Bisected(f"{about}: {said}")
