"""The bisection itself: asks git for a revision, has it judged, tells git, until the answer is sure enough."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace

from farm.bisect import statistics, strategy
from farm.bisect.builds import Builds
from farm.bisect.gitbisect import GitBisect
from farm.bisect.history import Evidence, History, sections
from farm.bisect.judge import BUILD_KIND, Judge
from farm.bisect.progress import Progress
from farm.bisect.proof import Proof
from farm.bisect.state import Journal, Step
from farm.bisect.values import Answer, Run, Seen, Settings, Symptom
from farm.errors import InfrastructureError, UserError

Say = Callable[[str], None]
# Tests the answer, given all runs so far.
Prove = Callable[[Sequence[str], Evidence], Proof]
# A failed test asks for this share of the doubt that was allowed before.
_INSIST = 0.1


@dataclass(frozen=True)
class Verdict:
    """How a bisection ended."""

    # The commits that the culprit is one of; one, unless revisions around it could not be judged.
    culprits: tuple[str, ...]
    # Probability that it is one of them.
    confidence: float
    # The test of the answer.
    proof: Proof


class Driver:
    """One bisection, from the first run of an end to the answer. Going on after an interruption is the same call."""

    def __init__(self, judge: Judge, git: GitBisect, history: History, journal: Journal, *, settings: Settings,
                 say: Say) -> None:
        self._judge, self._git, self._history = judge, git, history
        self._journal, self._settings = journal, settings
        self._progress = Progress(history, journal, settings, say)
        self._exit = ExitStack()
        # What will probably be built next, likeliest first.
        self._coming: list[str] = []
        # Revisions judged beside others that an answer made superfluous.
        self._dropped: set[str] = set()
        # The end that has the bug, and the one that is free of it.
        self._buggy, self._free = (
            (history.old, history.new) if settings.fix else (history.new, history.old))

    def run(self, prove: Prove) -> Verdict:
        """Raises UserError for ends that do not behave, InfrastructureError when the host fails again and again."""
        with self._exit:
            self._builds = Builds(self._judge)
            self._exit.callback(self._builds.close)
            self._exit.callback(self._judge.close)  # first: what runs ends, and nothing new begins
            self._coming = [self._free]
            self._verify_buggy_end()
            self._verify_free_end()
            return self._search(prove)

    @property
    def evidence(self) -> Evidence:
        """All runs so far."""
        return Evidence(self._history, tuple(self._journal.runs), self._settings.fix)

    # -- the ends

    def _verify_buggy_end(self) -> None:
        """Run it until the failure is known, and how often it shows."""
        commit = self._buggy
        if commit in self._journal.steps:
            return
        self._progress.end(commit, "should have the bug")
        while True:
            runs = self._runs_of(commit)
            rate = self.evidence.rate if self._journal.symptom else statistics.Rate(0, len(runs))
            fixed = self._settings.runs
            enough = len(runs) >= (fixed or statistics.MOST)
            if rate.seen and (rate.settled or enough):
                break
            if rate.hopeless or enough:
                raise UserError(self._misbehaves(commit, "does not show the bug", runs))
            run = self._observe(commit)
            if run.seen in (Seen.NO_BUILD, Seen.UNASKED):
                raise UserError(self._misbehaves(commit, "cannot be judged", [run]))
        symptom = self._journal.symptom
        assert symptom is not None
        self._answer(commit, strategy.Conclusion(Answer.BUG, symptom.title))
        self._progress.rate(self.evidence.rate)

    def _verify_free_end(self) -> None:
        commit = self._free
        known = self._journal.steps.get(commit)
        if known and known.answer is Answer.NO_BUG:
            return
        self._progress.end(commit, "should be free of the bug")
        conclusion = self._settle(commit)
        if conclusion is None or conclusion.answer is not Answer.NO_BUG:
            raise UserError(self._misbehaves(commit, "should be free of the bug and is not", self._runs_of(commit)))

    def _misbehaves(self, commit: str, what: str, runs: Sequence[Run]) -> str:
        name = "--bad" if (commit == self._history.new) is not self._settings.fix else "--good"
        seen = strategy.tally(runs)
        titles = dict.fromkeys(run.title for run in runs if run.title)
        return (f"{name} {commit[:12]} {what}: {seen}." + "".join(f"\n    {title}" for title in titles)
                + "\nCheck the revision and the testcase with `farm run`, then begin anew in another --dir.")

    # -- the search

    def _search(self, prove: Prove) -> Verdict:
        wanted = self._settings.confidence
        failed: tuple[str, ...] = ()
        while True:
            evidence = self.evidence
            answers = strategy.standing(self._journal.steps, evidence, self._settings)
            now = self._git.tell(answers)
            if not now.culprits:
                self._progress.revisions_left(answers)
                self._judge_all(self._choose(now.commit, answers), answers)
                continue
            sure = strategy.confidence(now.culprits, evidence)
            target = strategy.doubtful(now.culprits, evidence, self._journal.steps)
            if sure < wanted and target and not self._settings.runs:
                self._progress.doubt(now.culprits, sure, target)
                self._again(target)
                continue
            proof = prove(now.culprits, evidence)
            if proof.confirmed is not False or now.culprits == failed or not target:
                return Verdict(now.culprits, sure, proof)
            # Luck may have hidden the bug before the culprit: ask again until that is much less likely.
            failed, wanted = now.culprits, 1 - (1 - wanted) * _INSIST
            self._progress.unproved(proof.text)

    def _choose(self, commit: str, answers: dict[str, Answer]) -> list[str]:
        """The revisions to judge now: git's own, or with --jobs several that cut the rest into equal parts."""
        if self._settings.jobs == 1:
            return [commit]
        new = Answer.NO_BUG if self._settings.fix else Answer.BUG
        news = [one for one, answer in answers.items() if answer is new]
        olds = [one for one, answer in answers.items() if answer not in (new, Answer.SKIP)]
        left = self._history.left(olds, news)
        chosen = sections(left, self._history, self._git.distances(answers), self._settings.jobs, {*answers, *news})
        return [one for one in chosen if one in left and one != self._history.new] or [commit]

    def _judge_all(self, commits: Sequence[str], answers: dict[str, Answer]) -> None:
        """Judge revisions at once; those that an answer makes superfluous are stopped."""
        if len(commits) == 1:
            self._think_ahead(commits[0], answers)
            self._settle(commits[0])
            return
        with ThreadPoolExecutor(len(commits)) as pool:
            pending: dict[Future[strategy.Conclusion | None], str] = {
                pool.submit(self._settle, commit): commit for commit in commits}
            try:
                while pending:
                    done, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        commit = pending.pop(future)
                        if conclusion := future.result():
                            self._drop(commit, conclusion.answer, pending.values())
            except BaseException:
                self._judge.close()  # or the pool would wait for the others to the end
                raise
        self._dropped.clear()

    def _drop(self, commit: str, answer: Answer, others: Iterable[str]) -> None:
        """Stop what is judged beside a revision and can tell nothing after its answer."""
        if answer is Answer.SKIP:
            return
        inside = self._history.ancestors(commit)
        is_new = (answer is Answer.BUG) is not self._settings.fix
        for other in others:
            if (other not in inside) if is_new else (other in inside):
                self._dropped.add(other)
                self._builds.drop(other)
                self._judge.stop_run(other)

    def _think_ahead(self, commit: str, answers: dict[str, Answer]) -> None:
        """Let the revisions be built that git will ask for next, whatever the answer to this one."""
        likely = strategy.share_with_bug(commit, self.evidence)
        shares = sorted(((likely, Answer.BUG), (1 - likely, Answer.NO_BUG)), key=lambda pair: -pair[0])
        self._coming = [self._git.would_ask({**answers, commit: answer}) for _, answer in shares]

    # -- one revision

    def _settle(self, commit: str) -> strategy.Conclusion | None:
        """Run a revision until it has its answer; None when it was stopped."""
        needed = self._settings.runs or self.evidence.rate.runs()
        while True:
            conclusion = strategy.conclude(self._runs_of(commit), needed)
            if conclusion is None:
                conclusion = self._twin(commit)
            if conclusion is not None:
                self._answer(commit, conclusion)
                return conclusion
            if self._observe(commit).seen is Seen.STOPPED:
                return None

    def _again(self, commit: str) -> None:
        """Run a revision once more whose answer decides whether the culprit is the right one."""
        run = self._observe(commit)
        if run.seen is Seen.BUG:
            if commit in (self._history.old, self._history.new):
                raise UserError(self._misbehaves(
                    commit, "should be free of the bug and is not", self._runs_of(commit)))
            self._answer(commit, strategy.Conclusion(Answer.BUG, run.title))
        elif run.seen is not Seen.NO_BUG:
            conclusion = strategy.conclude(self._runs_of(commit), needed=1)
            if conclusion is not None and conclusion.answer is Answer.SKIP:
                self._answer(commit, conclusion)

    def _observe(self, commit: str) -> Run:
        """Build and run a revision once, and write down what was seen. Raises InfrastructureError in the end."""
        for attempt in range(1, strategy.HOST_FAILURES + 1):
            self._progress.judging(commit, len(self._runs_of(commit)) + 1)
            build = self._builds.get(commit)
            self._builds.ahead(self._coming)  # now that nobody waits for a build
            if commit in self._dropped:
                return Run(commit, Seen.STOPPED)
            run = self._judge.run(commit, build, self._journal.symptom) if build.seen is Seen.NO_BUG else Run(
                commit, build.seen, build.error, build.cause, build_seconds=build.seconds)
            if run.seen is Seen.STOPPED:
                return run
            if run.seen is not Seen.HOST:
                return self._record(run)
            self._progress.host_failed(commit, run.title, attempt)
        raise InfrastructureError(
            f"the host failed {strategy.HOST_FAILURES} times on {commit[:12]}: {run.title}\n"
            "Nothing is lost: `farm bisect resume` goes on from here.")

    def _record(self, run: Run) -> Run:
        symptom = self._journal.symptom
        if symptom is None and run.commit == self._buggy and run.cause and run.seen is not Seen.NO_BUG:
            cause = run.cause
            symptom = Symptom(cause.kind, run.title or cause.title, cause.function, cause.signature,
                              self._settings.match)
            self._journal.add_symptom(symptom)
            self._progress.symptom(symptom)
            run = replace(run, seen=Seen.BUG)
        elif run.seen is Seen.NO_BUILD and symptom and symptom.kind == BUILD_KIND:
            run = replace(run, seen=Seen.BUG)
        self._journal.add_run(run)
        self._progress.ran(run)
        return run

    def _twin(self, commit: str) -> strategy.Conclusion | None:
        """The answer of a revision with the very same kernel: what booted there would boot here."""
        if commit in (self._history.old, self._history.new):
            return None
        build = self._builds.get(commit)
        if build.seen is not Seen.NO_BUG or not build.digest:
            return None
        for other, step in list(self._journal.steps.items()):
            runs = [run for run in self._runs_of(other) if run.digest == build.digest]
            if runs and other != commit:
                for run in runs:
                    self._journal.add_run(replace(run, commit=commit, copy=True, build_seconds=build.seconds,
                                                  run_seconds=0.0))
                return strategy.Conclusion(step.answer, f"same kernel as {other[:12]}")
        return None

    def _answer(self, commit: str, conclusion: strategy.Conclusion) -> None:
        runs = [run for run in self._runs_of(commit) if run.seen is Seen.NO_BUG]
        sure = 1.0 if conclusion.answer is not Answer.NO_BUG else 1.0 - self.evidence.rate.miss(len(runs))
        step = Step(commit, conclusion.answer, sure, conclusion.why)
        self._journal.add_step(step)
        self._progress.answered(step)

    def _runs_of(self, commit: str) -> list[Run]:
        return [run for run in self._journal.runs if run.commit == commit]
