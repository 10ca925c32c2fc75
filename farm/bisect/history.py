"""The commits between two ends, as a graph, and what follows from runs of some of them. Pure but for `read`."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from farm.bisect.statistics import Rate, posterior
from farm.bisect.values import Run, Seen
from farm.kernel.git import Repository

# Stands for a culprit outside the history.
BEYOND = ""


@dataclass
class History:
    """What `git rev-list NEW ^OLD` lists, paths taken into account; `old` itself is no member."""

    old: str
    new: str
    # Member -> its parents that are members; newest first.
    parents: Mapping[str, tuple[str, ...]]
    # Commit -> first line of its message.
    subjects: Mapping[str, str] = field(default_factory=dict)
    _ancestors: dict[str, frozenset[str]] = field(default_factory=dict)

    def ancestors(self, commit: str) -> frozenset[str]:
        """The members that a commit contains, itself among them; none for the old end and all before it."""
        known = self._ancestors.get(commit)
        if known is None:
            todo = [commit] if commit in self.parents else list(self.parents) if commit == self.new else []
            found = set(todo)
            while todo:
                for parent in self.parents[todo.pop()]:
                    if parent not in found:
                        found.add(parent)
                        todo.append(parent)
            known = self._ancestors[commit] = frozenset(found)
        return known

    def left(self, olds: Iterable[str], news: Iterable[str]) -> frozenset[str]:
        """The members that may still be the culprit: in every new commit and in no old one."""
        found = self.ancestors(self.new)
        for commit in news:
            found &= self.ancestors(commit)
        for commit in olds:
            found -= self.ancestors(commit)
        return found

    def before(self, commits: Collection[str]) -> list[str]:
        """Parents of those commits that are none of them; the old end stands for all that are no members."""
        listed = [parent for commit in commits for parent in self.parents[commit] or (self.old,)]
        return [parent for parent in dict.fromkeys(listed) if parent not in commits]


def read(repository: Repository, old: str, new: str, paths: Sequence[str]) -> History:
    """The graph between two commits of a repository. Raises InfrastructureError."""
    listed = repository.run("log", "--topo-order", "--parents", "--format=%H%x00%P%x00%s", new, f"^{old}", "--", *paths)
    rows = [line.split("\0") for line in listed.stdout.split("\n") if line]
    members = {row[0] for row in rows}
    parents = {row[0]: tuple(one for one in row[1].split() if one in members) for row in rows}
    ends = repository.run("log", "--no-walk", "--format=%H%x00%s", old, new).stdout.split("\n")  # as git ends lines
    subjects = dict(line.split("\0", 1) for line in ends if line)
    return History(old, new, parents, {**subjects, **{row[0]: row[2] for row in rows}})


@dataclass(frozen=True)
class Evidence:
    """All runs so far, read as evidence about a history."""

    history: History
    runs: Sequence[Run]
    fix: bool = False
    # Of the new end with a commit taken out of it, by that commit.
    proofs: Sequence[Run] = ()

    @cached_property
    def buggy(self) -> frozenset[str]:
        """Commits on which the bug was seen, and those with the very same kernel."""
        kernels = {run.digest or run.commit for run in self.runs if run.seen is Seen.BUG}
        return frozenset(run.commit for run in self.runs if (run.digest or run.commit) in kernels)

    def has_bug(self, commit: str) -> bool:
        """Whether a commit has the bug for certain: it was seen there, or where it cannot be unless it is here too."""
        if self.fix:
            return commit in self.buggy or any(commit in self.history.ancestors(one) for one in self.buggy)
        return commit in self.buggy or bool(self.history.ancestors(commit) & self.buggy)

    @cached_property
    def rate(self) -> Rate:
        """How often the bug shows, from the runs of commits that have it for certain."""
        known = [run.seen for run in self.runs if not run.copy and self.has_bug(run.commit)]
        return Rate(known.count(Seen.BUG), known.count(Seen.NO_BUG))

    def culprits(self) -> dict[str, float]:
        """Probability of each member to be the culprit; of BEYOND, that even the end without the bug has it."""
        possible = self.history.ancestors(self.history.new)
        for commit in self.buggy:
            inside = self.history.ancestors(commit)
            possible = possible - inside if self.fix else possible & inside
        if self.fix and (mended := possible & {run.commit for run in self.proofs if run.seen is Seen.BUG}):
            possible = mended  # the bug is back without it, and would not be, had another mended it
        missed = dict.fromkeys(possible, 0)
        beyond = 0
        for commits, runs in self._clean():
            for member in possible & self._with_bug(commits):
                missed[member] += runs
            beyond += runs
        for reverted, runs in self._clean_without().items():
            for member in possible - {reverted}:
                missed[member] += runs
            beyond += runs
        return posterior(self.rate, {**missed, BEYOND: beyond})

    def _with_bug(self, commits: Iterable[str]) -> frozenset[str]:
        """Members of which each, were it the culprit, would have left the bug in one of the commits."""
        inside = [self.history.ancestors(one) for one in commits]
        everything = self.history.ancestors(self.history.new)
        return everything.difference(frozenset.intersection(*inside)) if self.fix else frozenset[str]().union(*inside)

    def _clean_without(self) -> Counter[str]:
        """How often the new end ran without the bug, by the commit that was taken out of it: the bug would still be
        there, were another the culprit. A commit without which it was seen all the same tells nothing."""
        if self.fix:
            return Counter()
        still = {run.commit for run in self.proofs if run.seen is Seen.BUG}
        return Counter(run.commit for run in self.proofs if run.seen is Seen.NO_BUG and run.commit not in still)

    def _clean(self) -> list[tuple[set[str], int]]:
        """Commits with the same kernel and how often that ran without the bug; those that have it left out."""
        kernels: dict[str, tuple[set[str], int]] = {}
        for run in self.runs:
            if run.seen is Seen.NO_BUG and not self.has_bug(run.commit):
                kernel = run.digest or run.commit
                commits, runs = kernels.get(kernel, (set[str](), 0))
                kernels[kernel] = (commits | {run.commit}, runs + (not run.copy))
        return list(kernels.values())
