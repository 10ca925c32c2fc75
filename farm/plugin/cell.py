"""One cell: a testcase on its machine, from boot to result.json."""

import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict

import pytest

from farm import __version__
from farm.deadline import Deadline
from farm.errors import FarmError
from farm.evidence import TOTAL_SECONDS, Places, blocked_tasks, collect, decode
from farm.expectation import Expectation
from farm.freeze import Symbols
from farm.growth import SlabGrowth
from farm.host.admission import admitted
from farm.host.process import printable
from farm.leaks import KIND as LEAK
from farm.leaks import LeakDetector
from farm.liveness import Liveness
from farm.model import Cell, Extent, Finding, Machine, Outcome, Suspicion
from farm.monitor import Monitor
from farm.options import as_arguments
from farm.plugin.markers import duration_of, machine_of, stacks_of, tolerated_kinds
from farm.plugin.session import FarmSession
from farm.pressure import Pressure
from farm.results.directory import CellDirectory
from farm.stack import Assembly, Base, Stack, StackError
from farm.target import Target
from farm.verdict import Cause, cause_of, outcome_of
from farm.watchdogs import watchdog_parameters

# A cell waits this long for the host to have room for its machine.
ADMISSION_SECONDS = 4 * 3600.0


class CellRun:
    """A cell while it runs. Everything it starts is on its exit stack and ends in reverse order."""

    def __init__(self, session: FarmSession, item: pytest.Item) -> None:
        self._session = session
        self._item = item
        self._exit = ExitStack()
        self._began = time.monotonic()
        # Classes and parameters included.
        self._name = item.nodeid.partition("::")[2]
        self.durations: dict[str, float] = {}
        # When the first load was started, on the monotonic clock; 0 while there is none.
        self._loaded = 0.0
        self.stacks: tuple[Stack, ...] = stacks_of(item)
        self.machine: Machine = machine_of(item, self.stacks)
        self.workload_seconds = duration_of(item)
        # Before the directory: kernel and image are built here when they are not yet, and that may fail.
        self.pace = session.acceleration.pace
        self.directory = CellDirectory(session.run_directory, item.nodeid)
        self.monitor = Monitor(self.pace)
        self.monitor.tolerate(*tolerated_kinds(item))
        self.monitor.block_of = self._block_of
        self._assemblies: dict[str, Assembly] = {}
        self.workloads: list[str] = []
        self.pressures: list[str] = []
        # What is odd but does not fail the testcase.
        self.suspicions: list[Suspicion] = []
        self._leaks: LeakDetector | None = None
        self.seed = session.seed
        self.target: Target | None = None
        # Where the functions of the crash reports are in the sources; None for a kernel without debug information.
        self._places: Places | None = None
        self._outcome, self._title = Outcome.ERROR, "did not finish"
        self._cause: Cause | None = None
        # The guest reached its ready line.
        self._ready = False
        self._write()
        self.directory.write_text("command", printable(self.command()) + "\n")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the length of a block to the duration of a phase (`boot`, `setup`, `workload`, `teardown`)."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.durations[name] = self.durations.get(name, 0.0) + time.monotonic() - began

    def boot(self) -> Target:
        """Boot the machine, once the host has room for it."""
        session = self._session
        if session.kernel.config is not None:
            self.directory.write_text("config", session.kernel.config.read_text(errors="replace"))
        with self.phase("admission"):
            admission = self._exit.enter_context(admitted(
                session.workdir, cpus=self.machine.cpus, memory_mib=self.machine.memory_mib,
                deadline=Deadline(ADMISSION_SECONDS)))
        target = Target(
            kernel=session.kernel.image, image=session.image, machine=self.machine,
            acceleration=session.acceleration, directory=self.directory.path, monitor=self.monitor,
            record=self.directory.record_command, ssh_port=self._item.config.option.ssh_port,
            append=watchdog_parameters(self.pace))
        self.target = self._exit.enter_context(target)
        self.monitor.liveness = Liveness(
            lambda: target.patient, Symbols.of(session.kernel.system_map, session.kernel.config))
        self._exit.enter_context(self.monitor)
        with self.phase("boot"):
            target.start()
        self._ready = True
        admission.covers(target.pid)
        self.pace = self.monitor.pace = target.pace
        self._leaks = LeakDetector.of(target.console_log, target, target.pace)
        return target

    def assemble(self, target: Target) -> dict[str, Assembly]:
        """Build every stack of the testcase, by the serial of its namespace."""
        namespaces = {namespace.serial: namespace for namespace in self.machine.namespaces}
        release = self._session.kernel.id.release
        with self.phase("setup"):
            for stack in self.stacks:
                base = Base(namespaces[stack.serial], target.block_device(stack.serial), release)
                assembly = Assembly(
                    target, stack, base, seed=self._session.seed, pace=target.pace, disk=target.disk)
                self._assemblies[stack.serial] = assembly
                assembly.build()
        return self._assemblies

    def expecting(self, layer: str) -> AbstractContextManager[Expectation]:
        """Announce that `layer` will report what has been changed on the disks by the end of a block."""
        return self.monitor.expecting(layer, self._changed)

    def _changed(self) -> tuple[Extent, ...]:
        """The places of all changes as the devices of the stacks see them."""
        changes = self.target.disk.changes if self.target else ()
        return tuple(extent for assembly in self._assemblies.values() for extent in assembly.extents(changes))

    def _block_of(self, device: str) -> int:
        return next((one.base.namespace.block for one in self._assemblies.values()
                     if one.base.path == f"/dev/{device}"), 0)

    @contextmanager
    def watch(self, workload: str) -> Iterator[Callable[[int], None]]:
        """Record a workload, and let the monitor see its progress for the length of a block."""
        self.workloads.append(workload)
        self._loaded = self._loaded or time.monotonic()
        with self.phase("workload"), self.monitor.workload(workload.partition(":")[0]) as progress:
            yield progress

    def pressure(self, target: Target) -> Pressure:
        """The means to make memory scarce; what is applied is recorded."""
        pressure = Pressure(
            target, lambda command, arguments, end: target.qmp.execute(command, arguments, deadline=end),
            memory_bytes=self.machine.memory_mib << 20, pace=target.pace)
        self.pressures = pressure.applied
        return pressure

    def slab_growth(self, target: Target) -> SlabGrowth:
        """Watches the slab caches; what grows becomes a suspicion."""
        return SlabGrowth(target, rounds=self._item.config.option.rounds, pace=target.pace,
                          suspect=self.suspicions.append)

    def conclude(self, error: BaseException | None) -> BaseException | None:
        """What the testcase really ended with: the kernel's own report outranks what followed from it.

        Collects the evidence of a failure while the guest still runs.
        """
        cause, began = error, time.monotonic()
        if self.target is not None and not isinstance(error, pytest.skip.Exception):
            cause = self.monitor.failure() or error or self._look_for_leaks(self.target)
            # A full disk of this host looks like broken hardware to the guest.
            cause = (self.target.trouble() or cause) if cause is not None else None
            if cause is not None:
                # From the signal, which for an error of the testcase's own is the error.
                self.durations["verdict"] = time.monotonic() - (self.monitor.signalled or began)
        self._outcome = Outcome.SKIP if isinstance(cause, pytest.skip.Exception) else outcome_of(cause)
        self._title = str(cause).splitlines()[0] if cause is not None and str(cause) else ""
        self._cause = cause_of(cause) if cause is not None else None
        if self._outcome is Outcome.FAIL and self._loaded:
            self.durations["detection"] = time.monotonic() - self._loaded
        if self._outcome in (Outcome.FAIL, Outcome.ERROR) and self.target is not None:
            with self.phase("evidence"), suppress(FarmError, OSError):
                self._collect(self.target)
        self._write()
        return cause

    def _look_for_leaks(self, target: Target) -> FarmError | None:
        """Where the kernel can tell: what the testcase leaked, or why nobody knows."""
        if self._leaks is None or not target.alive:
            return None
        try:
            with self.phase("leaks"), self.monitor.hushed(LEAK):
                self._remove_stacks()
                found = self._leaks.search()
        except FarmError as error:
            self.monitor.trip(error)
        else:
            self.suspicions += [Suspicion(LEAK, f"{leak.title}, allocated before the testcase began", leak.text)
                                for leak in found.old]
            self.monitor.report(*found.new)
        return self.monitor.failure()

    def _remove_stacks(self) -> None:
        """Take the stacks down, for what leaks on that way; corrupted ones would only report the corruption again."""
        for assembly in reversed(self._assemblies.values() if not self.monitor.findings else ()):
            try:
                assembly.remove()
            except StackError as error:
                self.suspicions.append(Suspicion("close", str(error).partition("\n")[0], str(error)))

    def _collect(self, target: Target) -> None:
        """Ask the guest what it still answers, then read what it left."""
        total = Deadline(TOTAL_SECONDS)
        kernel = self._session.kernel
        collect(target.patient, self.directory.evidence, self.directory.console, total)
        if self._item.config.option.dump_memory:
            blocked_tasks(target.patient, self.directory.evidence, self.machine.memory_mib, kernel.vmlinux, total)
        if kernel.vmlinux is not None:
            texts = [finding.text for finding in self.monitor.findings]
            self._places = decode(texts, kernel.vmlinux, kernel.decoder, total)

    def close(self) -> None:
        """Tear the machine down and write the last word; a failure of the tear-down is the host's."""
        try:
            with self.phase("teardown"):
                self._exit.close()
        except FarmError as error:
            if self._outcome is Outcome.PASS:
                self._outcome, self._title = Outcome.ERROR, str(error)
            raise
        finally:
            self.directory.write_reports(self.findings, self._places.text if self._places else None)
            self._write()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The crash reports, with places in the sources when those are known."""
        found = self.monitor.findings
        return tuple(map(self._places.finding, found)) if self._places else found

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
        given = {**vars(self._item.config.option), "seed": self._session.seed, "duration": self.workload_seconds,
                 "accel": self._session.acceleration.name}
        return ["farm", "run", f"{self._item.path}::{self._name}", *as_arguments(given)]

    def _write(self) -> None:
        self.directory.write_result(
            self.cell(), self._outcome, title=self._title, findings=self.findings,
            durations={**self.durations, "total": time.monotonic() - self._began},
            facts={"suspicions": [asdict(one) for one in self.suspicions],
                   "accelerator": self._session.acceleration.name, "pace": self.pace.factor,
                   "host": platform.node(), "farm": __version__, "python": sys.version.split()[0],
                   "expected": self.monitor.expected, "command": self.command(), "ready": self._ready,
                   "cause": asdict(self._cause) if self._cause else None})
