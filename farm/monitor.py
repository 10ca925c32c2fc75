"""The monitor: watches a running guest from outside and says when, and why, a cell is over.

It hears the console (every byte), QEMU's events and the finished I/O of the workloads, and looks for signs of life.
A report that nobody announced trips it: waiting commands end at once, late output gets a short grace, and the first
real report gives the failure its name, whatever followed from it. That stands within five seconds of the signal.
"""

import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from farm.deadline import Deadline, Pace
from farm.errors import CrashError, FarmError, GuestError, HangError, InfrastructureError, VerificationError
from farm.expectation import Expectation, nowhere, told
from farm.guest.watch import never
from farm.liveness import Liveness, Workloads
from farm.model import Extent, Finding
from farm.oops import Parser
from farm.watchdogs import NO_PROGRESS

# How a report of each kind fails a cell; kinds not named here are crashes.
ERRORS: Mapping[str, type[GuestError]] = {
    "hung-task": HangError,
    "rcu-stall": HangError,
    "soft-lockup": HangError,
    "hard-lockup": HangError,
    "workqueue-lockup": HangError,
    "io-timeout": HangError,
    "no-progress": HangError,
    "silence": HangError,
    "verification": VerificationError,
}

# Late output after the first report: base seconds for all of it, and the quiet that ends it early.
GRACE = 1.0
QUIET = 0.5
TICK = 0.2
# Wall seconds from the first bytes of a report until it counts as complete though the console goes on, and from any
# deciding signal until the verdict stands: a maintainer does not wait for a slow guest's last words.
REPORT_SECONDS = 3.0
VERDICT_SECONDS = 4.0
# Pieces of the console whose time of arrival is remembered.
_ARRIVALS = 4096


@dataclass(frozen=True)
class _Unexpected:
    """A report that nobody announced."""

    finding: Finding
    # The moment of the signal.
    at: float
    # What had been announced instead, or "".
    announced: str = ""


