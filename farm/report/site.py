"""The static site: pages that need no server and no network, for a browser or a phone."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from farm.errors import FarmError, InfrastructureError
from farm.host.cache import Store
from farm.host.workdir import Workdir
from farm.model import Outcome
from farm.report import pages
from farm.report.evidence import cell_directory, crash, pack
from farm.report.pages import heat_map, run_page, signature_page, slug, testcase_page
from farm.report.plot import plot
from farm.report.values import NightReport
from farm.repro.archive import SUFFIX
from farm.repro.bundle import write_bundle
from farm.repro.recorded import load
from farm.results import queries
from farm.results.database import Database
from farm.results.directory import write_atomically
from farm.results.values import CellRow, RunRow, Series, VerdictRow

TEMPLATES = Path(__file__).parent / "templates"
INDEX = "index.html"
# Cells of a series, and of a signature, that their pages list.
MOST_LISTED = 200


class Site:
    """Writes the pages of a plan's latest runs into a directory; pages of older runs stay."""

    def __init__(self, directory: Path, database: Database, plan: str, nights: int) -> None:
        self._directory, self._database = directory, database
        # Oldest first.
        self._runs = tuple(reversed(queries.runs(database, plan=plan, most=nights)))
        self._plan = plan
        self._verdicts = queries.verdicts_of(database, [run.number for run in self._runs])
        self._by_series: dict[Series, list[tuple[RunRow, VerdictRow]]] = defaultdict(list)
        for run in reversed(self._runs):
            for verdict in self._verdicts[run.number]:
                self._by_series[verdict.series].append((run, verdict))
        self._environment = _environment()
        self._store = Store(Workdir.default().root / "store")

    def write(self, remarks: Mapping[int, Sequence[str]] | None = None) -> Path:
        """Write all pages; `remarks` are those of runs by their number. Returns the first page.

        Raises InfrastructureError.
        """
        try:
            (self._directory / "bundles").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InfrastructureError(f"cannot make the directory {self._directory} ({error.strerror})") from error
        signatures: dict[str, None] = {}
        for run in self._runs:
            cells = queries.cells_of_run(self._database, run.number)
            signatures |= dict.fromkeys(cell.signature for cell in cells if cell.signature)
            self._run(run, cells, tuple((remarks or {}).get(run.number, ())))
        for signature in signatures:
            self._signature(signature)
        by_testcase: dict[str, list[Series]] = defaultdict(list)
        for series in self._by_series:
            by_testcase[series.testcase].append(series)
        for testcase, listed in by_testcase.items():
            self._testcase(testcase, listed)
        # Last: what it leads to is there.
        return self.overview(tuple((remarks or {}).get(self._runs[-1].number, ())) if self._runs else ())

    def overview(self, remarks: Sequence[str] = ()) -> Path:
        """Write the first page: the heat map, and what is new in the latest run."""
        latest = None
        if self._runs:
            run = self._runs[-1]
            latest = NightReport(run, (), self._verdicts[run.number], tuple(remarks))
        return self._page(INDEX, "overview", plan=self._plan, runs=self._runs, latest=latest,
                          groups=heat_map(self._runs, self._verdicts) if self._runs else ())

    def _run(self, run: RunRow, cells: Sequence[CellRow], remarks: tuple[str, ...]) -> None:
        report = NightReport(run, tuple(cells), self._verdicts[run.number], remarks)
        crashes = {cell.place: page for cell in cells if (page := self._crash(run, cell))}
        self._page(run_page(run), "run", report=report, run=run, crashes=crashes)

    def _crash(self, run: RunRow, cell: CellRow) -> str:
        """Write the page of a cell that failed, and its download. Returns the page's name, "" for none."""
        directory = cell_directory(run.directory, cell)
        if directory is None or cell.outcome not in (Outcome.FAIL, Outcome.ERROR):
            return ""
        name = f"crash-{run.number}-{slug(repr(cell.place))}"
        if not (self._directory / f"{name}.html").exists():
            evidence, bundle = f"bundles/{name}-evidence.tar.gz", f"bundles/{name}{SUFFIX}"
            # Without one of them there is a download less: a cell that never booted cannot be bundled, say.
            with suppress(OSError):
                pack(directory, self._directory / evidence)
            with suppress(FarmError, OSError):
                write_bundle(load(directory), self._directory / bundle, self._store, with_kernel=False,
                             with_image=False)
            there = {which: path if (self._directory / path).exists() else ""
                     for which, path in (("evidence", evidence), ("bundle", bundle))}
            self._page(f"{name}.html", "crash", run=run, cell=cell, crash=crash(directory), directory=str(directory),
                       **there)
        return f"{name}.html"

    def _signature(self, signature: str) -> None:
        found = queries.cells_of_signature(self._database, signature, most=MOST_LISTED)
        numbers = {run.number: run for run in self._runs}
        cells = [(numbers.get(number), number, cell) for number, cell in found]
        self._page(signature_page(signature), "signature", signature=signature, cells=cells,
                   first=cells[-1], last=cells[0], more=len(cells) == MOST_LISTED)

    def _testcase(self, testcase: str, series: Sequence[Series]) -> None:
        shown = list(self._histories(series))
        self._page(testcase_page(series[0]), "testcase", testcase=testcase, shown=shown)

    def _histories(self, series: Sequence[Series]) -> Iterator[dict[str, Any]]:
        runs = {run.number: run for run in self._runs}
        for one in series:
            cells = queries.history(self._database, one.key, most=MOST_LISTED)
            named = [(runs[number].name if number in runs else f"run {number}", cell) for number, cell in cells]
            yield {"series": one, "cells": named, "plot": plot(named[::-1]), "verdicts": self._by_series[one]}

    def _page(self, name: str, template: str, **values: Any) -> Path:
        text = self._environment.get_template(f"{template}.html.j2").render(**values)
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
        return path


def _environment() -> Environment:
    # Consoles are hostile input: everything is escaped, and an unknown name is an error.
    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True)
    made.filters["when"] = lambda seconds: time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""
    made.filters["percent"] = lambda share: f"{share:.0%}"
    made.globals.update(
        signs=pages.SIGNS, run_page=run_page, signature_page=signature_page, testcase_page=testcase_page, slug=slug)
    return made
