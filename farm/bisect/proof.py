"""The test of the answer: the end that shows the change, with the culprit taken out of it again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from farm import trial
from farm.bisect import strategy
from farm.bisect.history import Evidence
from farm.bisect.judge import Judge, of_build
from farm.bisect.state import Journal
from farm.bisect.values import Answer, Build, Run, Seen, Settings
from farm.errors import InfrastructureError
from farm.guest.shell import visible
from farm.kernel.git import Repository

# How often the runs without the culprit may agree with the answer by luck.
TOLERANCE = 0.05
PATCH = "revert.patch"
# What is compared without a revert has to show the same once more.
_TWICE = 2


@dataclass(frozen=True)
class Proof:
    """Whether the answer stood the test; None when it could not be made."""

    confirmed: bool | None
    # What was done and seen, in a sentence.
    text: str


def revert_patch(repository: Repository, culprit: str, onto: str, directory: Path) -> Path | None:
    """A patch that takes a commit out of another one that contains it; None when git cannot make one."""
    path = directory / PATCH
    path.unlink(missing_ok=True)  # of a culprit that was not it after all
    parents = repository.run("show", "-s", "--format=%P", culprit).stdout.split()
    if len(parents) != 1:
        return None
    index, undo = directory / "revert.index", directory / "revert.new"
    index.unlink(missing_ok=True)
    diff = ("diff-tree", "-p", "--binary", "--full-index")
    try:
        # By files, which git writes itself: source code is bytes, and in no encoding that is known.
        repository.run(*diff, f"--output={undo}", culprit, parents[0])
        repository.run("read-tree", onto, index=index)
        done = repository.run("apply", "--cached", "--3way", str(undo), index=index, check=False)
        if done.returncode != 0:
            return None
        tree = repository.run("write-tree", index=index).stdout.strip()
        repository.run(*diff, f"--output={undo}", onto, tree)
        if not undo.stat().st_size:
            return None  # it was taken out there already
        return undo.rename(path)
    finally:
        for left in (index, undo):
            left.unlink(missing_ok=True)


class Prover:
    """Runs the end without the culprit, as often as the reproduction rate wants."""

    def __init__(self, journal: Journal, evidence: Evidence, settings: Settings, say: Callable[[str], None]) -> None:
        self._journal, self._evidence, self._settings, self._say = journal, evidence, settings, say

    def prove(self, judge: Judge, culprit: str) -> Proof:
        """`judge` builds the newer end without the culprit.

        Raises InfrastructureError when the host fails again and again.
        """
        onto = self._evidence.history.new
        needed = self._settings.runs or self._evidence.rate.runs(TOLERANCE)
        build: Build | None = None
        failures = 0
        while (conclusion := strategy.conclude(self._runs(culprit), needed)) is None:
            if build is None:
                most = f"up to {needed} run{'s' if needed > 1 else ''}"
                self._say(f"reverting {culprit[:12]} on top of {onto[:12]}: {most}")
                build = judge.build(onto, ahead=False)
            seen = self._some(judge, culprit, onto, build, needed)
            failed = next((run for run in seen if run.seen in (Seen.HOST, Seen.STOPPED)), None)
            if failed is not None:
                failures += 1
                if failures == strategy.HOST_FAILURES:
                    raise InfrastructureError(
                        f"the answer could not be tested: {failed.title}\n`farm bisect resume` tries again.")
                self._say(f"    the host failed (attempt {failures}): {visible(failed.title)}")
                build = None
        return self._proof(culprit, onto, conclusion)

    def _some(self, judge: Judge, culprit: str, onto: str, build: Build, needed: int) -> list[Run]:
        """Runs that are certainly needed, as many at once as the host has room for."""
        symptom = self._journal.symptom
        alone = of_build(onto, build, symptom)

        def once() -> Run:
            run = alone or judge.run(onto, build, symptom)
            if run.seen not in (Seen.HOST, Seen.STOPPED):
                self._journal.add_proof(replace(run, commit=culprit))
                self._say(f"    {run.seen.value}" + (f": {visible(run.title)}" if run.seen is not Seen.NO_BUG else ""))
            return run

        count = 1 if alone else min(judge.at_once, strategy.lacking(self._runs(culprit), needed))
        return trial.together([once] * count, judge.close)

    def _runs(self, culprit: str) -> list[Run]:
        return [run for run in self._journal.proofs if run.commit == culprit]

    def _proof(self, culprit: str, onto: str, conclusion: strategy.Conclusion) -> Proof:
        runs = self._runs(culprit)
        where = f"With it reverted on top of {onto[:12]}"
        if conclusion.answer is Answer.SKIP:
            return Proof(None, f"{where}, nothing can be judged: {conclusion.why}.")
        seen, what = strategy.tally(runs), "the bug is back" if self._settings.fix else "the bug is gone"
        if (conclusion.answer is Answer.BUG) is not self._settings.fix:
            return Proof(False, f"{where}, it is not so that {what}: {seen}.")
        clean = sum(run.seen is Seen.NO_BUG for run in runs)
        luck = "" if self._settings.fix else f" (by luck: {self._evidence.rate.miss(clean):.1%})"
        return Proof(True, f"{where}, {what}: {seen}{luck}.")


class Comparer:
    """The test that needs no revert: the culprit and the revisions before it are run once more."""

    def __init__(self, look: Callable[[], Evidence], again: Callable[[str, int], None], settings: Settings) -> None:
        """`look` tells what was seen so far, `again` runs a revision, up to so many times at once."""
        self._look, self._again, self._settings = look, again, settings

    def prove(self, culprit: str, why: str) -> Proof:
        """`why` it could not be reverted. Raises UserError when it is an end that does not behave after all."""
        fix, before = self._look().fix, self._look().history.before([culprit])
        sides = {**dict.fromkeys(before, fix), culprit: not fix}
        as_expected = [self._behaves(one, buggy=buggy) for one, buggy in sides.items()]
        told = "; ".join(f"{one[:12]}: {strategy.tally(self._runs(one))}" for one in sides)
        confirmed = None if None in as_expected else all(as_expected)
        return Proof(confirmed, f"{why} Culprit and parent were run again instead: {told}.")

    def _behaves(self, one: str, *, buggy: bool) -> bool | None:
        """Whether a revision shows the bug, or does not, as it should; None when that could not be seen."""
        needed = max(self._settings.runs or self._look().rate.runs(TOLERANCE), _TWICE)
        most = len(self._runs(one)) + needed
        for _ in range(needed + 1):
            seen = [run.seen for run in self._runs(one)]
            if Seen.BUG in seen and not buggy:
                return False
            lacks = _TWICE - seen.count(Seen.BUG) if buggy else needed - seen.count(Seen.NO_BUG)
            if lacks <= 0:
                return True
            if len(seen) < most:
                self._again(one, min(lacks, most - len(seen)))
        return None

    def _runs(self, one: str) -> list[Run]:
        """Its own runs: what was taken over from another with the same kernel is no second look."""
        return [run for run in self._look().runs if run.commit == one and not run.copy]
