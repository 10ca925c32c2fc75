"""Carrying a plan out: batch after batch, then again what is not decided, until all is said or the time is up."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from farm import trial
from farm.deadline import Deadline
from farm.model import Outcome
from farm.nightly.batch import BatchRun, Stop
from farm.nightly.bisection import Bisected, bisect, suspects
from farm.nightly.cells import Built, build_row, built, event_testcase, row_of
from farm.nightly.judgement import Judgement, Past, judge, judge_build
from farm.nightly.matrix import PlannedCell, batches
from farm.nightly.plan import Kernel, Plan
from farm.nightly.progress import Progress
from farm.nightly.recorder import Recorder
from farm.results import records
from farm.results.values import BUILD, CellRow, Series, VerdictRow

# An error of the host is tried again so often.
RETRIES = 1
# Kind of an error that the request itself is to blame for: trying again does not help.
_REQUEST_KIND = "user"

CUT = "cut by the time budget"


class Night:
    """One run of a plan, as far as it concerns kernels and cells; reports and verdicts' fate are its caller's."""

    def __init__(
        self, plan: Plan, directory: Path, recorder: Recorder, pasts: Mapping[str, Past], *,
        revisions: Mapping[str, str], seed: int, progress: Progress,
    ) -> None:
        """`revisions` are the commits of the plan's trees by the kernels' names: branches move on."""
        self.plan, self.directory, self.recorder, self.pasts = plan, directory, recorder, pasts
        self._revisions, self._seed, self._progress = revisions, seed, progress
        self._began = time.monotonic() - recorder.elapsed
        budget = plan.hours * 3600 - recorder.elapsed if plan.hours else None
        self._budget = Deadline(budget) if budget is not None else None
        # By kernel and flavor; None for one that could not be built.
        self._built: dict[tuple[str, str], Built | None] = {}
        # Why a series did not run, by its key.
        self.absent: dict[str, str] = {}
        for name in ("events", "logs", "cells"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    @property
    def over(self) -> bool:
        """The time budget is spent."""
        return self._budget is not None and self._budget.expired

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    # -- the cells

    def carry_out(self, cells: Sequence[PlannedCell]) -> None:
        """Run the cells that are not recorded yet, and again those that are not decided.

        Raises InfrastructureError when results cannot be written any more.
        """
        by_key = {cell.series.key: cell for cell in reversed(cells)}
        self._recover(cells)
        self._progress.planned(len([cell for cell in cells if (cell.series.key, cell.repetition) not in self._done()]))
        for batch in batches(cells):
            done = self._done()
            left = [cell for cell in batch.cells if (cell.series.key, cell.repetition) not in done]
            self._run(left, dict.fromkeys((cell.series.key for cell in left), 1))
        while wanted := {key: attempt for key, attempt in self._wanted(by_key).items() if not self.over}:
            again = [replace(by_key[key], repetition=1, priority=0) for key in wanted]
            self._progress.planned(len(again))
            for batch in batches(again):
                self._run(list(batch.cells), wanted)
                # What could not even be attempted would be wanted for ever.
                for cell in batch.cells:
                    if (cell.series.key, 1, wanted[cell.series.key]) not in self.recorder.rows:
                        self.absent.setdefault(cell.series.key, CUT)
                        by_key.pop(cell.series.key, None)

    def _done(self) -> set[tuple[str, int]]:
        return {(key, repetition) for key, repetition, _ in self.recorder.rows}

    def _wanted(self, keys: Iterable[str]) -> dict[str, int]:
        """Series that another run would tell more of, with the number of that attempt."""
        wanted = {}
        for key in keys:
            rows = self.rows(key)
            attempt = 1 + max((row.attempt for row in rows if row.repetition == 1), default=0)
            failed_hosts = [row for row in rows if row.outcome is Outcome.ERROR and row.kind != _REQUEST_KIND]
            only_errors = rows and len(failed_hosts) == len(rows)
            if (only_errors and len(rows) <= RETRIES) or (rows and self.judgement(rows[0].series).undecided):
                wanted[key] = attempt
        return wanted

    def rows(self, key: str) -> list[CellRow]:
        """The cells of a series so far, in the order in which they ended."""
        return [row for row in self.recorder.rows.values() if row.series.key == key]

    def judgement(self, series: Series) -> Judgement:
        """What tonight says of a series so far."""
        decide = judge_build if series.is_build else judge
        return decide(series, self.rows(series.key), self.pasts[series.key], most=self.plan.reruns,
                      absent=self.absent.get(series.key, ""))

    def verdicts(self, series: Iterable[Series]) -> tuple[VerdictRow, ...]:
        return tuple(self.judgement(one).verdict for one in series)

    # -- kernels

    def _kernel(self, series: Series) -> Built | None:
        """The kernel of a series, built now unless it is; None when it cannot be."""
        place = (series.kernel, series.flavor)
        if place not in self._built:
            self._progress.building(f"{series.kernel} {series.flavor}")
            log = self.directory / "logs" / f"build-{series.kernel}-{series.flavor}.log"
            ended = trial.Command(["build", "--json", *self._build_options(series)], log).wait()
            about = built(ended.answer) if ended.status == 0 and ended.answer else None
            row = build_row(Series(*place, BUILD), ended, about)
            self._built[place] = about
            self.recorder.record(row, self.elapsed)
            self._progress.ended(row)
        return self._built[place]

    def _build_options(self, series: Series) -> list[str]:
        kernel: Kernel = self.plan.kernel(series.kernel)
        where = [f"--tree={kernel.tree}", f"--rev={self._revisions[kernel.name]}"] if kernel.tree else [
            f"--source={kernel.source}"]
        return [*where, *self._flavor_options(kernel, series.flavor)]

    def _flavor_options(self, kernel: Kernel, flavor: str) -> list[str]:
        return [f"--flavor={flavor}", *(f"--patch={path}" for path in kernel.patches),
                *(f"--config={one}" for one in kernel.config),
                *(f"--config-dir={path}" for path in self.plan.config_dirs)]

    # -- one batch

    def _run(self, cells: list[PlannedCell], attempts: Mapping[str, int]) -> None:
        """Run cells of one batch until each has an end, or the time is up."""
        left = cells
        while left:
            if self.over:
                self.absent.update((cell.series.key, CUT) for cell in left)
                return
            about = self._kernel(left[0].series)
            if about is None:
                self.absent.update((cell.series.key, "its kernel was not built") for cell in left)
                return
            ended, stop = self._farm_run(left, attempts, about)
            before, left = left, [cell for cell in left if self._place(cell, attempts) not in self.recorder.rows]
            if stop is Stop.ITSELF and len(left) == len(before):
                # Nothing came of it, and the same again would not do better.
                title = (ended.said.splitlines() or [f"farm run ended with status {ended.status}"])[0]
                for cell in left:
                    self._record(CellRow(cell.series, Outcome.ERROR, cell.repetition, attempts[cell.series.key],
                                         title=title, at=time.time()))
                return

    def _farm_run(
        self, cells: Sequence[PlannedCell], attempts: Mapping[str, int], about: Built
    ) -> tuple[trial.Ended, Stop]:
        number = self.recorder.begin_batch([self._place(cell, attempts) for cell in cells], self.elapsed)
        series, cell_seconds = cells[0].series, self.plan.cell_minutes * 60
        seed = self._seed + 1000 * max(attempts[cell.series.key] for cell in cells) + cells[0].repetition
        events = self.directory / "events" / f"{number:04}.jsonl"
        by_testcase = {cell.series.testcase: cell for cell in cells}
        run = BatchRun(
            ["run", *(cell.place for cell in cells), "--json", f"--events={events}", f"--seed={seed}",
             f"--runs-dir={self.directory / 'cells'}", *self._build_options(series), *self._cell_options(cells[0]),
             *self._side_by_side(len(cells))],
            events, self.directory / "logs" / f"run-{number:04}.log",
            lambda event: self._event(event, by_testcase, attempts, about, seed), self._progress.tick)
        self._progress.running = run.running
        ended, stop = run.carry_out(self._budget, cell_seconds)
        if stop is Stop.OVERDUE:
            for testcase in map(event_testcase, run.overdue(cell_seconds)):
                cell = by_testcase[testcase]
                self._record(CellRow(
                    cell.series, Outcome.ERROR, cell.repetition, attempts[cell.series.key], at=time.time(),
                    seconds=cell_seconds, title=f"did not end within {self.plan.cell_minutes:g} min, and was ended"))
        return ended, stop

    def _cell_options(self, cell: PlannedCell) -> list[str]:
        series, plan = cell.series, self.plan
        machine = next((one.text for one in plan.machines if one.name == series.machine), "")
        stack = next((one for one in plan.stacks if one.name == series.stack), None)
        options = [f"--machine={machine}"] if machine else []
        if stack:
            options += [f"--stack={stack.text}", *(f"--namespace={text}" for text in stack.namespaces)]
        return [*options, *([f"--duration={cell.duration:g}"] if cell.duration is not None else [])]

    def _side_by_side(self, cells: int) -> list[str]:
        count = min(self.plan.parallel, cells)
        return ["-n", str(count)] if count > 1 else []

    # -- bisections

    def bisect(
        self, cells: Iterable[PlannedCell], verdicts: Iterable[VerdictRow], good: Mapping[str, CellRow]
    ) -> dict[str, Bisected]:
        """Look for the commits that brought new failures; what came of each, by its signature."""
        by_series = {cell.series: cell for cell in cells}
        found = {}
        for suspect in suspects(self.plan, verdicts, good, self.recorder.rows.values()):
            cell, kernel = by_series[suspect.series], self.plan.kernel(suspect.series.kernel)
            if self.over:
                found[suspect.signature] = Bisected(f"no time was left to bisect {suspect.title}")
                continue
            self._progress.say(f"bisecting {suspect.title}: {suspect.good[:12]}..{suspect.bad[:12]}")
            options = [*self._flavor_options(kernel, suspect.series.flavor), *self._cell_options(cell)]
            found[suspect.signature] = bisect(suspect, kernel, cell.place, options, self.directory,
                                              deadline=self._budget, tick=self._progress.tick)
        return found

    def _event(
        self, event: Mapping[str, Any], by_testcase: Mapping[str, PlannedCell], attempts: Mapping[str, int],
        about: Built, seed: int,
    ) -> None:
        cell = by_testcase.get(event_testcase(event["testcase"]))
        if cell is not None and event["event"] == "end":
            self._record(row_of(cell, attempts[cell.series.key], event, self.directory, about, seed=seed))

    def _record(self, row: CellRow) -> None:
        new = row.place not in self.recorder.rows
        self.recorder.record(row, self.elapsed)
        if new:
            self._progress.ended(row)

    @staticmethod
    def _place(cell: PlannedCell, attempts: Mapping[str, int]) -> tuple[str, int, int]:
        return cell.series.key, cell.repetition, attempts[cell.series.key]

    def _recover(self, cells: Sequence[PlannedCell]) -> None:
        """Record what ended in a run that was killed before it could."""
        known = {(cell.series.key, cell.repetition): cell for cell in cells}
        for number, places in self.recorder.batches.items():
            planned = {key: (known.get((key, repetition)), attempt) for key, repetition, attempt in places}
            by_testcase = {cell.series.testcase: cell for cell, _ in planned.values() if cell}
            attempts = {key: attempt for key, (_, attempt) in planned.items()}
            for event in records.read(self.directory / "events" / f"{number:04}.jsonl"):
                self._event(event, by_testcase, attempts, self._recorded_build(by_testcase), self._seed)

    def _recorded_build(self, cells: Mapping[str, PlannedCell]) -> Built:
        """What was recorded of the kernel of these cells."""
        for series in (cell.series for cell in cells.values()):
            row = self.recorder.rows.get((Series(series.kernel, series.flavor, BUILD).key, 1, 1))
            if row is not None:
                return Built(row.release, row.config, row.compiler, row.source, row.build)
        return Built()
