"""Is the guest still there? Signs of life are looked at from outside, and each way of having none has its own name.

The host's faults come first: a QEMU that ended or was stopped, a guest that was paused. Then the guest's: a lost
connection, a freeze, silence. A guest that is only slow still answers, and is none of these.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from farm.deadline import Pace
from farm.errors import FarmError, InfrastructureError
from farm.freeze import Symbols, silence
from farm.guest.patient import STOPPED_STATES, Vital
from farm.guest.registers import Cpu
from farm.guest.shell import ConnectionLostError
from farm.model import Finding
from farm.watchdogs import BOOT_SILENCE, FREEZE, SILENCE

# Wall seconds until something the host did to QEMU counts; shorter stops are somebody's business, as a snapshot is.
STOPPED_SECONDS = 2.0
# Wall seconds in which QEMU's end shows after ssh was lost.
AFTERMATH_SECONDS = 0.5


class Patient(Protocol):
    """What is asked of a target; `farm.guest.patient.Patient` is one."""

    @property
    def ending(self) -> str:
        """How QEMU ended by itself, "" while it runs or is off."""

    def vital(self) -> Vital | None:
        """The signs of life at this moment; None while the target is off."""

    def cpus(self) -> Sequence[Cpu] | None:
        """Where the CPUs stand; None when QEMU does not answer."""

    def stack(self, cpu: Cpu, words: int) -> Sequence[int]:
        """The innermost words on a CPU's stack."""


@dataclass(frozen=True)
class Death:
    """A guest that is gone: why, and when that was certain."""

    # A finding where the kernel is to blame and there is something to name, else an error.
    cause: Finding | FarmError
    # On the clock of the caller: when the deciding limit passed.
    at: float


@dataclass(frozen=True)
class Moment:
    """What is known when the checks are made."""

    # All times are on the monotonic clock.
    now: float
    # When the console last said something, or QEMU was started.
    heard: float
    vital: Vital
    patient: Patient
    pace: Pace

    @property
    def quiet(self) -> float:
        """Seconds without any sign of the guest's life."""
        silent = self.now - self.heard
        return silent if self.vital.owing is None else min(silent, self.vital.owing)

    def late(self, since: float, seconds: float, cause: Callable[[], Finding | FarmError]) -> Death | None:
        """The death that `cause` names, when what began at `since` has lasted for so long."""
        return Death(cause(), since + seconds) if self.now >= since + seconds else None


class Held:
    """Since when something has been the same without a break."""

    def __init__(self) -> None:
        self._value: object = None
        self._since = 0.0

    def since(self, now: float, value: object) -> float:
        """The moment from which `value` has been so; `now` while it is None."""
        if value is None or value != self._value:
            self._value, self._since = value, now
        return self._since


