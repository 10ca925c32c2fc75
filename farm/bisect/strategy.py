"""What to conclude and what to ask next. Pure: runs in, decisions out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from farm.bisect.history import BEYOND, Evidence, History
from farm.bisect.state import Step
from farm.bisect.statistics import MOST
from farm.bisect.values import Answer, Run, Seen, Settings

# A revision that shows something else than the bug, or nothing, gets this many attempts before it is skipped.
ATTEMPTS = 2
# A host that fails as often on one revision ends the bisection.
HOST_FAILURES = 3
_UNDECIDED = frozenset({Seen.OTHER, Seen.NO_BOOT, Seen.UNASKED})


@dataclass(frozen=True)
class Conclusion:
    """What the runs of one revision amount to."""

    answer: Answer
    # "" when the runs alone tell.
    why: str = ""


def conclude(runs: Iterable[Run], needed: int) -> Conclusion | None:
    """The answer that the runs of one revision give, or None while there are too few.

    One sight of the bug is enough; `needed` runs without it are; a revision that fails otherwise is skipped, unless
    the runs that can be judged outvote those that cannot.
    """
    listed = list(runs)
    seen = [run.seen for run in listed]
    titles = {run.seen: run.title for run in listed}
    if Seen.BUG in seen:
        return Conclusion(Answer.BUG, titles[Seen.BUG])
    if Seen.NO_BUILD in seen:  # it would fail again
        return Conclusion(Answer.SKIP, f"no build: {titles[Seen.NO_BUILD]}")
    clean, failed = seen.count(Seen.NO_BUG), sum(one in _UNDECIDED for one in seen)
    if clean >= max(needed, failed + 1):
        return Conclusion(Answer.NO_BUG)
    if failed >= ATTEMPTS and failed >= clean:
        last = next(run for run in reversed(listed) if run.seen in _UNDECIDED)
        return Conclusion(Answer.SKIP, f"{last.seen.value}: {last.title}")
    return None


def lacking(runs: Iterable[Run], needed: int) -> int:
    """How many more runs a revision takes before it can count as free of the bug; at least one."""
    seen = [run.seen for run in runs]
    return max(1, max(needed, sum(one in _UNDECIDED for one in seen) + 1) - seen.count(Seen.NO_BUG))


def tally(runs: Iterable[Run], *, others: bool = False) -> str:
    """What was seen how often, in words: `2 of 3 runs: bug, 1 of 3 runs: no boot`; with `others`, the titles of what
    is not the bug too."""
    listed = list(runs)
    names = [f"{run.seen.value} ({run.title})" if others and run.title and run.seen in _UNDECIDED else run.seen.value
             for run in listed]
    return ", ".join(f"{names.count(one)} of {len(names)} runs: {one}" for one in dict.fromkeys(names)) or "no run"


def standing(steps: Mapping[str, Step], evidence: Evidence, settings: Settings) -> dict[str, Answer]:
    """The answers to tell git: those that later sights of the bug left standing and that still say something."""
    answers: dict[str, Answer] = {}
    history = evidence.history
    tip = history.new
    for commit, step in steps.items():
        if commit in (history.old, history.new):
            continue
        answer = Answer.BUG if commit in evidence.buggy else step.answer
        if answer is Answer.NO_BUG and evidence.has_bug(commit):
            continue
        is_new = (answer is Answer.BUG) is not settings.fix and answer is not Answer.SKIP
        if is_new:
            if commit not in history.ancestors(tip):
                continue  # judged beside others: git knows better already
            tip = commit
        answers[commit] = answer
    return answers


def left(answers: Mapping[str, Answer], history: History, *, fix: bool) -> frozenset[str]:
    """The members that may still be the culprit after these answers."""
    new = Answer.NO_BUG if fix else Answer.BUG
    return history.left([one for one, answer in answers.items() if answer not in (new, Answer.SKIP)],
                        [one for one, answer in answers.items() if answer is new])


def confidence(culprits: Sequence[str], evidence: Evidence) -> float:
    """Probability that the culprit is one of those."""
    of = evidence.culprits()
    return sum(of.get(commit, 0.0) for commit in culprits)


def doubtful(culprits: Sequence[str], evidence: Evidence, steps: Mapping[str, Step]) -> str:
    """The revision whose further runs would tell most about whether one of the culprits is the right answer.

    Bringing a bug: a parent of the culprits may have it too. Mending it: the culprit itself may still have it.
    "" when no further run can help.
    """
    of, history = evidence.culprits(), evidence.history
    if evidence.fix:
        free = [commit for commit in (*culprits, history.new)
                if commit == history.new or (commit in steps and steps[commit].answer is Answer.NO_BUG)]
        gain = {commit: sum(share for one, share in of.items() if one not in history.ancestors(commit))
                for commit in free[:1]}
    else:
        gain = {commit: sum(of.get(one, 0.0) for one in history.ancestors(commit)) + of[BEYOND]
                for commit in history.before(culprits)
                if commit not in steps or steps[commit].answer is not Answer.SKIP}
    runs = [run.commit for run in evidence.runs]
    useful = {commit: share for commit, share in gain.items() if share > 0 and runs.count(commit) < MOST}
    return max(useful, key=lambda commit: useful[commit], default="")


def runs_until_sure(culprits: Sequence[str], evidence: Evidence, commit: str, wanted: float, most: int) -> int:
    """How many runs of a revision without the bug make the confidence what is wanted: at least one, `most` at most."""
    clean = Run(commit, Seen.NO_BUG)
    return next((count for count in range(1, most) if confidence(
        culprits, replace(evidence, runs=(*evidence.runs, *[clean] * count))) >= wanted), most)


def share_with_bug(commit: str, evidence: Evidence) -> float:
    """Probability that a commit has the bug."""
    inside = sum(share for one, share in evidence.culprits().items() if one in evidence.history.ancestors(commit))
    return 1.0 - inside if evidence.fix else inside
