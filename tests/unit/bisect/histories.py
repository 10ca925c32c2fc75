"""Random histories made by real git, and a judge who knows where the bug is."""

import random
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from farm.bisect.chooser import Suspect
from farm.bisect.driver import Driver, Verdict
from farm.bisect.gitbisect import REPOSITORIES, GitBisect
from farm.bisect.history import read
from farm.bisect.proof import Comparer, Proof, Prover
from farm.bisect.state import Journal
from farm.bisect.suspects import Guess
from farm.bisect.values import Build, Run, Seen, Settings
from farm.host import lease
from farm.kernel import git
from farm.kernel.git import Repository
from farm.verdict import Cause

PANIC = Cause("panic", "kernel panic: no in f", "f", "s")


@dataclass
class World:
    """A history and its bug."""

    repository: Path
    # Oldest first; the first and the last are the ends.
    commits: list[str]
    culprit: str
    rate: float = 1.0
    fix: bool = False
    # What revisions show instead.
    special: dict[str, Seen] = field(default_factory=dict)
    # What a compiler says where it fails.
    build_cause: Cause | None = None
    # Revisions whose kernel is the one of their first parent.
    harmless: set[str] = field(default_factory=set)


class KnowingJudge:
    """Answers from the world; counts what it was asked, and may die at the n-th run."""

    def __init__(self, world: World, seed: int, die_at: int = 0, without: str = "", at_once: int = 1) -> None:
        self.at_once = at_once
        # The commit that is reverted.
        self.without = without
        self.world, self.seed, self.die_at = world, seed, die_at
        self.lock = threading.Lock()
        # Commit -> how many of its runs miss the bug by luck.
        self.lucky: dict[str, int] = {}
        # Commit -> what its runs show, one after the other, before anything else.
        self.script: dict[str, list[Seen]] = {}
        # Commit with the bug -> how many of its runs show it by chance.
        self.sure: dict[str, int] = {}
        self.builds: list[str] = []
        # Those that began, and those that came to an end.
        self.runs: list[str] = []
        self.ended: list[str] = []
        self.containing = set(subprocess.run(
            ["git", f"--git-dir={world.repository}", "rev-list", "--ancestry-path", f"{world.culprit}..refs/heads/all"],
            check=True, capture_output=True, text=True).stdout.split()) | {world.culprit}

    def build(self, commit, *, ahead=False):
        self.builds.append(commit)
        if self.world.special.get(commit) is Seen.NO_BUILD:
            return Build(error="does not compile", seen=Seen.NO_BUILD, cause=self.world.build_cause)
        return Build(digest=self.world_digest(commit))

    def world_digest(self, commit):
        index = self.world.commits.index(commit)
        while self.world.commits[index] in self.world.harmless:
            index -= 1
        return f"kernel {self.world.commits[index]}"

    def run(self, commit, build, symptom):
        with self.lock:
            return self._run(commit, build)

    def _run(self, commit, build):
        self.runs.append(commit)
        if len(self.runs) == self.die_at:
            raise KeyboardInterrupt
        self.ended.append(commit)
        script = self.script.get(commit)
        seen = script.pop(0) if script else self.world.special.get(commit)
        if seen is None:
            has = (commit in self.containing and self.without != self.world.culprit) is not self.world.fix
            number = self.runs.count(commit)
            has = has and number > self.lucky.get(commit, 0)
            # In whichever order revisions are run, each has the same luck.
            chance = random.Random(f"{self.seed} {commit} {number}").random()
            shows = chance < self.world.rate or number <= self.sure.get(commit, 0)
            seen = Seen.BUG if has and shows else Seen.NO_BUG
        cause = {Seen.BUG: PANIC, Seen.OTHER: Cause("warning", "WARNING in g", "g", "t"),
                 Seen.UNASKED: Cause("user", "this kernel has no such stack")}.get(seen)
        return Run(commit, seen, cause.title if cause else "", cause, build.digest, 1.0, 1.0)

    def stop_build(self, commit):
        pass

    def stop_run(self, commit):
        pass

    def close(self):
        pass


