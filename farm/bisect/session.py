"""One bisection is one directory: what was asked, every step, every run, and the report.

    bisections/test_crypt-3f2a9c1e/
        request.json        what was asked; `farm bisect resume` needs nothing else
        steps.jsonl         every run and every answer, in order
        git-bisect.log      for `git bisect replay`
        repository.git      git's own bisection; the commits stay in the user's repository
        runs/               the run directory of every run
        logs/               what building and running said
        revert.patch        takes the culprit out of the end that was tested without it
        report.html .txt .json
"""

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from farm.bisect import gitbisect, report, suspects
from farm.bisect.driver import Driver, Verdict
from farm.bisect.gitbisect import GitBisect
from farm.bisect.history import Evidence, History, read
from farm.bisect.judge import FarmJudge
from farm.bisect.proof import Comparer, Proof, Prover, revert_patch
from farm.bisect.request import REQUEST, Request, claim, load
from farm.bisect.state import Journal
from farm.bisect.values import Seen
from farm.errors import InfrastructureError, UserError
from farm.guest.shell import visible
from farm.host.workdir import Workdir
from farm.kernel import git, sources
from farm.kernel.git import Repository
from farm.kernel.values import BuildRequest
from farm.results import reached
from farm.results.alone import alone_in
from farm.results.directory import write_atomically

Say = Callable[[str], None]


def resolve(tree: Path, rev: str, workdir: Workdir) -> str:
    """Full id of a revision of the user's repository. Raises UserError."""
    source = sources.resolve(BuildRequest(source=str(tree.absolute()), rev=rev), workdir)
    assert isinstance(source, sources.GitSource)
    return source.commit


def uncommitted(tree: Path) -> str:
    """A sentence about changes in the user's work tree that no revision has; "" when there are none."""
    where = git.user_query(tree, ["rev-parse", "--git-path", "index"])
    if where.returncode != 0 or not (tree / where.stdout.strip()).exists():
        return ""  # no work tree was ever checked out
    # Without the option, git would write what it learned into the user's index.
    ask = ["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"]
    try:
        count = len(git.user_query(tree, ask).stdout.splitlines())
    except InfrastructureError:  # a disk so slow that the sentence is not worth the wait
        return ""
    if not count:
        return ""
    files = f"{count} file{'s' if count != 1 else ''}"
    return (f"{tree} has uncommitted changes ({files}), which are in no revision and are left out. To "
            "have them in every one, write them into a file with `git diff` and name that by --patch.")