class Workloads:
    """The workloads that run, and when each last finished I/O; thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # One entry for each, as two may have the same name.
        self._changed: dict[object, tuple[str, float]] = {}

    @contextmanager
    def watched(self, name: str) -> Iterator[Callable[[int], None]]:
        """Watch a workload for the length of a block; the block gets the function to report its progress to.

        Progress is a count of finished I/O that grows; the same count again is no progress.
        """
        key, last = object(), -1
        with self._lock:
            self._changed[key] = name, self._clock()

        def progress(count: int) -> None:
            nonlocal last
            with self._lock:
                if count != last and key in self._changed:
                    last, self._changed[key] = count, (name, self._clock())

        try:
            yield progress
        finally:
            with self._lock:
                del self._changed[key]

    def still(self) -> list[tuple[str, float]]:
        """The workloads that run, and since when each has finished nothing."""
        with self._lock:
            return list(self._changed.values())


class Liveness:
    """Watches one target; asked again and again by the monitor, from one thread."""

    def __init__(self, patient: Callable[[], Patient], symbols: Symbols | None = None) -> None:
        """`patient` gives the target's face of this moment; `symbols` lets a freeze say where."""
        self._patient = patient
        self._symbols = symbols
        # When the guest was paused over QMP by somebody; None while it runs.
        self._paused: float | None = None
        self._shut_down = False
        self._stopped, self._lost, self._frozen = Held(), Held(), Held()
        self._checks: Sequence[Callable[[Moment], Death | None]] = (
            self._check_stopped, self._check_paused, self._check_lost, self._check_frozen, self._check_silent)

    def event(self, name: str, now: float) -> None:
        """Take an event of QEMU's. A guest that shut itself down is paused by QEMU (-action shutdown=pause)."""
        if name == "SHUTDOWN":
            self._shut_down = True
        elif name == "STOP" and not self._shut_down:
            self._paused = now
        elif name == "RESUME":
            self._paused, self._shut_down = None, False

    def check(self, now: float, heard: float, pace: Pace) -> Death | None:
        """Why the guest is gone, or None. `heard` is when the console last said something."""
        patient = self._patient()
        if ending := patient.ending:
            return Death(InfrastructureError(ending), now)
        vital = patient.vital()
        if vital is None:
            self._paused, self._shut_down = None, False
            return None
        moment = Moment(now, max(heard, vital.started), vital, patient, pace)
        return next((death for check in self._checks if (death := check(moment))), None)

    def _check_stopped(self, at: Moment) -> Death | None:
        # A process that is stopped and continued in turns is scheduled each time: it is slow, not stopped.
        held = at.vital.switches if at.vital.state in STOPPED_STATES else None
        return at.late(self._stopped.since(at.now, held), STOPPED_SECONDS, lambda: InfrastructureError(
            f"QEMU was stopped by a signal or a debugger of this host (state {at.vital.state}) and did not go on "
            f"within {STOPPED_SECONDS:.0f} s."))

    def _check_paused(self, at: Moment) -> Death | None:
        since = at.now if self._paused is None else self._paused
        return at.late(since, STOPPED_SECONDS, lambda: InfrastructureError(
            "All CPUs of the guest were stopped over QMP, by nothing that the guest did, and did not go on within "
            f"{STOPPED_SECONDS:.0f} s."))

    def _check_lost(self, at: Moment) -> Death | None:
        since = self._lost.since(at.now, at.vital.lost or None)
        return at.late(since, AFTERMATH_SECONDS, lambda: ConnectionLostError("The guest closed its ssh connection."))

    def _check_frozen(self, at: Moment) -> Death | None:
        """No CPU takes interrupts any more, so that no watchdog of the guest's own can tell of it.

        Under KVM with a performance counter the hard lockup detector still could, so it is given its time.
        """
        half = at.pace.seconds(FREEZE / 2)
        cpus = at.patient.cpus() if at.quiet >= half else None
        dead = bool(cpus) and not any(cpu.interrupts for cpu in cpus or ())
        since = self._frozen.since(at.now, at.heard if dead else None)
        return at.late(since, half, lambda: self._finding("silent freeze", at.patient, cpus or (), stuck=True))

    def _check_silent(self, at: Moment) -> Death | None:
        # Between the ready line and the first login the deadline of that login counts.
        title, base = ("no answer over ssh", SILENCE) if at.vital.userspace else ("boot hung", BOOT_SILENCE)
        since = at.now - (at.vital.owing or 0.0) if at.vital.userspace else at.heard
        return at.late(since, at.pace.seconds(base), lambda: self._silent(title, at.patient))

    def _silent(self, title: str, patient: Patient) -> Finding | FarmError:
        cpus = patient.cpus()
        if cpus is None:
            return InfrastructureError("QEMU itself does not answer (QMP), so nothing can be said of the guest.")
        return self._finding(title, patient, cpus, stuck=False)

    def _finding(self, title: str, patient: Patient, cpus: Sequence[Cpu], *, stuck: bool) -> Finding:
        return silence(title, cpus, self._symbols, patient.stack, stuck=stuck)
