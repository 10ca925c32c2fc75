"""`git bisect` in a repository of the farm's own: it chooses revisions, keeps the log, and writes to no checkout."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from farm.bisect.values import Answer, Settings
from farm.errors import InfrastructureError, UserError
from farm.host import process
from farm.kernel.git import Repository

# Names in the directory of a bisection: two repositories, and git's own log, for `git bisect replay`.
REPOSITORIES = ("repository.git", "aside.git")
LOG = "git-bisect.log"
# git's exit status when only skipped revisions are left (builtin/bisect--helper.c, BISECT_ONLY_SKIPPED_LEFT).
_ONLY_SKIPPED = 2
# And when no commit that is left touches the paths (BISECT_NO_TESTABLE_COMMIT).
_NO_TESTABLE = 4
_CULPRIT = re.compile(r"^# (?:first|possible first) \S+ commit: \[([0-9a-f]+)\]", re.MULTILINE)
_LISTED = re.compile(r"^([0-9a-f]+) \(.*dist=\d+\)", re.MULTILINE)


@dataclass(frozen=True)
class Next:
    """What git says now."""

    # The revision to judge; "" when there is none left.
    commit: str = ""
    # Then the revisions that the answer is one of; more than one when revisions were skipped.
    culprits: tuple[str, ...] = ()


class GitBisect:
    """One bisection between two commits, told and asked through `git bisect` itself."""

    def __init__(self, directory: Path, old: str, new: str, settings: Settings) -> None:
        """`directory` holds two repositories: one in which git bisects, and one that is asked what no bisection
        under way may influence (`git rev-list --bisect` minds refs/bisect)."""
        self._directory = directory
        self._repository, self._aside = (Repository(directory / name) for name in REPOSITORIES)
        self._old, self._new = old, new
        self._paths = settings.paths
        # git's words for the two sides of the history.
        self.terms = ("broken", "fixed") if settings.fix else ("good", "bad")
        self._word = {
            Answer.BUG: self.terms[0] if settings.fix else self.terms[1],
            Answer.NO_BUG: self.terms[1] if settings.fix else self.terms[0],
            Answer.SKIP: "skip",
        }
        # What git was told since it started.
        self._told: dict[str, Answer] | None = None

    @property
    def _log(self) -> Path:
        return self._repository.directory / "BISECT_LOG"

    def tell(self, answers: Mapping[str, Answer]) -> Next:
        """Bring git up to these answers, starting anew when one of them was withdrawn; what it says to that.

        Raises InfrastructureError when git fails, UserError when no commit of the paths is the answer.
        """
        told = self._told
        if told is None or any(answers.get(commit) is not answer for commit, answer in told.items()):
            self._start()
            told = {}
        for commit, answer in answers.items():
            if commit not in told and not self._finished():
                self._bisect(self._word[answer], commit)
        self._told = dict(answers)
        shutil.copyfile(self._log, self._directory / LOG)
        return self._next()

    def would_ask(self, answers: Mapping[str, Answer]) -> str:
        """What git would ask for after these answers, near enough; "" when nothing would be left."""
        skipped = {commit for commit, answer in answers.items() if answer is Answer.SKIP}
        if skipped:
            # Those nearest to the middle first.
            found = _LISTED.findall(self._rev_list("--bisect-all", answers))
            return next((commit for commit in found if commit not in answers), "")
        middle = self._rev_list("--bisect", answers).strip()
        return "" if middle in answers or middle == self._new else middle

    def _rev_list(self, how: str, answers: Mapping[str, Answer]) -> str:
        old, new = self.terms
        news = [commit for commit, answer in answers.items() if self._word[answer] == new]
        olds = [self._old, *(commit for commit, answer in answers.items() if self._word[answer] == old)]
        # Each is asked within the range that the ones before it left: the newest answer lies within all others.
        tip = news[-1] if news else self._new
        return self._aside.run("rev-list", how, tip, *(f"^{commit}" for commit in olds), "--", *self._paths).stdout

    def _start(self) -> None:
        # Without `git bisect reset`: start clears what an earlier one left (builtin/bisect.c:bisect_clean_state).
        self._repository.run("update-ref", "--no-deref", "HEAD", self._new)  # `git bisect start` wants one
        old, new = self.terms
        self._bisect("start", "--no-checkout", f"--term-old={old}", f"--term-new={new}", self._new, self._old,
                     "--", *self._paths)

    def _bisect(self, *arguments: str) -> None:
        done = self._repository.run("bisect", *arguments, check=False)
        if done.returncode == _NO_TESTABLE and self._paths:
            raise UserError(
                f"no commit that touches {', '.join(self._paths)} makes the difference: all of them that could were "
                "judged. Leave --path out or name more, in another --dir; what was built is in the cache.")
        if done.returncode not in (0, _ONLY_SKIPPED):
            raise InfrastructureError(process.failure(done))

    def _finished(self) -> tuple[str, ...]:
        return tuple(_CULPRIT.findall(self._log.read_text(encoding="utf-8", errors="replace")))

    def _next(self) -> Next:
        culprits = self._finished()
        if culprits:
            return Next(culprits=culprits)
        return Next(self._repository.run("rev-parse", "--verify", "BISECT_HEAD").stdout.strip())


def ancestry(repository: Repository, old: str, new: str) -> bool:
    """Whether `old` is contained in `new`."""
    return repository.run("merge-base", "--is-ancestor", old, new, check=False).returncode == 0


def merge_base(repository: Repository, one: str, other: str) -> str:
    """The commit where two histories parted, "" when they have nothing in common."""
    return repository.run("merge-base", one, other, check=False).stdout.strip().partition("\n")[0]


def describe(repository: Repository, commit: str) -> Mapping[str, str]:
    """Id, author, date and subject of a commit."""
    words: Sequence[str] = repository.run(
        "show", "-s", "--format=%H%x00%an <%ae>%x00%as%x00%s", commit).stdout.strip().split("\0")
    return dict(zip(("commit", "author", "date", "subject"), words, strict=True))
