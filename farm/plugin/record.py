"""What is written down of a cell: how it went, how long each part of it took, and how to repeat it."""

import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from farm import __version__
from farm.host.process import as_typed
from farm.model import Cell, Finding, Machine, Outcome, Suspicion
from farm.options import as_arguments
from farm.plugin.markers import duration_of, machine_of, stacks_of
from farm.plugin.session import FarmSession
from farm.results.directory import PATCHES, TESTCASE, CellDirectory
from farm.stack import Stack
from farm.verdict import Cause, cause_of, outcome_of


class CellRecord:
    """The record of one cell; `write` may be called at any time, and the last one counts."""

    def __init__(self, session: FarmSession, item: pytest.Item) -> None:
        """Makes the cell's directory. Raises what goes wrong when kernel or image have to be built now."""
        self._session = session
        self._item = item
        self._began = time.monotonic()
        # Classes and parameters included.
        self._name = item.nodeid.partition("::")[2]
        self.stacks: tuple[Stack, ...] = stacks_of(item)
        self.machine: Machine = machine_of(item, self.stacks)
        self.workload_seconds = duration_of(item)
        # Before the directory: kernel and image are built here when they are not yet, and that may fail.
        self.pace = session.acceleration.pace
        self.directory = CellDirectory(session.run_directory, item.nodeid)
        self.seed = session.seed
        self.workloads: list[str] = []
        self.pressures: list[str] = []
        # What is odd but does not fail the testcase.
        self.suspicions: list[Suspicion] = []
        # Wall seconds of the parts; `verdict`: from the deciding signal; `detection`: from the start of the load.
        self.durations: dict[str, float] = {}
        # When the first load was started, on the monotonic clock; 0 while there is none.
        self._loaded = 0.0
        # When the testcase was over, in seconds since the epoch; 0 while it runs.
        self.over = 0.0
        # Version of QEMU; "" until it ran.
        self.qemu = ""
        # The guest reached its ready line.
        self.ready = False
        # The testcase repeats something for --rounds.
        self.repeats = False
        # How often the machine lost its power.
        self.power_cuts = 0
        self.outcome, self.title = Outcome.ERROR, "did not finish"
        self._cause: Cause | None = None
        self._keep()
        self.write()
        self.directory.write_text("command", as_typed(self.command()) + "\n")

    def _keep(self) -> None:
        """Copy what the cell is made of and may be another tomorrow: the testcase, and the patches of its kernel."""
        self.directory.keep(self._item.path, TESTCASE)
        for number, patch in enumerate(self._item.config.option.patch, 1):
            self.directory.keep(Path(patch), f"{PATCHES}/{number:02d}.patch")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the length of a block to the duration of a phase (`boot`, `setup`, `workload`, `teardown`)."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.durations[name] = self.durations.get(name, 0.0) + time.monotonic() - began

    def load(self, workload: str) -> None:
        """A workload begins."""
        self.workloads.append(workload)
        self._loaded = self._loaded or time.monotonic()

    def conclude(self, cause: BaseException | None, signalled: float) -> None:
        """Why the cell is over, None for a testcase that passed, and when that was first to be seen (monotonic)."""
        now = time.monotonic()
        # What the guest is asked from here on is no part of the testcase.
        self.over = self.over or round(time.time(), 3)
        skipped = isinstance(cause, pytest.skip.Exception)
        self.outcome = Outcome.SKIP if skipped else outcome_of(cause)
        self.title = str(cause).splitlines()[0] if cause is not None and str(cause) else ""
        self._cause = cause_of(cause) if cause is not None else None
        if cause is not None and not skipped:
            self.durations["verdict"] = now - signalled
        if self.outcome is Outcome.FAIL and self._loaded:
            self.durations["detection"] = now - self._loaded

    def properties(self) -> Mapping[str, str]:
        """What JUnit and the table of outcomes show of the cell."""
        cell = self.cell()
        return {
            "kernel": f"{cell.kernel.source} {cell.kernel.release}".strip(),
            "flavor": cell.kernel.flavor,
            "machine": f"{self.machine.cpus} CPUs, {self.machine.memory_mib} MiB, "
                       f"{len(self.machine.namespaces)} namespaces",
            "stack": "; ".join(cell.stacks),
            "accelerator": self._session.acceleration.name,
            "seed": str(cell.seed),
            "cell": str(self.directory.path),
            **({"suspicions": "; ".join(one.title for one in self.suspicions)} if self.suspicions else {}),
        }

    def cell(self) -> Cell:
        return Cell(
            kernel=self._session.kernel.id, machine=self.machine, testcase=f"{self._item.path.name}::{self._name}",
            stacks=tuple(str(stack) for stack in self.stacks), pressure=tuple(self.pressures),
            workloads=tuple(self.workloads), seed=self.seed, duration=self.workload_seconds,
            image=self._session.image.digest)

    def command(self) -> list[str]:
        """The command that repeats this cell on this host."""
        given = {**vars(self._item.config.option), "seed": self.seed, "duration": self.workload_seconds,
                 "accel": self._session.acceleration.name}
        return ["farm", "run", f"{self._item.path}::{self._name}", *as_arguments(given)]

    def write(self, findings: tuple[Finding, ...] = (), expected: Sequence[Mapping[str, str]] = ()) -> None:
        """Write result.json, with the crash reports so far and what was announced and reported."""
        self.directory.write_result(
            self.cell(), self.outcome, title=self.title, findings=findings,
            durations={**self.durations, "total": time.monotonic() - self._began},
            facts={"suspicions": [asdict(one) for one in self.suspicions],
                   "accelerator": self._session.acceleration.name, "pace": self.pace.factor,
                   "host": platform.node(), "farm": __version__, "python": sys.version.split()[0],
                   "expected": list(expected), "command": self.command(), "ready": self.ready,
                   "qemu": self.qemu, "over": self.over, "rounds": self._item.config.option.rounds,
                   "repeats": self.repeats, "power_cuts": self.power_cuts,
                   "image_recipe": self._item.config.option.image_recipe,
                   "cause": asdict(self._cause) if self._cause else None})
