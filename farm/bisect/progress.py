"""What a bisection says while it goes: what is judged, how much is left, and how long that will take."""

from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import fmean

from farm.bisect import statistics
from farm.bisect.history import History
from farm.bisect.state import Journal, Step
from farm.bisect.statistics import Rate
from farm.bisect.suspects import Guess
from farm.bisect.values import Answer, Run, Seen, Settings, Symptom
from farm.guest.shell import visible

# So many suspects are told by name.
_SUSPECTS = 5


class Progress:
    """Lines for the user; commit messages and crash titles are made harmless for a terminal."""

    # What is examined, in a word.
    what = "revision"

    def __init__(self, journal: Journal, settings: Settings, say: Callable[[str], None], ends: Collection[str]) -> None:
        self._journal, self._settings, self._ends = journal, settings, ends
        self._say = say

    def name(self, name: str) -> str:
        """How people call what is examined."""
        return name[:12]

    def end(self, name: str, what: str) -> None:
        self._say(f"{self.name(name)} {what}")

    def symptom(self, symptom: Symptom) -> None:
        what = {"function": f"kind {symptom.kind}, function {symptom.function}", "kind": f"kind {symptom.kind}",
                "signature": f"signature {visible(symptom.signature)}", "any": "any failure"}[symptom.compared]
        self._say(f"the bug: {visible(symptom.title)} (by {what})")

    def rate(self, rate: Rate) -> None:
        runs = rate.seen + rate.missed
        needed = self._settings.runs or rate.runs()
        again = f"{needed} run{'s' if needed > 1 else ''}"
        self._say(f"it shows in {rate.seen} of {runs} runs: {again} at each {self.what}")

    def also(self, runs: Iterable[Run]) -> None:
        """How else the end that has the bug fails: it may be the very bug in another guise."""
        for title in dict.fromkeys(visible(run.title) for run in runs):
            self._say(f"it also fails in another way, which is not searched: {title}; if that is the same bug, begin "
                      "anew with a wider --match")

    def time(self, rounds: int) -> str:
        """How long as many further steps take, from the durations seen so far; "" when there are none."""
        spent: dict[str, float] = {}
        for run in list(self._journal.runs):
            if not run.copy and run.commit not in self._ends:
                spent[run.commit] = max(spent.get(run.commit, 0.0), run.build_seconds) + run.run_seconds
        return f", about {duration(rounds * fmean(spent.values()))}" if spent else ""

    def building(self, name: str) -> None:
        """What is waited for."""
        self._say(f"building {self.name(name)}")

    def judging(self, name: str, number: int, count: int) -> None:
        """Its run of that number begins, or so many from there on at once."""
        again = f", runs {number} to {number + count - 1}" if count > 1 else f", run {number}" if number > 1 else ""
        self._say(f"judging {self.name(name)}{again}")

    def meanwhile(self, name: str) -> None:
        """What is built though nobody waits for it yet."""
        self._say(f"    building {self.name(name)} meanwhile")

    def ran(self, run: Run) -> None:
        what = f": {visible(run.title)}" if run.title and run.seen is not Seen.NO_BUG else ""
        self._say(f"    {run.seen.value}{what} (built in {run.build_seconds:.0f} s, run in {run.run_seconds:.0f} s)")

    def host_failed(self, name: str, title: str, attempt: int) -> None:
        self._say(f"    the host failed on {name[:12]} (attempt {attempt}): {visible(title)}")

    def answered(self, step: Step) -> None:
        sure = f", {step.confidence:.1%} sure" if step.answer is not Answer.SKIP else ""
        self._say(f"  {step.answer.value}: {step.commit[:12]}{sure}" + (f" ({visible(step.why)})" if step.why else ""))


class HistoryProgress(Progress):
    """Among the revisions of a history."""

    def __init__(self, history: History, journal: Journal, settings: Settings, say: Callable[[str], None]) -> None:
        super().__init__(journal, settings, say, (history.old, history.new))
        self._history = history

    def name(self, name: str) -> str:
        return f"{name[:12]} {visible(self._history.subjects.get(name, ''))}".rstrip()

    def revisions_left(self, count: int) -> None:
        rounds = statistics.steps(count, self._settings.jobs)
        self._say(f"{count} revisions left, about {rounds} step{'s' if rounds != 1 else ''}" + self.time(rounds))

    def suspects(self, guess: Guess, count: int) -> None:
        """Who is asked about first, and why."""
        listed = list(guess.suspects.items())
        self._say(f"suspected, of {count} revisions, for touching what failed or what few but this testcase reach; "
                  "--order git minds none of it:")
        for commit, suspect in listed[:_SUSPECTS]:
            self._say(f"    {self.name(commit)} ({visible(suspect.file)}: {visible(suspect.function)})")
        if len(listed) > _SUSPECTS:
            self._say(f"    and {len(listed) - _SUSPECTS} more")

    def doubt(self, culprits: Sequence[str], confidence: float, target: str) -> None:
        what = culprits[0][:12] if len(culprits) == 1 else f"one of {len(culprits)} revisions"
        self._say(f"{what} is the culprit with {confidence:.1%}; {target[:12]} is run again to be sure")

    def unproved(self, text: str) -> None:
        self._say(f"{visible(text)} The runs before it are repeated.")


def duration(seconds: float) -> str:
    """Seconds in words for people: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
