"""What a bisection says while it goes: what is judged, how much is left, and how long that will take."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from farm.bisect import statistics
from farm.bisect.history import History
from farm.bisect.state import Journal, Step
from farm.bisect.statistics import Rate
from farm.bisect.values import Answer, Run, Seen, Settings, Symptom
from farm.guest.shell import visible


class Progress:
    """Lines for the user; commit messages and crash titles are made harmless for a terminal."""

    def __init__(self, history: History, journal: Journal, settings: Settings, say: Callable[[str], None]) -> None:
        self._history, self._journal, self._settings = history, journal, settings
        self._say = say

    def end(self, commit: str, what: str) -> None:
        self._say(f"{self._name(commit)} {what}")

    def symptom(self, symptom: Symptom) -> None:
        what = {"function": f"kind {symptom.kind}, function {symptom.function or 'unknown'}",
                "kind": f"kind {symptom.kind}", "signature": f"signature {symptom.signature}",
                "any": "any failure"}[symptom.match]
        self._say(f"the bug: {visible(symptom.title)} (by {what})")

    def rate(self, rate: Rate) -> None:
        runs = rate.seen + rate.missed
        needed = self._settings.runs or rate.runs()
        self._say(f"it shows in {rate.seen} of {runs} runs: {needed} run{'s' if needed > 1 else ''} at each revision")

    def revisions_left(self, answers: Mapping[str, Answer]) -> None:
        new = Answer.NO_BUG if self._settings.fix else Answer.BUG
        news = [one for one, answer in answers.items() if answer is new]
        olds = [one for one, answer in answers.items() if answer not in (new, Answer.SKIP)]
        left = len(self._history.left(olds, news))
        rounds = statistics.steps(left, self._settings.jobs)
        self._say(f"{left} revisions left, about {rounds} step{'s' if rounds != 1 else ''}" + self._time(rounds))

    def _time(self, rounds: int) -> str:
        spent: dict[str, float] = {}
        for run in list(self._journal.runs):
            if not run.copy and run.commit not in (self._history.old, self._history.new):
                spent[run.commit] = max(spent.get(run.commit, 0.0), run.build_seconds) + run.run_seconds
        return f", about {duration(rounds * fmean(spent.values()))}" if spent else ""

    def judging(self, commit: str, number: int) -> None:
        again = f", run {number}" if number > 1 else ""
        self._say(f"judging {self._name(commit)}{again}")

    def ran(self, run: Run) -> None:
        what = f": {visible(run.title)}" if run.title and run.seen is not Seen.NO_BUG else ""
        self._say(f"    {run.seen.value}{what} (built in {run.build_seconds:.0f} s, run in {run.run_seconds:.0f} s)")

    def host_failed(self, commit: str, title: str, attempt: int) -> None:
        self._say(f"    the host failed on {commit[:12]} (attempt {attempt}): {visible(title)}")

    def answered(self, step: Step) -> None:
        sure = f", {step.confidence:.1%} sure" if step.answer is Answer.NO_BUG else ""
        self._say(f"  {step.answer.value}: {step.commit[:12]}{sure} ({visible(step.why)})")

    def doubt(self, culprits: Sequence[str], confidence: float, target: str) -> None:
        what = culprits[0][:12] if len(culprits) == 1 else f"one of {len(culprits)} revisions"
        self._say(f"{what} is the culprit with {confidence:.1%}; {target[:12]} is run again to be sure")

    def unproved(self, text: str) -> None:
        self._say(f"{visible(text)} The runs before it are repeated.")

    def _name(self, commit: str) -> str:
        return f"{commit[:12]} {visible(self._history.subjects.get(commit, ''))}".rstrip()


def duration(seconds: float) -> str:
    """Seconds in words for people: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
