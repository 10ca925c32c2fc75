"""A user who looks into the guest: sessions, gdb, stopping at a report, and keeping what failed."""

import os
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from farm.deadline import Deadline
from farm.dump import answer_requests, forget_requests
from farm.enter import Entrance, converse, gdb_script, hold, instructions, open_gdb
from farm.errors import FarmError, UserError
from farm.freeze import Symbols
from farm.host import lease
from farm.host.accel import TCG
from farm.model import Outcome
from farm.monitor import Monitor
from farm.plugin.record import CellRecord
from farm.plugin.session import FarmSession
from farm.reach import FILE as FUNCTIONS
from farm.reach import functions
from farm.target import Target
from farm.textform import printable

_STOP_SECONDS = 5.0
_STOPPED = "the guest's CPUs are stopped; gdb continues them"


class Live:
    """The live side of one cell; without its options it does nothing."""

    def __init__(self, session: FarmSession, option: Namespace, record: CellRecord, monitor: Monitor) -> None:
        self._session = session
        self._option = option
        self._record = record
        self._monitor = monitor
        self._gdb = self._gdb_script = ""
        self._symbols = Symbols.of(session.kernel.system_map, session.kernel.config) if option.trace_functions else None
        # Where QEMU writes what it translates; None for nowhere.
        self.trace: Path | None = None
        if option.trace_functions:
            if session.acceleration.name != TCG:
                raise UserError("--trace-functions needs an emulated guest: add --accel tcg.")
            if self._symbols is None:
                raise UserError("--trace-functions needs the addresses of the kernel's functions, which only a kernel "
                                "that the farm built has, and without RANDOMIZE_BASE. Leave --kernel-image out.")
            self.trace = lease.scratch_directory("trace") / "in_asm.log"
        # The guest's CPUs were stopped at a report: it answers nothing.
        self.stopped = False

    def booted(self, target: Target) -> None:
        """To be called when the guest is up. Raises InfrastructureError when QEMU opens no stub."""
        option = self._option
        self._gdb = ""
        if option.gdb or option.break_at_report:
            self._open_gdb(target)
            # A guest that stands still is what gdb makes of it, and no finding.
            self._monitor.liveness = None
        if option.break_at_report:
            self._monitor.on_trip = lambda: self._stop(target)
        elif option.shell:
            self._monitor.on_trip = self._tell

    def _open_gdb(self, target: Target) -> None:
        if not self._gdb:
            self._gdb = open_gdb(target)
            self._gdb_script = gdb_script(self._session.kernel.gdb_scripts)

    def _stop(self, target: Target) -> None:
        with suppress(FarmError):
            target.qmp.execute("stop", deadline=Deadline(_STOP_SECONDS))
            self.stopped = True
        if self._option.shell:  # else pytest has our streams, and the words come when the guest is kept
            say(_STOPPED, *self._lines(target, kept=False))
            self._tell()

    def _tell(self) -> None:
        for finding in self._monitor.findings[:1]:
            say(f"the kernel reported: {finding.title}")

    def entrance(self, target: Target) -> Entrance:
        """How the guest is entered from outside."""
        kernel, image = self._session.kernel, self._session.image
        return Entrance(
            port=target.ssh_port, key_file=str(image.key_file), host_key=image.host_key, qemu=target.pid,
            console=str(target.console_log), gdb=self._gdb, vmlinux=str(kernel.vmlinux or ""),
            gdb_script=self._gdb_script)

    def converse(self, target: Target) -> None:
        """A session in the user's terminal, until it ends."""
        with self._session.shown():
            say(f"stacks:  {'; '.join(map(str, self._record.stacks)) or 'none'}", *self._lines(target, kept=False))
            directory = self._record.directory.path
            path = self.entrance(target).write(directory)
            try:
                status = converse(
                    self.entrance(target), lambda: not target.alive, partial(answer_requests, target, directory))
            finally:
                path.unlink(missing_ok=True)
                forget_requests(directory)
            say(f"the session ended with status {status}")

    def keep(self, target: Target | None, rest: Callable[[], None]) -> None:
        """Hold on to the guest of a failure, which is at rest then."""
        wanted = self._option.keep_on_failure or (self._option.break_at_report and self.stopped)
        failed = self._record.outcome in (Outcome.FAIL, Outcome.ERROR)
        if target is None or not (wanted and failed and target.alive) or self._option.shell:
            return
        rest()
        with suppress(FarmError):
            self._open_gdb(target)
        with self._session.shown():
            directory = self._record.directory.path
            path = self.entrance(target).write(directory)
            try:
                say(f"kept after: {self._record.title}", *([_STOPPED] if self.stopped else []),
                    *self._lines(target, kept=True))
                hold(target, lambda: not path.exists(), partial(answer_requests, target, directory))
            finally:
                path.unlink(missing_ok=True)
                forget_requests(directory)
            say("the guest is let go")

    def write_functions(self) -> None:
        """Write which functions ran; to be called when the guest is off."""
        if self.trace is not None and self.trace.exists() and self._symbols is not None:
            reached = functions(self.trace, self._symbols)
            self.trace.unlink()
            self._record.directory.write_text(FUNCTIONS, "".join(f"{name}\n" for name in reached))

    def _lines(self, target: Target, *, kept: bool) -> list[str]:
        return list(instructions(self.entrance(target), self._record.directory.path, kept=kept))


def say(*lines: str) -> None:
    """Tell the user, whatever pytest does to our streams, in a terminal that a session may have set to raw mode."""
    end = "\r\n" if os.isatty(2) else "\n"
    text = "".join(f"farm: {printable(line)}{end}" for line in lines)
    with suppress(OSError):
        os.write(2, text.encode(errors="replace"))
