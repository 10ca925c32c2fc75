"""A run of a plan from its file to its report."""

import json
import platform
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from farm import __version__, trial
from farm.bisect.session import resolve
from farm.errors import FarmError, UserError
from farm.host.lease import scratch_directory
from farm.host.workdir import Workdir
from farm.kernel import BuildRequest, git, sources
from farm.model import Outcome
from farm.nightly.judgement import Past
from farm.nightly.known import Known, excuse, read_known, remarks
from farm.nightly.matrix import Listed, Matrix, PlannedCell, Schedule, expand, schedule
from farm.nightly.night import CUT, Night
from farm.nightly.past import build_seconds, expect, read_pasts
from farm.nightly.plan import Plan, read_plan
from farm.nightly.progress import Progress
from farm.nightly.recorder import Recorder
from farm.nightly.unfinished import choose, unfinished
from farm.report.load import ABOUT, FORMATS, write
from farm.report.site import Site
from farm.report.values import NightReport
from farm.results.alone import alone_in
from farm.results.database import Database, shown
from farm.results.directory import new_run_directory, write_json
from farm.results.values import BUILD, MOST_INDEXED, RunRow, Series, State

Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """A plan with all that is known before anything runs."""

    plan: Plan
    matrix: Matrix
    # Builds as series of their own.
    builds: tuple[Series, ...]
    pasts: Mapping[str, Past]

    def schedule(self, spent: float = 0.0, done: Collection[tuple[str, int]] = ()) -> Schedule:
        """What runs in the time that is left, in order; `done` are keys and repetitions of what has run already."""
        expected = {cell.series.key: expect(cell.series, self.pasts[cell.series.key]) for cell in self.matrix.cells}
        budget = self.plan.hours * 3600 - spent if self.plan.hours else None
        return schedule(self.matrix.cells, expected, build_seconds(self.pasts, self.builds),
                        parallel=self.plan.parallel, budget=budget, done=done)


def open_plan(path: Path) -> tuple[Plan, tuple[Known, ...]]:
    """A plan and its known failures, before hours of running. Raises UserError for a mistake in either.

    Known failures that are not known would tell everybody of old ones; a kernel that is not there costs all its cells.
    """
    plan = read_plan(path)
    for number, kernel in enumerate(plan.kernels):
        source = str(kernel.tree) if kernel.tree else kernel.source
        try:
            sources.resolve(BuildRequest(source=source, rev=(kernel.rev or "HEAD") if kernel.tree else None),
                            Workdir.default())
        except UserError as error:
            raise UserError(f"the plan {path}: kernels.{number}: {error}") from error
    return plan, read_known(plan.known_failures) if plan.known_failures else ()


def matrix_of(plan: Plan, base: Path) -> Matrix:
    """Find the plan's testcases, and expand it. Raises UserError for a choice that chooses nothing."""
    matrix = expand(plan, [list_testcases(plan, number, base) for number in range(len(plan.testcases))])
    if not matrix.cells:
        reasons = "; ".join(dict.fromkeys(f"{series}: {reason}" for series, reason in matrix.left_out))
        raise UserError(f"the plan {plan.name} has no cell that makes sense. {reasons}")
    return matrix


def prepare(plan: Plan, matrix: Matrix, database: Database, before: int = 1 << 30) -> Prepared:
    """Find out what is known of the cells from the runs before that number. Raises InfrastructureError."""
    builds = tuple(dict.fromkeys(Series(cell.series.kernel, cell.series.flavor, BUILD) for cell in matrix.cells))
    series = dict.fromkeys([*builds, *(cell.series for cell in matrix.cells)])
    return Prepared(plan, matrix, builds, read_pasts(database, series, before))


def list_testcases(plan: Plan, number: int, base: Path) -> tuple[Listed, ...]:
    """The testcases that an entry of the plan chooses; paths are relative to the plan's directory. Raises UserError."""
    entry = plan.testcases[number]
    places = []
    for name in entry.select:
        path, mark, function = name.partition("::")
        places.append(f"{base / path}{mark}{function}" if (base / path).exists() else name)
    marks = ["-m", entry.marks] if entry.marks or not places else []
    ended = trial.Command(["run", *places, "--list", "--json", *marks], scratch_directory("list") / "log").wait()
    if ended.status != 0 or ended.answer is None:
        raise UserError(f"the plan {plan.name}: testcases.{number}: {ended.said}")
    listed = tuple(Listed(one["testcase"], one["place"], tuple(one["flavors"])) for one in ended.answer)
    if not listed:
        raise UserError(f"the plan {plan.name}: testcases.{number}: no testcase has the marks {entry.marks!r}.")
    names = [one.testcase for one in listed]
    for name in names:
        if len(name) > MOST_INDEXED or not name.isprintable():
            raise UserError(f"the plan {plan.name}: testcases.{number}: results cannot be kept under {name[:80]!r}, a "
                            f"name of {len(name)} characters. It takes printable ones, {MOST_INDEXED} at most.")
        if names.count(name) > 1:
            raise UserError(f"the plan {plan.name}: testcases.{number}: two files have a testcase {name}; rename one.")
    return listed


