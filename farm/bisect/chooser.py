"""What is judged next: git's own choice, or the farm's where some are suspected or several are judged at once."""

from collections.abc import Callable, Collection, Mapping

from farm.bisect import strategy
from farm.bisect.cuts import MOST, Cuts
from farm.bisect.gitbisect import GitBisect
from farm.bisect.history import History
from farm.bisect.suspects import Guess
from farm.bisect.values import SUSPECTS, Answer, Settings

# Who is suspected among some commits. Asked once the end with the bug has its answer.
Suspect = Callable[[Collection[str]], Guess]


class Chooser:
    """Chooses revisions of one history."""

    def __init__(self, git: GitBisect, history: History, settings: Settings, suspect: Suspect,
                 told: Callable[[Guess, int], None]) -> None:
        """`told` hears of suspects, and among how many commits they are."""
        self._git, self._history, self._settings, self._suspect, self._told = git, history, settings, suspect, told
        # Of whoever was left when they were made.
        self._cuts: Cuts | None = None

    def next(self, answers: Mapping[str, Answer], own: str = "") -> list[str]:
        """The revisions to judge after these answers, as many as are judged at once; none when nothing is left.

        `own` is what git asks for, where that is known.
        """
        left = strategy.left(answers, self._history, fix=self._settings.fix)
        made = self._cuts_of(left)
        if made is None:
            asked = own or self._git.would_ask(answers)
            return [asked] if asked else []
        skipped = [commit for commit, answer in answers.items() if answer is Answer.SKIP]
        return made.choose(left, self._settings.jobs, answers, skipped) or ([own] if own else [])

    def ahead(self, commit: str, answers: Mapping[str, Answer], likely: float) -> list[str]:
        """What will be judged after a revision, that which follows the likelier answer first; `likely` is the
        probability that it has the bug."""
        either = sorted(((likely, Answer.BUG), (1 - likely, Answer.NO_BUG)), key=lambda pair: -pair[0])
        found = [one for _, answer in either for one in self.next({**answers, commit: answer})[:1]]
        return list(dict.fromkeys(found))

    def _cuts_of(self, left: frozenset[str]) -> Cuts | None:
        """None where git is to choose."""
        if len(left) > MOST:
            return None
        if self._cuts is None or not self._cuts.cover(left):
            guess = self._suspect(left) if self._settings.order == SUSPECTS else Guess()
            if guess.suspects:
                self._told(guess, len(left))
            self._cuts = Cuts(self._history, left, guess.shares)
        return self._cuts if self._cuts.weighted or self._settings.jobs > 1 else None
