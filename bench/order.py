"""How many revisions a bisection judges by suspects, and how many in git's own order; without kernels.

Each history is generated (`bench.history`), and what its commits are is known, so that answers cost nothing. Whom the
failure speaks of is read from a real run: --qualification is a run directory of `farm qualify` in which the mutant was
caught.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from bench import history
from bench.histories import tree
from bench.measure import BenchError
from farm import trial
from farm.bisect import suspects
from farm.bisect.chooser import Chooser
from farm.bisect.gitbisect import REPOSITORIES, GitBisect
from farm.bisect.history import read
from farm.bisect.values import ORDERS, Answer, Settings, Symptom
from farm.kernel.git import Repository
from farm.qualify.mutant import load_mutants
from farm.results import reached


def answer(planted: history.Planted, commit: str) -> Answer:
    """What judging a commit of a generated history would come to."""
    place = planted.commits.index(commit)
    if any(trouble in planted.kinds[place] for trouble in history.TROUBLES):
        return Answer.SKIP
    return Answer.BUG if place >= planted.place else Answer.NO_BUG


def judged(planted: history.Planted, repository: Path, order: str, speaks_of: Mapping[str, float]) -> int:
    """How many revisions are judged until git names a culprit."""
    settings = Settings(order=order)
    with tempfile.TemporaryDirectory() as directory:
        for name in REPOSITORIES:
            Path(directory, name).symlink_to(repository)
        own = Repository(repository)
        commits = read(own, planted.commits[0], planted.commits[-1], ())
        git = GitBisect(Path(directory), commits.old, commits.new, settings)
        chooser = Chooser(git, commits, settings, lambda left: suspects.guess(own, commits.new, left, speaks_of),
                          lambda *_: None)
        answers: dict[str, Answer] = {}
        while not (now := git.tell(answers)).culprits:
            (asked,) = chooser.next(answers, now.commit)
            answers[asked] = answer(planted, asked)
        return len(answers)


def clues_of(qualification: Path, mutant: str) -> dict[str, float]:
    """Whom the first run that caught a mutant speaks of. Raises BenchError where none did."""
    for run in sorted((qualification / mutant).glob("*/")):
        for cell in trial.cells_in(run):
            if cell.failures:
                ended = cell.failures[0]
                symptom = Symptom(ended.kind, ended.title, ended.function, ended.signature)
                return suspects.clues_of([run], symptom, reached.load())
    raise BenchError(f"{qualification} has no run that caught {mutant}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mutants", nargs="+", metavar="MUTANT")
    parser.add_argument("--qualification", type=Path, required=True, metavar="RUN", help="where they were caught")
    parser.add_argument("--histories", type=int, default=2, metavar="N", help="of each mutant (default: 2)")
    parser.add_argument("--commits", type=int, default=64, metavar="N", help="commits in each (default: 64)")
    parser.add_argument("--dir", type=Path, default=Path("bench-order"), metavar="DIR", help="where the tree is kept")
    return parser.parse_args()


def table(asked: argparse.Namespace) -> Sequence[tuple[str, dict[str, int]]]:
    """Name of a history -> revisions judged, by who chooses them."""
    path, base = tree(asked.dir.absolute())
    rows = []
    for mutant in load_mutants(asked.mutants):
        speaks_of = clues_of(asked.qualification, mutant.name)
        for seed in range(1, asked.histories + 1):
            planted = history.make(history.Repository(path), base, mutant, seed=seed, commits=asked.commits,
                                   branch=f"bench/order-{mutant.name}-{seed}")
            count = partial(judged, planted, path / ".git", speaks_of=speaks_of)
            rows.append((f"{mutant.name}-{seed}", {order: count(order) for order in ORDERS}))
            print(*_row(*rows[-1]), flush=True)
    return rows


def _row(name: str, counts: Mapping[str, int]) -> list[str]:
    return [f"{name:36}", *(f"{order} {count:4}" for order, count in counts.items())]


def main() -> int:
    rows = table(arguments())
    print(*_row(f"{len(rows)} histories", {order: sum(counts[order] for _, counts in rows) for order in ORDERS}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(f"bench: {error}")