class Monitor:
    """Collects what a guest says and does; thread-safe, one for each boot."""

    def __init__(
        self, pace: Pace, *, clock: Callable[[], float] = time.monotonic, liveness: Liveness | None = None
    ) -> None:
        # How slow the guest is; a slow boot may have told more since.
        self.pace = pace
        # Asked while ticking.
        self.liveness = liveness
        self._clock = clock
        self._lock = threading.RLock()
        self._parser = Parser()
        # Bytes of a logical block of a device in the guest, 0 when nobody knows: NVMe counts in those.
        self.block_of: Callable[[str], int] = lambda _: 0
        # Told once, in a thread of its own, when the cell is over.
        self.on_trip: Callable[[], None] = lambda: None
        self.excuse: Callable[[Finding], bool] = never
        # What was announced, and what was reported of it, for the record.
        self.expected: list[dict[str, str]] = []
        self._findings: list[Finding] = []
        self._unexpected: list[_Unexpected] = []
        self._expectations: list[Expectation] = []
        self._tolerated: set[str] = set()
        self._hushed: set[str] = set()
        self._workloads = Workloads(clock)
        self._heard = clock()
        # Where in the console's stream a piece begins, and when it came.
        self._received = 0
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=_ARRIVALS)
        # Since when a report has been under way; None while none is.
        self._pending: float | None = None
        self._tripped = threading.Event()
        # When the first signal came that a failure can be named after.
        self._signal: float | None = None
        self._first_cause: tuple[FarmError, float] | None = None
        self._verdict: tuple[FarmError, float] | None = None
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick_until_stopped, name="farm-monitor", daemon=True)

    # -- what it hears

    def console(self, data: bytes) -> None:
        """Take console bytes as they come."""
        with self._lock:
            self._heard = now = self._clock()
            self._arrivals.append((self._received, now))
            self._received += len(data)
            self._sort(self._parser.feed(data))
            self._pending = (self._pending or now) if self._parser.pending else None

    def event(self, name: str, data: Mapping[str, Any]) -> None:
        """Take an event of QEMU's (QMP); a reset or shutdown by the guest is a reboot nobody asked for."""
        if self.liveness is not None:
            self.liveness.event(name, self._clock())
        if name in ("RESET", "SHUTDOWN") and data.get("guest"):
            reason = data.get("reason", name.lower())
            self.report(Finding("reboot", f"guest rebooted or shut down by itself ({reason})"))

    def switched_off(self) -> None:
        """The machine was switched off by whoever runs the testcase: the console's next boot is no reboot."""
        with self._lock:
            self._sort(self._parser.start_over())
            self._pending = None

    def tolerate(self, *kinds: str) -> None:
        """Reports of these kinds do not fail the cell (an OOM kill where memory is meant to run out)."""
        with self._lock:
            self._tolerated.update(kinds)

    def workload(self, name: str) -> AbstractContextManager[Callable[[int], None]]:
        """Watch a workload for the length of a block; the block gets the function to report its progress to."""
        return self._workloads.watched(name)

    @contextmanager
    def expecting(self, layer: str, places: Callable[[], Sequence[Extent]] = nowhere) -> Iterator[Expectation]:
        """Announce that `layer` will report a verification error within the block, at one of the places.

        Raises VerificationError when it does not: corruption that nobody reports is a finding too, and so is one that
        another layer reports, or the same from elsewhere. An exception of the block that itself reports the error by
        `layer` (fio's own verification), or that is what a workload saw of it, is the report.
        """
        expectation = Expectation(layer, places)
        with self._lock:
            self._expectations.append(expectation)
        try:
            yield expectation
        except GuestError as error:
            reports = [finding for finding in error.reports if isinstance(finding, Finding)]
            if not reports or not all(expectation.takes(finding) for finding in reports):
                if isinstance(error, VerificationError) and not self.tripped:
                    what = f"{error} (announced: {expectation}; reported: {told(reports)})"
                    raise VerificationError(what, reports) from error
                raise
        finally:
            self.settle(self.pace.deadline(GRACE))
            with self._lock:
                self._expectations.remove(expectation)
                self.expected.append({"announced": str(expectation), "reported": told(expectation.seen)})
                for stranger in expectation.strangers:
                    self._object(_Unexpected(stranger, self._clock(), str(expectation)))
        if self.tripped:
            raise self.failure() or InfrastructureError("the monitor was stopped")
        if not expectation.seen:
            what = f"announced corruption went unnoticed: no report by {expectation}"
            unnoticed = Finding("unnoticed", what, signature=f"unnoticed:{layer}", layer=layer)
            raise VerificationError(
                f"{what}; reported: {told(expectation.companions)}", (unnoticed, *self.findings))

    @contextmanager
    def hushed(self, kind: str) -> Iterator[None]:
        """Within the block, console reports of a kind are known noise: whoever asked for them has a better source."""
        with self._lock:
            self._hushed.add(kind)
        try:
            yield
            self.settle(self.pace.deadline(GRACE))
        finally:
            with self._lock:
                self._hushed.discard(kind)

    def report(self, *findings: Finding, at: float | None = None) -> None:
        """Take findings from another source than the console; `at` is when their signal came, now by default."""
        with self._lock:
            self._sort(findings, self._clock() if at is None else at)

    # -- what it concludes

    @property
    def tripped(self) -> bool:
        """True once the cell is over; a waiting command ends when it sees this."""
        return self._tripped.is_set()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All reports so far, expected or not."""
        with self._lock:
            return tuple(self._findings)

    def settle(self, deadline: Deadline) -> None:
        """Wait until the console has been quiet for a moment, then complete the report under way.

        Always lets one tick pass: what the guest has printed may still be on its way here.
        """
        deadline.sleep(TICK / 2)
        while not self._is_quiet() and deadline.sleep(TICK / 4):
            pass
        with self._lock:
            self._flush()

    def failure(self) -> FarmError | None:
        """What ended the cell: the first unexpected report after the grace, else the first other cause.

        Decided once: what the console says later changes nothing.
        """
        if self._verdict is None:
            self.settle(Deadline(self._grace()))
        with self._lock:
            self._verdict = self._verdict or self._decide()
            return self._verdict[0] if self._verdict else None

    @property
    def signalled(self) -> float | None:
        """When the signal came that decided about the failure, on the monotonic clock; None before `failure`."""
        return self._verdict[1] if self._verdict else None

    def trip(self, cause: FarmError, at: float | None = None) -> None:
        """End the cell for a reason that is not on the console, known since `at`; only the first cause is kept."""
        with self._lock:
            self._first_cause = self._first_cause or (cause, self._clock() if at is None else at)
            self._trip(self._first_cause[1])

    # -- inner workings

    def _grace(self) -> float:
        """Seconds that late output has."""
        grace = self.pace.seconds(GRACE)
        return grace if self._signal is None else min(grace, max(0.0, self._signal + VERDICT_SECONDS - self._clock()))

    def _decide(self) -> tuple[FarmError, float] | None:
        """The first report of the console, else the first that QEMU or the farm made, else the first other cause.

        The kernel's own words are on their way in another thread when QEMU tells of a reset. First is what began first:
        a line that is a report by itself is complete before the trace that it stands in.
        """
        ranked = sorted(self._unexpected, key=lambda one: (one.finding.end == 0, one.finding.start))
        reports = tuple(one.finding for one in ranked)
        return next(((as_error(one.finding, reports, one.announced), one.at) for one in ranked), self._first_cause)

    def _sort(self, findings: Sequence[Finding], at: float | None = None) -> None:
        for finding in findings:
            if finding.kind in self._hushed or self.excuse(finding):
                finding = replace(finding, suppressed=True)  # noqa: PLW2901
            finding = finding.in_sectors(self.block_of(finding.device))  # noqa: PLW2901 - the same, understood
            self._findings.append(finding)
            announced = any(expectation.takes(finding) for expectation in self._expectations)
            if not (finding.suppressed or finding.kind in self._tolerated or announced):
                instead = " and ".join(map(str, self._expectations)) if finding.kind == "verification" else ""
                self._object(_Unexpected(finding, self._arrival(finding.start) if at is None else at, instead))

    def _object(self, unexpected: _Unexpected) -> None:
        self._unexpected.append(unexpected)
        self._trip(unexpected.at)

    def _trip(self, at: float) -> None:
        self._signal = at if self._signal is None else self._signal
        if not self._tripped.is_set():
            # Not here: whoever is told may ask QEMU, whose own events wait for the lock that is held.
            threading.Thread(target=self.on_trip, name="farm-trip", daemon=True).start()
        self._tripped.set()

    def _arrival(self, offset: int) -> float:
        """When the console's byte at an offset came, or the first of those that are remembered."""
        index = bisect_right(self._arrivals, offset, key=lambda piece: piece[0]) - 1
        return self._arrivals[max(0, index)][1] if self._arrivals else self._clock()

    def _tick_until_stopped(self) -> None:
        while not self._stop.wait(TICK):
            try:
                self.tick()
            except Exception as error:  # a bug of the farm's: no hang would be noticed from here on
                self.trip(InfrastructureError(f"The monitor of the guest failed: {error!r}."))
                raise

    def tick(self) -> None:
        """Complete quiet reports and look for hangs; the ticker's thread calls it, tests may too."""
        now = self._clock()
        with self._lock:
            if self._is_quiet() or (self._pending is not None and now > self._pending + REPORT_SECONDS):
                self._flush()
        for name, changed in self._workloads.still():
            if now > (limit := changed + self.pace.seconds(NO_PROGRESS)):
                self._no_progress(name, limit)
        if self.liveness is None or self.tripped or (death := self.liveness.check(now, self._heard, self.pace)) is None:
            return
        if isinstance(death.cause, Finding):
            self.report(death.cause, at=death.at)
        else:
            self.trip(death.cause, death.at)

    def _flush(self) -> None:
        """Take what is under way as complete."""
        self._sort(self._parser.flush())
        self._pending = None

    def _is_quiet(self) -> bool:
        """Nothing more is to come: a report under way may pause on a slow machine, anything else not."""
        pause = max(QUIET, self.pace.seconds(QUIET)) if self._parser.pending else QUIET
        return self._clock() - self._heard > pause

    def _no_progress(self, name: str, at: float) -> None:
        seconds = self.pace.seconds(NO_PROGRESS)
        finding = Finding("no-progress", f"no progress in {name}", signature=f"no-progress:{name}")
        with self._lock:
            if any(one.kind == finding.kind for one in self._findings):
                return
            self._sort([replace(finding, text=f"{name} finished no I/O for {seconds:.0f} s")], at)

    def __enter__(self) -> "Monitor":
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._ticker.join()


def as_error(finding: Finding, reports: Sequence[Finding], announced: str = "") -> GuestError:
    """The exception that a report amounts to: its title, with function and device where that does not say them.

    `announced` is what had been announced instead of it.
    """
    function = f" in {finding.function}" if finding.function not in finding.title else ""
    device = f" on {finding.device}" if finding.device not in finding.title else ""
    instead = f" (announced: {announced}; reported: {told([finding])})" if announced else ""
    return ERRORS.get(finding.kind, CrashError)(f"{finding.title}{function}{device}{instead}", reports)