class Session:
    """A bisection and its directory; one process at a time."""

    def __init__(self, request: Request, directory: Path, workdir: Workdir, say: Say) -> None:
        self.request, self.directory = request, directory.absolute()
        self._workdir, self._say = workdir, say

    def run(self) -> report.Report:
        """Bisect, or go on where it was interrupted; the report is written too. Raises FarmError."""
        with alone_in(self.directory, "bisects"):
            return self._run()

    def _run(self) -> report.Report:
        request = self.request
        repository, history = self._begin(request)
        journal = Journal(self.directory)
        bisect = GitBisect(self.directory, request.old, request.new, request.settings)
        judge = FarmJudge(request.subject, self.directory)
        self._say(f"{len(history.parents)} revisions, {request.good[:12]} good, {request.bad[:12]} bad; "
                  f"everything is kept in {self.directory}")
        if dirty := uncommitted(request.subject.tree):
            self._say(dirty)
        driver = Driver(judge, bisect, history, journal, settings=request.settings, say=self._say,
                        suspect=lambda left: self._suspect(repository, journal, left))
        verdict = driver.run(lambda culprits, evidence: self._prove(repository, culprits, evidence, driver))
        return self._report(repository, verdict, driver.evidence, journal)

    def _begin(self, request: Request) -> tuple[Repository, History]:
        """Claim the directory and read the history; what cannot be bisected leaves nothing there."""
        fresh = claim(self.directory, request, load)
        try:
            self._remove_repositories()
            repository, _ = (self._repository(name) for name in gitbisect.REPOSITORIES)
            return repository, self._history(repository)
        except UserError:
            if fresh:
                self._remove_repositories()
                (self.directory / REQUEST).unlink(missing_ok=True)
            raise

    def _remove_repositories(self) -> None:
        """They hold nothing that the journal does not; a git that was killed leaves its locks in them."""
        for name in (*gitbisect.REPOSITORIES, sources.UNFINISHED):
            shutil.rmtree(self.directory / name, ignore_errors=True)

    def _repository(self, name: str) -> Repository:
        """A repository of the farm's own with the user's commits; both ends are kernel trees.

        What a shallow clone does not have, it does not miss here either.
        """
        path = self.directory / name
        tree = self.request.subject.tree
        for commit in (self.request.good, self.request.bad):
            source = sources.resolve(BuildRequest(source=str(tree), rev=commit), self._workdir)
            source.prepare(path, self.directory)
        told = git.user_query(tree, ["rev-parse", "--git-path", "shallow"])
        shallow = tree / told.stdout.strip()
        if told.returncode == 0 and shallow.is_file():
            shutil.copyfile(shallow, path / "shallow")
        return Repository(path)

    def _history(self, repository: Repository) -> History:
        request = self.request
        if request.good == request.bad:
            raise UserError(f"--good and --bad are the same commit, {request.good[:12]}. Give two.")
        if not gitbisect.ancestry(repository, request.old, request.new):
            raise UserError(self._unrelated(repository))
        paths = request.settings.paths
        try:
            history = read(repository, request.old, request.new, paths)
        except InfrastructureError as error:
            if not paths:
                raise
            read(repository, request.old, request.new, ())  # fails as well where it is git, or the disk, and no path
            raise UserError(f"git does not understand --path {', '.join(paths)}: {error}") from error
        if not history.parents:
            raise UserError(f"no commit between the ends touches {', '.join(paths)}.")
        return history

    def _unrelated(self, repository: Repository) -> str:
        request = self.request
        first, second = ("--bad", "--good") if request.settings.fix else ("--good", "--bad")
        said = f"{first} {request.old[:12]} is not an ancestor of {second} {request.new[:12]}"
        if gitbisect.ancestry(repository, request.new, request.old):
            return f"{said}, but the other way round. Swap them, or " + (
                "leave --fix out: that is for finding the commit that mended a bug."
                if request.settings.fix else "use --fix to find the commit that mended the bug.")
        if (repository.directory / "shallow").exists():
            return (f"{said}, as far as a shallow clone can tell. Let git fetch what lies between: "
                    f"`git -C {request.subject.tree} fetch --unshallow`.")
        base = gitbisect.merge_base(repository, request.old, request.new)
        return f"{said}." + (f" They parted at {base[:12]}: try it as {first}." if base else
                             " They have no commit in common.")

    def _suspect(self, repository: Repository, journal: Journal, left: Collection[str]) -> suspects.Guess:
        """Who is suspected among those that are left, by what the end with the bug showed; nobody where that cannot be
        told, for the answer needs none of it."""
        symptom = journal.symptom
        assert symptom is not None
        runs = [self.directory / run.directory for run in journal.runs
                if run.commit == self.request.bad and run.seen is Seen.BUG and run.directory]
        try:
            speaks_of = suspects.clues_of(runs, symptom, reached.load())
            return suspects.guess(repository, self.request.new, left, speaks_of)
        except (InfrastructureError, UserError) as error:
            self._say(f"no commit is suspected: {visible(str(error))}")
            return suspects.Guess()

    def _prove(self, repository: Repository, culprits: Sequence[str], evidence: Evidence, driver: Driver) -> Proof:
        if len(culprits) != 1:
            return Proof(None, "There is more than one commit to revert, so none was.")
        patch = revert_patch(repository, culprits[0], self.request.new, self.directory)
        compare = Comparer(lambda: driver.evidence, driver.again, self.request.settings)
        if patch is None:
            return compare.prove(culprits[0], f"It cannot be reverted on top of {self.request.new[:12]}.")
        subject = self.request.subject
        judge = FarmJudge(
            replace(subject, build_options=(*subject.build_options, f"--patch={patch}")), self.directory)
        try:
            proof = Prover(driver.journal, evidence, self.request.settings, self._say).prove(judge, culprits[0])
        finally:
            judge.close()
        return proof if proof.confirmed is not None else compare.prove(culprits[0], proof.text)

    def _report(self, repository: Repository, verdict: Verdict, evidence: Evidence, journal: Journal) -> report.Report:
        commits = tuple(report.Commit(**gitbisect.describe(repository, one)) for one in verdict.culprits)
        made = report.make(self.request, self.directory, commits, verdict, evidence=evidence, journal=journal)
        for name, text in report.render(made).items():
            write_atomically(self.directory / name, text)
        return made
