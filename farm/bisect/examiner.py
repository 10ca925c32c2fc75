"""Examining one kernel: it is built and run until it has its answer, and all that was seen is written down.

Whoever searches, among revisions or among configurations, decides what to examine next. What is examined goes by a
name: the id of a commit, or the digest of a configuration.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType

from farm import trial
from farm.bisect import statistics, strategy
from farm.bisect.builds import Builds
from farm.bisect.judge import Judge, of_build
from farm.bisect.progress import Progress
from farm.bisect.state import Journal, Step, seen_by
from farm.bisect.statistics import Rate
from farm.bisect.values import Answer, Build, Run, Seen, Settings, Symptom
from farm.errors import InfrastructureError, UserError
from farm.verdict import Cause

# What can be the failure that is searched: neither what the testcase could not ask nor what the host did.
_FAILED = frozenset({Seen.BUG, Seen.OTHER, Seen.NO_BOOT, Seen.NO_BUILD})


class Examiner:
    """Builds and runs what it is asked to; use it in a `with` block."""

    def __init__(self, judge: Judge, journal: Journal, settings: Settings, progress: Progress, *,
                 buggy: str, ends: Mapping[str, str], rate: Callable[[], Rate]) -> None:
        """`buggy` is the end that should show the bug, `ends` both with the options that named them, and `rate` what
        is known of how often the bug shows."""
        self._judge, self._settings, self._progress = judge, settings, progress
        self._buggy, self._ends, self._rate = buggy, ends, rate
        self.journal = journal
        # What will probably be built next, likeliest first.
        self.coming: Sequence[str] = ()
        # What is judged beside others and was made superfluous by an answer.
        self.dropped: set[str] = set()
        self._recording = threading.Lock()

    def __enter__(self) -> "Examiner":
        self._builds = Builds(self._judge, self._progress.meanwhile)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            self.stop()
        finally:
            self._builds.close()

    def stop(self) -> None:
        """What runs ends, and nothing new begins."""
        self._judge.close()

    def drop(self, name: str) -> None:
        """Nobody needs it any more: end what builds or runs it."""
        self.dropped.add(name)
        self._builds.drop(name)
        self._judge.stop_run(name)

    def runs_of(self, name: str) -> list[Run]:
        return [run for run in self.journal.runs if run.commit == name]

    # -- the ends

    def verify_buggy_end(self) -> None:
        """Run it until the failure is known, and how often it shows. Raises UserError when it does not behave."""
        name = self._buggy
        if name in self.journal.steps:
            return
        self._progress.end(name, "should have the bug")
        while True:
            runs = self.runs_of(name)
            rate = self._rate() if self.journal.symptom else Rate(0, len(runs))
            most = self._settings.runs or statistics.MOST
            enough = len(runs) >= most
            if rate.seen and (rate.settled or enough):
                break
            if rate.hopeless or enough:
                raise UserError(self.misbehaves(name, "does not show the bug"))
            # Those that it takes whatever they show.
            seen = self.observe(name, min(statistics.ENOUGH - rate.seen, most - len(runs)))
            if odd := [run for run in seen if run.seen in (Seen.NO_BUILD, Seen.UNASKED)]:
                raise UserError(self.misbehaves(name, "cannot be judged", odd))
            self._reconsider(name)
        symptom = self.journal.symptom
        assert symptom is not None
        self.answer(name, strategy.Conclusion(Answer.BUG, symptom.title))
        self._progress.rate(self._rate())
        self._progress.also(run for run in self.runs_of(name) if run.seen in (Seen.OTHER, Seen.NO_BOOT))

    def verify_free_end(self) -> None:
        """Run it as often as the rate wants. Raises UserError when it is not free of the bug."""
        (name,) = set(self._ends) - {self._buggy}
        # Also by a run that came after its answer.
        if any(run.seen is Seen.BUG for run in self.runs_of(name)):
            raise UserError(self.misbehaves(name, "should be free of the bug and is not"))
        known = self.journal.steps.get(name)
        if known and known.answer is Answer.NO_BUG:
            return
        self._progress.end(name, "should be free of the bug")
        conclusion = self.settle(name)
        if conclusion is None or conclusion.answer is Answer.SKIP:
            raise UserError(self.misbehaves(name, "cannot be judged"))
        if conclusion.answer is Answer.BUG:
            raise UserError(self.misbehaves(name, "should be free of the bug and is not"))

    def misbehaves(self, name: str, what: str, runs: Sequence[Run] | None = None) -> str:
        """The sentence about an end that does not behave, with what was seen there."""
        runs = self.runs_of(name) if runs is None else runs
        titles = dict.fromkeys(run.title for run in runs if run.title)
        return (f"{self._ends[name]} {name[:12]} {what}: {strategy.tally(runs)}."
                + "".join(f"\n    {title}" for title in titles)
                + f"\nCheck the {self._progress.what} and the testcase with `farm run`, then begin anew in another "
                "--dir.")

    # -- one of them

    def settle(self, name: str) -> strategy.Conclusion | None:
        """Run it until it has its answer; None when it was stopped."""
        needed = self._settings.runs or self._rate().runs()
        while True:
            conclusion = strategy.conclude(self.runs_of(name), needed) or self._twin(name)
            if conclusion is not None:
                self.answer(name, conclusion)
                return conclusion
            seen = self.observe(name, strategy.lacking(self.runs_of(name), needed))
            if any(run.seen is Seen.STOPPED for run in seen):
                return None

    def again(self, name: str, most: int = 1) -> None:
        """Run it once more, or up to `most` times at once: what it shows decides whether the result stands."""
        seen = self.observe(name, most)
        if name == self._buggy:
            return  # it has its answer; how often the bug shows was asked
        if bugs := [run for run in seen if run.seen is Seen.BUG]:
            if name in self._ends:
                raise UserError(self.misbehaves(name, "should be free of the bug and is not"))
            self.answer(name, strategy.Conclusion(Answer.BUG, bugs[0].title))
        elif any(run.seen is not Seen.NO_BUG for run in seen):
            conclusion = strategy.conclude(self.runs_of(name), needed=1)
            if conclusion is not None and conclusion.answer is Answer.SKIP:
                self.answer(name, conclusion)

    @property
    def at_once(self) -> int:
        """How many runs of one of them go on at the same time; the host is shared by those that are judged at once."""
        return max(1, self._judge.at_once // self._settings.jobs)

    def observe(self, name: str, most: int) -> list[Run]:
        """Run it, up to `most` times at once as the host has room, and write down what was seen.

        Raises InfrastructureError in the end.
        """
        build = self._build(name)
        self._builds.ahead(self.coming)  # now that nobody waits for a build
        count = 1 if of_build(name, build, self.journal.symptom) else min(most, self.at_once)
        if name not in self.dropped:
            self._progress.judging(name, len(self.runs_of(name)) + 1, count)
        return trial.together([lambda: self._observe(name, build)] * count, self.stop)

    def _observe(self, name: str, build: Build) -> Run:
        for attempt in range(1, strategy.HOST_FAILURES + 1):
            if name in self.dropped:
                return Run(name, Seen.STOPPED)
            run = of_build(name, build, self.journal.symptom) or self._judge.run(name, build, self.journal.symptom)
            if run.seen is Seen.STOPPED:
                return run
            if run.seen is not Seen.HOST:
                return self._record(run)
            self._progress.host_failed(name, run.title, attempt)
        raise self._given_up(name, run.title)

    def _build(self, name: str) -> Build:
        """Its kernel, waited for. Raises InfrastructureError in the end."""
        for attempt in range(1, strategy.HOST_FAILURES + 1):
            if name in self.dropped:
                return Build(seen=Seen.STOPPED)
            if not self._builds.has(name):
                self._progress.building(name)
            build = self._builds.get(name)
            if build.seen is not Seen.HOST:
                return build
            self._progress.host_failed(name, build.error, attempt)
        raise self._given_up(name, build.error)

    @staticmethod
    def _given_up(name: str, title: str) -> InfrastructureError:
        return InfrastructureError(
            f"the host failed {strategy.HOST_FAILURES} times on {name[:12]}: {title}\n"
            "Nothing is lost: `farm bisect resume` goes on from here.")

    def _record(self, run: Run) -> Run:
        with self._recording:
            symptom = self.journal.symptom
            if symptom is None and run.commit == self._buggy and run.cause and run.seen in _FAILED:
                self._search_for(self._symptom(run, run.cause))
                run = replace(run, seen=Seen.BUG)
            elif symptom is not None:
                run = seen_by(symptom, run)  # it may have begun before that was known
            self.journal.add_run(run)
            self._progress.ran(run)
            return run

    def _symptom(self, run: Run, cause: Cause) -> Symptom:
        return Symptom(cause.kind, run.title or cause.title, cause.function, cause.signature, self._settings.match)

    def _search_for(self, symptom: Symptom) -> None:
        self.journal.add_symptom(symptom)
        self._progress.symptom(symptom)

    def _reconsider(self, name: str) -> None:
        """The first failure may have been the odd one: another that shows more often is the one that is searched."""
        known = self.journal.symptom
        if known is None:
            return
        failed = [(run, run.cause) for run in self.runs_of(name) if run.cause and run.seen in _FAILED]

        def often(symptom: Symptom) -> int:
            return sum(symptom.covers(cause) for _, cause in failed)

        best = max((self._symptom(run, cause) for run, cause in failed), key=often, default=known)
        if often(best) > often(known):
            self._search_for(best)

    def _twin(self, name: str) -> strategy.Conclusion | None:
        """The answer of one with the very same kernel: what booted there would boot here."""
        if name in self._ends:
            return None
        build = self._build(name)
        if build.seen is not Seen.NO_BUG or not build.digest:
            return None
        for other, step in list(self.journal.steps.items()):
            runs = [run for run in self.runs_of(other) if run.digest == build.digest]
            if runs and other != name:
                for run in runs:
                    self.journal.add_run(replace(run, commit=name, copy=True, build_seconds=build.seconds,
                                                 run_seconds=0.0))
                return strategy.Conclusion(step.answer, f"same kernel as {other[:12]}")
        return None

    def answer(self, name: str, conclusion: strategy.Conclusion) -> None:
        """Write down what the runs amount to."""
        runs = [run for run in self.runs_of(name) if run.seen is Seen.NO_BUG]
        sure = 1.0 if conclusion.answer is not Answer.NO_BUG else 1.0 - self._rate().miss(len(runs))
        step = Step(name, conclusion.answer, sure, conclusion.why)
        self.journal.add_step(step)
        self._progress.answered(step)
