"""Applying memory pressure to a running guest, for the length of a block."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from farm.deadline import Deadline, Pace
from farm.errors import GuestError, InfrastructureError, UserError
from farm.guest.shell import Ongoing, StreamingShell
from farm.pressure.plan import HOLD_DIRECTORY, PRESSURES, Balloon, Faults, KeepFree, faults_argv, holder_argv
from farm.textform import Kind

# Base seconds until the pressure asked for is there, and until it is gone.
RISE_SECONDS = 20.0
END_SECONDS = 5.0
# Base seconds to find a function and to set up the faults in it.
FAULTS_SECONDS = 10.0
# QEMU answers at once, also for a dead guest; one that is starved gets this many seconds.
QMP_SECONDS = 5.0
_INJECTED = re.compile(r"farm-injected (\d{1,10})", re.ASCII)
_HELD = re.compile(r"farm-held (\d{1,12})", re.ASCII)


# Runs a QMP command: name, arguments, deadline.
Qmp = Callable[[str, Mapping[str, object], Deadline], Any]


class Pressure:
    """`with pressure("keep-free:free=64M"):`, or several texts at once."""

    def __init__(self, shell: StreamingShell, qmp: Qmp, *, memory_bytes: int, pace: Pace | None = None) -> None:
        """`memory_bytes` is what the machine has without a balloon."""
        self._shell = shell
        self._qmp = qmp
        self._memory = memory_bytes
        self._pace = pace or Pace()
        # Every pressure that was applied, as text.
        self.applied: list[str] = []

    @contextmanager
    def __call__(self, written: str) -> Iterator[None]:
        """Apply a pressure given as text for the length of a block; it is there when the block begins.

        Raises UserError for an unknown one and for faults that nothing ran into, GuestError when the guest does not
        give up the memory.
        """
        spec = PRESSURES.parse(written, f"The pressure {written!r}")
        self.applied.append(PRESSURES.render(spec))
        with self._by_kind(spec):
            yield

    @contextmanager
    def _by_kind(self, spec: Kind) -> Iterator[None]:
        match spec:
            case KeepFree():
                holder = self._shell.stream(holder_argv(spec))
                try:
                    self._await_held(holder, spec)
                    yield
                finally:
                    # Killed, it cannot give the memory back itself; one that failed may not have mounted anything.
                    holder.stop(self._pace.deadline(END_SECONDS))
                    self._shell.run(["umount", "-l", HOLD_DIRECTORY], deadline=self._pace.deadline(END_SECONDS),
                                    check=False)
            case Faults():
                deadline = self._pace.deadline(FAULTS_SECONDS)
                self._shell.run(faults_argv(spec, "start"), deadline=deadline)
                try:
                    yield
                finally:
                    stopped = self._shell.run(faults_argv(spec, "stop"), deadline=self._pace.deadline(FAULTS_SECONDS))
                self._require_faults(spec, stopped.stdout)
            case Balloon():
                if spec.memory > self._memory:
                    raise UserError(f"The balloon cannot leave {spec.memory >> 20} MiB to a machine of "
                                    f"{self._memory >> 20} MiB.")
                try:
                    self._resize(spec.memory)
                    yield
                except BaseException:
                    # Not waited for: the guest may be dead, and its evidence is next.
                    with suppress(InfrastructureError):
                        self._set_balloon(self._memory)
                    raise
                self._resize(self._memory)

    def _await_held(self, holder: Ongoing, spec: KeepFree) -> None:
        deadline = self._pace.deadline(RISE_SECONDS)
        if not any(_HELD.match(line) for line in holder.lines(deadline)):
            raise GuestError(f"The memory holder ended before {spec.free >> 20} MiB were left.")

    @staticmethod
    def _require_faults(spec: Faults, said: str) -> None:
        """A testcase during which nothing failed has tested nothing. Raises UserError."""
        injected = _INJECTED.search(said)
        if injected is None or int(injected[1]) == 0:
            raise UserError(f"{PRESSURES.render(spec)} made no allocation fail: the workload does not get to these "
                            "functions, or nothing beneath them allocates so. Name others, or use `sleeping`.")

    def _set_balloon(self, memory: int) -> None:
        self._qmp("balloon", {"value": memory}, Deadline(QMP_SECONDS))

    def _resize(self, memory: int) -> None:
        """Set the balloon and wait until the guest has followed, which it does a few MiB at a time."""
        deadline = self._pace.deadline(RISE_SECONDS)
        before = self._qmp("query-balloon", {}, deadline)["actual"]
        self._set_balloon(memory)
        while (actual := self._qmp("query-balloon", {}, deadline)["actual"]) != memory:
            if not deadline.sleep(0.1):
                raise GuestError(f"The guest's memory went from {before >> 20} to {actual >> 20} MiB, not to "
                                 f"{memory >> 20} MiB, within {deadline.seconds:.0f} s.")
