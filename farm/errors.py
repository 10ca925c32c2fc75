"""What can go wrong, and whom to blame.

    FarmError
    ├── UserError              the request cannot be carried out; says what, where, and what to do
    │   ├── MissingFeatureError    the kernel under test lacks what it takes: nothing to judge
    │   └── RevisionError          this revision cannot be what the request makes of it; another one may
    ├── InfrastructureError    the host, QEMU, the network or the disk failed; never good or bad
    │   └── InternalError          the testcase's or the farm's own code has a bug
    └── KernelError            the kernel under test misbehaved
        ├── BuildError         it does not compile
        ├── BootError          it does not reach the guest's ready line
        ├── CrashError         it reported a bug (carries the findings)
        ├── HangError          it, or the workload on it, stopped making progress
        └── VerificationError  data or metadata came back wrong, or wrong data came back unnoticed

A crash of QEMU itself is infrastructure, not a kernel error.
"""

from collections.abc import Sequence
from pathlib import Path


class FarmError(Exception):
    """Anything the farm says to its user; the message is one or more whole sentences."""


class UserError(FarmError):
    """A mistake in the request: the message names the place and the way out."""


class MissingFeatureError(UserError):
    """The kernel under test lacks what the request needs, as it said itself; a cell that ends so is skipped."""


class RevisionError(UserError):
    """The request does not fit this revision: a patch does not apply to it, it has no such symbol. Another may do."""


class InfrastructureError(FarmError):
    """The host, not the kernel, failed; a cell that ends so could not be judged."""


class InternalError(InfrastructureError):
    """The testcase's own code, or the farm's, broke; `__cause__` is the exception."""


class KernelError(FarmError):
    """The kernel under test is to blame."""


class BuildError(KernelError):
    """The kernel does not compile.

    `first` is the first compiler error (`file:line: message`), `log` the whole build log.
    """

    def __init__(self, message: str, *, first: str = "", log: Path | None = None) -> None:
        super().__init__(message)
        self.first = first
        self.log = log


class GuestError(KernelError):
    """The kernel failed while it ran; `reports` are the crash reports seen, earliest first."""

    def __init__(self, message: str, reports: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.reports = tuple(reports)


class BootError(GuestError):
    """The guest never printed its ready line."""


class CrashError(GuestError):
    """The kernel reported a bug on the console."""


class HangError(GuestError):
    """The kernel, or the workload on it, stopped making progress."""


class VerificationError(GuestError):
    """Wrong data was returned, or corrupted data was not reported by the layer that should have."""