def import_history(path: Path, shape: list[tuple[int, ...]]) -> list[str]:
    """A bare repository with one commit for each element, which lists its parents by their index."""
    subprocess.run(["git", "init", "-q", "--bare", "--template=", str(path)], check=True)
    stream = []
    for number, parents in enumerate(shape):
        message = f"commit {number}"
        stream += [f"commit refs/heads/all\nmark :{number + 1}\ncommitter a <a@b> {946684800 + number} +0000\n"
                   f"data {len(message)}\n{message}"]
        stream += [f"{'merge' if place else 'from'} :{parent + 1}" for place, parent in enumerate(parents)]
        stream += [f"M 644 inline file{number % 7}\ndata {len(str(number))}\n{number}", ""]
    marks = path / "marks"
    # It would unpack fewer than a hundred objects again, into a file each.
    importing = ["git", f"--git-dir={path}", "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet",
                 f"--export-marks={marks}"]
    subprocess.run(importing, input="\n".join(stream), text=True, check=True)
    rows = dict(line.split() for line in marks.read_text().splitlines())
    return [rows[f":{number + 1}"] for number in range(len(shape))]


def line(directory: Path, length: int, culprit: int, **changes: Any) -> World:
    """A history without merges; the culprit by its place."""
    directory.mkdir(exist_ok=True)
    commits = import_history(directory / "user.git", [(number - 1,) if number else () for number in range(length)])
    return World(directory / "user.git", commits, commits[culprit], **changes)


def random_shape(random: random.Random, length: int, merges: float) -> list[tuple[int, ...]]:
    """Each commit on one of the last few, merged together now and then; the last contains all."""
    shape: list[tuple[int, ...]] = [()]
    heads = [0]
    for number in range(1, length):
        if len(heads) > 1 and random.random() < merges:
            parents = tuple(random.sample(heads, 2))
        elif len(heads) < 4 and random.random() < merges:
            parents = (random.choice(range(max(0, number - 6), number)),)
        else:
            parents = (random.choice(heads),)
        heads = [head for head in heads if head not in parents] + [number]
        shape.append(parents)
    while len(heads) > 1:
        shape.append((heads[0], heads[1]))
        heads = [*heads[2:], len(shape) - 1]
    return shape


@cache
def empty_repository() -> Path:
    """Made once: git takes longer for it than for a step."""
    return git.initialise(lease.scratch_directory("empty") / "empty.git").directory


def bisect(world: World, directory: Path, judge: KnowingJudge, settings: Settings | None = None, *,
           reverts: bool = True, suspect: Suspect = lambda _: Guess()) -> Verdict:
    """One bisection of a world, with all that a real one has but kernels; `reverts` says whether the culprit can be."""
    settings = settings or Settings(fix=world.fix)
    directory.mkdir(exist_ok=True)
    for name in REPOSITORIES:
        path = directory / name
        if not path.exists():
            shutil.copytree(empty_repository(), path)
            (path / "objects/info").mkdir(exist_ok=True)
            (path / "objects/info/alternates").write_text(f"{world.repository}/objects\n")
    old, new = world.commits[0], world.commits[-1]
    history = read(Repository(directory / REPOSITORIES[0]), old, new, settings.paths)
    said: list[str] = []
    lock = threading.Lock()

    def say(line: str) -> None:
        with lock:
            said.append(line)

    journal = Journal(directory)

    def prove(culprits, evidence):
        if len(culprits) != 1:
            return Proof(None, "more than one")
        if not reverts:
            return Comparer(lambda: driver.evidence, driver.again, settings).prove(culprits[0], "No revert.")
        without = KnowingJudge(world, len(judge.runs), without=culprits[0], at_once=judge.at_once)
        return Prover(journal, evidence, settings, say).prove(without, culprits[0])

    driver = Driver(judge, GitBisect(directory, old, new, settings), history, journal,
                    settings=settings, suspect=suspect, say=say)
    try:
        return driver.run(prove)
    finally:
        (directory / "said.txt").write_text("\n".join(said))


def random_world(directory: Path, seed: int, *, rate: float = 1.0, fix: bool = False) -> World:
    """A history of 8 to 40 commits, with few, some or many merges, and a culprit anywhere in it."""
    chance = random.Random(seed)
    shape = random_shape(chance, chance.randint(8, 40), chance.choice((0.0, 0.15, 0.4)))
    directory.mkdir(exist_ok=True)
    commits = import_history(directory / "user.git", shape)
    return World(directory / "user.git", commits, chance.choice(commits[1:]), rate, fix)
