"""The bisection itself: asks git for a revision, has it judged, tells git, until the answer is sure enough."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from farm.bisect import statistics, strategy
from farm.bisect.chooser import Chooser, Suspect
from farm.bisect.examiner import Examiner
from farm.bisect.gitbisect import GitBisect
from farm.bisect.history import Evidence, History
from farm.bisect.judge import Judge
from farm.bisect.progress import HistoryProgress
from farm.bisect.proof import Proof
from farm.bisect.state import Journal
from farm.bisect.values import Answer, Seen, Settings

Say = Callable[[str], None]
# Tests the answer, given all runs so far.
Prove = Callable[[Sequence[str], Evidence], Proof]
# A failed test asks for this share of the doubt that was allowed before.
_INSIST = 0.1
# From that confidence on, an answer is tested before its doubts are asked about: the runs of the test count for both.
_TESTED = 0.5


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
                 suspect: Suspect, say: Say) -> None:
        self._git, self._history = git, history
        self.journal, self._settings = journal, settings
        self._progress = HistoryProgress(history, journal, settings, say)
        self._chooser = Chooser(git, history, settings, suspect, self._progress.suspects)
        # The end that has the bug, and the one that is free of it.
        self._buggy, self._free = (history.old, history.new) if settings.fix else (history.new, history.old)
        self._examiner = Examiner(
            judge, journal, settings, self._progress, buggy=self._buggy,
            ends={self._buggy: "--bad", self._free: "--good"}, rate=lambda: self.evidence.rate)

    def run(self, prove: Prove) -> Verdict:
        """Raises UserError for ends that do not behave, InfrastructureError when the host fails again and again."""
        with self._examiner as examiner:
            examiner.coming = [self._free]
            examiner.verify_buggy_end()
            examiner.coming = self._first_builds()
            examiner.verify_free_end()
            return self._search(prove)

    def _first_builds(self) -> list[str]:
        """What to build while the second end is run: itself, then what will be judged first."""
        first = self._chooser.next({})
        after = self._chooser.ahead(first[0], {}, 0.5) if len(first) == 1 else []
        return [self._free, *first, *after]

    @property
    def evidence(self) -> Evidence:
        """All runs so far."""
        return Evidence(self._history, tuple(self.journal.runs), self._settings.fix, tuple(self.journal.proofs))

    def again(self, commit: str, most: int) -> None:
        """Run a revision once more, or up to `most` times at once, while the answer is tested."""
        self._examiner.again(commit, most)

    # -- the search

    def _search(self, prove: Prove) -> Verdict:
        wanted = self._settings.confidence
        failed: tuple[str, ...] = ()
        tested = set[tuple[str, ...]]()
        while True:
            evidence = self.evidence
            answers = strategy.standing(self.journal.steps, evidence, self._settings)
            now = self._git.tell(answers)
            if not now.culprits:
                self._progress.revisions_left(len(self._left(answers)))
                self._judge_all(self._begun(answers) or self._chooser.next(answers, now.commit), answers)
                continue
            sure = strategy.confidence(now.culprits, evidence)
            target = strategy.doubtful(now.culprits, evidence, self.journal.steps)
            unsure = sure < wanted and target != "" and not self._settings.runs
            in_doubt = self._rate_in_doubt(evidence)
            if unsure and (in_doubt or sure < _TESTED or now.culprits in tested):
                target = self._buggy if in_doubt else target
                self._progress.doubt(now.culprits, sure, target)
                self._examiner.again(target, strategy.runs_until_sure(
                    now.culprits, evidence, target, wanted, self._examiner.at_once))
                continue
            proof = prove(now.culprits, evidence)
            tested.add(now.culprits)
            if unsure and proof.confirmed is not False:
                continue
            sure = strategy.confidence(now.culprits, self.evidence)
            if proof.confirmed is not False or now.culprits == failed or not target or self._settings.runs:
                return Verdict(now.culprits, sure, proof)
            # Luck may have hidden the bug before the culprit: ask again until that is much less likely.
            failed, wanted = now.culprits, 1 - (1 - wanted) * _INSIST
            self._progress.unproved(proof.text)

    def _rate_in_doubt(self, evidence: Evidence) -> bool:
        """Whether a flaky bug may pass for one that always shows: every clean run would be taken for a proof."""
        at_end = [run.seen for run in self._examiner.runs_of(self._buggy)]
        return (not evidence.rate.missed and at_end.count(Seen.BUG) < statistics.BELIEVED
                and len(at_end) < statistics.MOST)

    def _begun(self, answers: dict[str, Answer]) -> list[str]:
        """Revisions that were run and have no answer: an interruption came between, and now others might be chosen."""
        left, ends = self._left(answers), (self._history.old, self._history.new)
        found = (run.commit for run in self.journal.runs if run.commit in left and run.commit not in ends)
        return [one for one in dict.fromkeys(found) if one not in self.journal.steps][:self._settings.jobs]

    def _left(self, answers: dict[str, Answer]) -> frozenset[str]:
        return strategy.left(answers, self._history, fix=self._settings.fix)

    def _judge_all(self, commits: Sequence[str], answers: dict[str, Answer]) -> None:
        """Judge revisions at once; those that an answer makes superfluous are stopped."""
        if len(commits) == 1:
            self._examiner.coming = self._chooser.ahead(
                commits[0], answers, strategy.share_with_bug(commits[0], self.evidence))
            self._examiner.settle(commits[0])
            return
        self._examiner.coming = ()  # too many answers are possible
        with ThreadPoolExecutor(len(commits)) as pool:
            pending: dict[Future[strategy.Conclusion | None], str] = {
                pool.submit(self._examiner.settle, commit): commit for commit in commits}
            try:
                while pending:
                    done, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        commit = pending.pop(future)
                        if conclusion := future.result():
                            self._drop(commit, conclusion.answer, pending.values())
            except BaseException:
                self._examiner.stop()  # or the pool would wait for the others to the end
                raise
        self._examiner.dropped.clear()

    def _drop(self, commit: str, answer: Answer, others: Iterable[str]) -> None:
        """Stop what is judged beside a revision and can tell nothing after its answer."""
        if answer is Answer.SKIP:
            return
        inside = self._history.ancestors(commit)
        is_new = (answer is Answer.BUG) is not self._settings.fix
        for other in others:
            if (other not in inside) if is_new else (other in inside):
                self._examiner.drop(other)
