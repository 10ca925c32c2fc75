"""One cell: a testcase on its machine, from boot to result.json."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from farm.deadline import Deadline
from farm.errors import FarmError, MissingFeatureError, UserError
from farm.expectation import Expectation
from farm.freeze import Symbols
from farm.growth import SlabGrowth
from farm.host.admission import Admission, admitted
from farm.leaks import LeakDetector
from farm.liveness import Liveness
from farm.model import Extent, Finding, Outcome
from farm.monitor import Monitor
from farm.plugin.aftermath import Evidence, collect_evidence, look_for_leaks, look_for_lingering
from farm.plugin.live import Live
from farm.plugin.markers import tolerated_kinds
from farm.plugin.record import CellRecord
from farm.plugin.session import FarmSession
from farm.pressure import Pressure
from farm.stack import Assembly, Base
from farm.target import Target
from farm.watchdogs import watchdog_parameters

# A cell waits this long for the host to have room for its machine.
ADMISSION_SECONDS = 4 * 3600.0


class CellRun:
    """A cell while it runs. Everything it starts is on its exit stack and ends in reverse order."""

    def __init__(self, session: FarmSession, item: pytest.Item) -> None:
        self._session = session
        self._option = item.config.option
        self._exit = ExitStack()
        self.record = CellRecord(session, item)
        self.monitor = Monitor(self.record.pace)
        self._live = Live(session, self._option, self.record, self.monitor)
        self.monitor.tolerate(*tolerated_kinds(item))
        self.monitor.block_of = self._block_of
        self.target: Target | None = None
        self._admission: Admission
        self._assemblies: dict[str, Assembly] = {}
        self._leaks: LeakDetector | None = None
        self.evidence = Evidence()

    def boot(self) -> Target:
        """Boot the machine, once the host has room for it."""
        session, record, machine = self._session, self.record, self.record.machine
        if session.kernel.config is not None:
            record.directory.write_text("config", session.kernel.config.read_text(errors="replace"))
        with record.phase("admission"):
            self._admission = self._exit.enter_context(admitted(
                session.workdir, cpus=machine.cpus, memory_mib=machine.memory_mib,
                deadline=Deadline(ADMISSION_SECONDS)))
        target = Target(
            kernel=session.kernel.image, image=session.image, machine=machine,
            acceleration=session.acceleration, directory=record.directory.path, monitor=self.monitor,
            record=record.directory.record_command, ssh_port=self._option.ssh_port,
            append=watchdog_parameters(record.pace), trace=self._live.trace)
        self.target = self._exit.enter_context(target)
        self.monitor.liveness = Liveness(
            lambda: target.patient, Symbols.of(session.kernel.system_map, session.kernel.config))
        self._exit.enter_context(self.monitor)
        try:
            with record.phase("boot"):
                self._start(target)
        finally:
            record.qemu = target.qemu_version
        return target

    def rest(self) -> None:
        """The booted guest does little but wait from now on, as for a watchdog: others may have its CPUs."""
        self._admission.rest()

    def _start(self, target: Target) -> None:
        """What every boot takes: what is known of a guest ends with it."""
        target.start()
        self.record.ready = True
        self._live.booted(target)
        self._admission.covers(target.pid)
        self.record.pace = self.monitor.pace = target.pace
        self._leaks = LeakDetector.of(target.console_log, target, target.pace)

    def assemble(self, target: Target) -> dict[str, Assembly]:
        """Build every stack of the testcase, by the serial of its namespace."""
        namespaces = {namespace.serial: namespace for namespace in self.record.machine.namespaces}
        with self.record.phase("setup"):
            for stack in self.record.stacks:
                base = Base(namespaces[stack.serial], target.block_device(stack.serial))
                assembly = Assembly(
                    target, stack, base, seed=self.record.seed, pace=target.pace, disk=target.disk)
                self._assemblies[stack.serial] = assembly
                try:
                    assembly.build()
                except MissingFeatureError as error:
                    pytest.skip(str(error))
        return self._assemblies

    def power_cut(self, target: Target) -> None:
        """Switch the machine off, on again, and open every stack: what was only in its memory is lost.

        What QEMU has taken from the guest is on the disk, so nothing is lost from a cache of the disk's own.
        """
        self.record.power_cuts += 1
        with self.record.phase("boot"):
            target.stop()
            self.monitor.switched_off()
            self._start(target)
        with self.record.phase("setup"):
            for serial, assembly in self._assemblies.items():
                assembly.power_cut(target.block_device(serial))

    def expecting(self, layer: str) -> AbstractContextManager[Expectation]:
        """Announce that `layer` will report what has been changed on the disks by the end of a block."""
        return self.monitor.expecting(layer, self._changed)

    def _changed(self) -> tuple[Extent, ...]:
        """The places of all changes as the devices of the stacks see them."""
        changes = self.target.disk.changes if self.target else ()
        return tuple(extent for assembly in self._built for extent in assembly.extents(changes))

    def _block_of(self, device: str) -> int:
        return next((one.base.namespace.block for one in self._built if one.base.path == f"/dev/{device}"), 0)

    @property
    def _built(self) -> tuple[Assembly, ...]:
        """A copy: the console's thread asks while `assemble` adds more."""
        return tuple(self._assemblies.values())

    @contextmanager
    def watch(self, workload: str) -> Iterator[Callable[[int], None]]:
        """Record a workload, and let the monitor see its progress for the length of a block."""
        self.record.load(workload)
        with self.record.phase("workload"), self.monitor.workload(workload.partition(":")[0]) as progress:
            yield progress

    def pressure(self, target: Target) -> Pressure:
        """The means to make memory scarce; what is applied is recorded."""
        pressure = Pressure(
            target, lambda command, arguments, end: target.qmp.execute(command, arguments, deadline=end),
            memory_bytes=self.record.machine.memory_mib << 20, pace=target.pace)
        self.record.pressures = pressure.applied
        return pressure

    def slab_growth(self, target: Target) -> SlabGrowth:
        """Watches the slab caches; what grows becomes a suspicion."""
        self.record.repeats = True
        return SlabGrowth(target, rounds=self._option.rounds, pace=target.pace,
                          suspect=self.record.suspicions.append)

    def conclude(self, error: BaseException | None) -> BaseException | None:
        """What the testcase really ended with: the kernel's own report outranks what followed from it.

        Collects the evidence of a failure while the guest still runs.
        """
        cause, began = error, time.monotonic()
        if self.target is not None:
            cause = self.monitor.failure() or error or self._left_behind(self.target)
            if cause is not None and not isinstance(cause, pytest.skip.Exception):
                # A full disk of this host looks like broken hardware to the guest.
                cause = self.target.trouble() or cause
        # An error of the testcase's own is its own signal.
        self.record.conclude(cause, self.monitor.signalled or began)
        if self.record.outcome in (Outcome.FAIL, Outcome.ERROR) and self.target is not None and not self._live.stopped:
            with self.record.phase("evidence"):
                self.evidence = collect_evidence(
                    self.target, self.monitor, self.record.directory, self._session.kernel,
                    dump_memory=self._option.dump_memory)
        self._write()
        return cause

    def _left_behind(self, target: Target) -> FarmError | None:
        """What a testcase that passed so far has killed in vain, or leaked, in a kernel that can tell."""
        if not target.alive:
            return None
        with self.record.phase("teardown"):
            stuck = look_for_lingering(target, self.monitor)
        if stuck or self._leaks is None:
            return stuck
        with self.record.phase("leaks"):
            return look_for_leaks(
                self._leaks, self.monitor, self._assemblies.values(), self.record.suspicions.append)

    def converse(self) -> None:
        """Instead of the testcase: a session in its guest. Raises UserError for a testcase that boots none."""
        if self.target is None:
            raise UserError("This testcase boots no guest by its fixtures, so there is none to enter.")
        self.rest()
        self._live.converse(self.target)

    def close(self) -> None:
        """Tear the machine down and write the last word; a failure of the tear-down is the host's."""
        try:
            self._live.keep(self.target, self.rest)
            with self.record.phase("teardown"):
                self._exit.close()
        except Exception as error:  # whatever it is: what could not be taken down is no pass
            if self.record.outcome is Outcome.PASS:
                self.record.outcome, self.record.title = Outcome.ERROR, str(error)
            raise
        finally:
            places = self.evidence.places
            self._live.write_functions()
            self.record.directory.write_reports(self._findings, places.text if places else None)
            self._write()

    @property
    def _findings(self) -> tuple[Finding, ...]:
        """The crash reports, with places in the sources when those are known."""
        found, places = self.monitor.findings, self.evidence.places
        return tuple(map(places.finding, found)) if places else found

    def _write(self) -> None:
        self.record.write(self._findings, self.monitor.expected)