class Session:
    """One run: its directory, and the right to it."""

    def __init__(self, path: Path, database_url: str, say: Say, *, resume: bool, name: str = "") -> None:
        """`name` says which unfinished run is resumed.

        Raises UserError for a plan that is not right, or without anything to resume.
        """
        self.path, self._say = path, say
        self.plan, self._known = open_plan(path)
        self._url = database_url or self.plan.database
        self._workdir = Workdir.default()
        self.directory = self._unfinished(name) if resume else new_run_directory(self.plan.runs_dir)

    def _unfinished(self, name: str) -> Path:
        chosen, others = choose(unfinished(self.plan), self.plan, name)
        for one in others:
            self._say(f"unfinished too, for --run {one}")
        return chosen.directory

    def run(self) -> NightReport:
        """Run what is missing. Raises FarmError; what was recorded until then stays."""
        with Database(self._url) as database:
            # Before the directory: a mistake in the plan leaves no run behind.
            matrix = matrix_of(self.plan, self.path.absolute().parent)
            with alone_in(self.directory, "runs"):
                report = self._run(database, matrix)
            self._report(report, database)
            return report

    def _report(self, report: NightReport, database: Database) -> None:
        """Write the reports that the plan asks for; one that cannot be written costs no other, nor the status."""
        wanted = self.plan.reports
        for name, make in FORMATS.items():
            path = getattr(wanted, name)
            if path is not None:
                self._try(name, partial(_write, path, make, report))
        if wanted.site is not None:
            site, nights = wanted.site, wanted.nights
            self._try("site", lambda: Site(site, database, self.plan.name, nights).write({
                report.run.number: report.remarks}))

    def _try(self, name: str, make: Callable[[], object]) -> None:
        try:
            make()
        except FarmError as error:
            self._say(f"the report {name} could not be written: {error}")

    def _run(self, database: Database, matrix: Matrix) -> NightReport:
        about = self._about()
        run = RunRow(self.directory.name, self.plan.name, self.plan.digest, str(self.directory), platform.node(),
                     __version__, about["started"])
        run = replace(run, number=database.begin(run))
        prepared = prepare(self.plan, matrix, database, run.number)
        recorder = Recorder(self.directory, database, run.number, self._say)
        done = {(cell.series.key, cell.repetition) for cell in recorder.rows.values() if not cell.series.is_build}
        made = prepared.schedule(recorder.elapsed, done)
        self._tell(prepared, made, len(done))
        progress = Progress(made.seconds)
        night = Night(self.plan, self.directory, recorder, prepared.pasts, revisions=about["revisions"],
                      seed=about["seed"], progress=progress)
        night.absent.update((cell.series.key, CUT) for cell in made.cut)
        try:
            night.carry_out(made.cells)
            return self._conclude(night, run, prepared)
        except FarmError:
            with suppress(FarmError):
                database.end(run.number, State.BROKEN, time.time())
            raise
        finally:
            progress.close()

    def _about(self) -> dict[str, Any]:
        """What was decided when the run began; decided now for a new one."""
        path = self.directory / ABOUT
        if path.exists():
            known: dict[str, Any] = json.loads(path.read_bytes())
            return known
        revisions = {kernel.name: resolve(kernel.tree, kernel.rev or "HEAD", self._workdir)
                     for kernel in self.plan.kernels if kernel.tree}
        # Run directories travel: the password of a database stays at home.
        plan = {**self.plan.model_dump(mode="json"), "database": shown(self.plan.database)}
        about = {"plan": plan, "digest": self.plan.digest, "revisions": revisions,
                 "seed": secrets.randbelow(1 << 30), "started": time.time()}
        write_json(path, about)
        return about

    def _tell(self, prepared: Prepared, made: Schedule, done: int) -> None:
        self._say(f"run directory: {self.directory}")
        behind = f", {done} of them done" if done else ""
        self._say(f"{len(made.cells)} cells{behind}, {len(prepared.builds)} builds, about {made.seconds / 60:.0f} min")
        for cell in made.cut:
            self._say(f"cut, the time does not suffice: {cell.series}")

    def _conclude(self, night: Night, run: RunRow, prepared: Prepared) -> NightReport:
        contains = self._contains
        asked = dict.fromkeys([*prepared.builds, *(cell.series for cell in prepared.matrix.cells)])
        verdicts = excuse(night.verdicts(asked), self._known, date.today(), contains)
        cut = [one for one in asked if night.absent.get(one.key) == CUT]
        told = [*remarks(verdicts, self._known, date.today(), contains),
                *(f"cut by the time budget: {one}" for one in cut)]
        good = {key: cell for key, past in prepared.pasts.items()
                if (cell := next((one for _, one in past.cells if one.outcome is Outcome.PASS), None))}
        bisected = night.bisect(prepared.matrix.cells, verdicts, good) if self.plan.bisect == "auto" else {}
        told += [one.sentence for one in bisected.values()]
        culprits = {signature: one.culprit for signature, one in bisected.items() if one.culprit}
        state, ended = (State.CUT if cut else State.COMPLETE), time.time()
        saved = night.recorder.finish(verdicts, state, ended)
        if not saved:
            told.append(f"the results database lacks this run: `farm nightly {self.path} --resume` records it")
        about = {**self._about(), "remarks": told, "culprits": culprits, **({"ended": ended} if saved else {})}
        write_json(self.directory / ABOUT, about)
        return NightReport(replace(run, state=state, ended=ended), tuple(night.recorder.rows.values()), verdicts,
                           tuple(told), good, culprits)

    def _contains(self, commit: str) -> bool | None:
        """Whether all kernels of the plan have a commit; None when some come from packages."""
        found = []
        for kernel in self.plan.kernels:
            if kernel.tree is None:
                return None
            rev = self._about()["revisions"][kernel.name]
            found.append(git.user_query(kernel.tree, ["merge-base", "--is-ancestor", commit, rev]).returncode == 0)
        return all(found)


def _write(path: Path, make: Callable[[NightReport], str], report: NightReport) -> None:
    write(path, make(report))


def cells_by_kernel(cells: tuple[PlannedCell, ...]) -> dict[tuple[str, str], list[PlannedCell]]:
    """Cells by kernel and flavor, for people."""
    found: dict[tuple[str, str], list[PlannedCell]] = {}
    for cell in cells:
        found.setdefault((cell.series.kernel, cell.series.flavor), []).append(cell)
    return found
