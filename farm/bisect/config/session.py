"""One search among configurations is one directory, as a bisection is: what was asked, every step, every run, and the
report; `configs/` has each configuration as `farm build --config-dir` takes it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from farm.bisect.config.candidates import Candidate, Candidates
from farm.bisect.config.driver import ConfigDriver, Result
from farm.bisect.config.report import ConfigReport, make, render
from farm.bisect.config.request import FILES, ConfigRequest, load
from farm.bisect.judge import FarmJudge
from farm.bisect.request import claim
from farm.bisect.state import Journal
from farm.host.workdir import Workdir
from farm.kernel.solve import Solver
from farm.kernel.values import BuildRequest
from farm.results.alone import alone_in
from farm.results.directory import write_atomically


@dataclass(frozen=True)
class _Subject:
    """The testcases on the kernels of configurations."""

    request: ConfigRequest
    candidates: Candidates

    @property
    def testcases(self) -> tuple[str, ...]:
        return self.request.testcases

    @property
    def run_options(self) -> tuple[str, ...]:
        return self.request.run_options

    def kernel(self, name: str) -> list[str]:
        return [*self.request.build_options, *self.candidates.kernel(name)]


class ConfigSession:
    """A search and its directory; one process at a time."""

    def __init__(self, request: ConfigRequest, directory: Path, workdir: Workdir, say: Callable[[str], None]) -> None:
        self.request, self.directory = request, directory.absolute()
        self._workdir, self._say = workdir, say

    def run(self) -> ConfigReport:
        """Search, or go on where it was interrupted; the report is written too. Raises FarmError."""
        with alone_in(self.directory, "bisects"):
            return self._run()

    def _run(self) -> ConfigReport:
        request = self.request
        # First: what was solved for another request would be taken for an answer to this one.
        claim(self.directory, request, load)
        files = {side: self.directory / name for side, name in FILES.items()}
        for side, path in files.items():
            write_atomically(path, getattr(request, side))
        solver = Solver(BuildRequest(source=request.source, rev=request.rev, patches=request.patches), self._workdir)
        candidates = Candidates(self.directory, solver, files["good"], files["bad"])
        self._say(f"{len(candidates.options)} options differ; everything is kept in {self.directory}")
        self._tell(candidates)
        journal = Journal(self.directory)
        subject = _Subject(request, candidates)
        driver = ConfigDriver(FarmJudge(subject, self.directory), candidates, journal,
                              settings=request.settings, say=self._say)
        return self._report(driver.run(), driver, candidates, journal)

    def _tell(self, candidates: Candidates) -> None:
        """What the tree made of the two files."""
        for side, refused in candidates.refused.items():
            if refused:
                names = ", ".join(f"{one.option}={one.good}" for one in refused[:8])
                self._say(f"  of the {side} configuration this tree does not take {names}"
                          + (f" and {len(refused) - 8} more" if refused[8:] else ""))

    def _report(self, result: Result, driver: ConfigDriver, candidates: Candidates, journal: Journal) -> ConfigReport:
        subject = _Subject(self.request, candidates)
        without: Candidate = candidates.get(frozenset(candidates.options) - set(result.options))
        commands = [["farm", "run", *subject.testcases, *subject.kernel(name), *subject.run_options]
                    for name in (result.candidate.name, without.name)]
        made = make(result, candidates, journal, rate=driver.rate, commands=commands, directory=self.directory)
        for name, text in render(made).items():
            write_atomically(self.directory / name, text)
        return made
