"""Deadlines: every wait of the farm takes one, and under emulation all of them stretch together."""

import time
from collections.abc import Callable
from dataclasses import dataclass


class Deadline:
    """A point in time until which a wait may last, on the monotonic clock (the wall clock may jump)."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - self._clock())

    @property
    def expired(self) -> bool:
        return self._clock() >= self._end

    def at_most(self, seconds: float) -> "Deadline":
        """A deadline for a part of the wait: `seconds` from now, but never later than this one."""
        return Deadline(min(seconds, self.remaining()), clock=self._clock)

    def sleep(self, seconds: float) -> bool:
        """Sleep for `seconds` or until the deadline; False when the deadline has passed."""
        time.sleep(min(seconds, self.remaining()))
        return not self.expired

    def __repr__(self) -> str:
        return f"Deadline({self.remaining():.1f} s of {self.seconds:.1f} s left)"


@dataclass(frozen=True)
class Pace:
    """How slow the accelerator in use is, as measured, and the deadlines that follow from it.

    Base figures throughout the farm are written for KVM on a quiet machine (factor 1).
    """

    # Multiplier for every guest-side duration; 1.0 is a kernel that boots in one second.
    factor: float = 1.0

    def seconds(self, base: float) -> float:
        return base * self.factor

    def deadline(self, base: float) -> Deadline:
        return Deadline(self.seconds(base))
