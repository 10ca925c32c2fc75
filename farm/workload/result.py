"""What a workload came to, and the errors that it amounts to."""

from collections.abc import Sequence
from dataclasses import dataclass

from farm.errors import GuestError, VerificationError
from farm.model import Finding


@dataclass(frozen=True)
class IoError:
    """An I/O that the kernel failed."""

    # Name of the errno, e.g. `EILSEQ`, or "" when it was not understood.
    errno: str
    # `read`, `write`, `sync` and so on, or "".
    operation: str
    # Device or file.
    file: str
    # Byte offset, -1 when it was not said.
    offset: int = -1
    # Bytes, 0 when it was not said.
    length: int = 0


@dataclass(frozen=True)
class VerifyError:
    """Data that came back other than it was written."""

    # What was wrong, as the workload says it, without numbers that change from run to run.
    what: str
    # Device or file.
    file: str
    # Byte offset, -1 when it was not said.
    offset: int = -1


@dataclass(frozen=True)
class WorkloadResult:
    """How a workload ended."""

    # The workload as text.
    text: str
    # Seed it was started with.
    seed: int
    ok: bool
    # Finished operations and bytes as the workload counts them.
    ios: int = 0
    bytes: int = 0
    errors: tuple[IoError, ...] = ()
    verify_errors: tuple[VerifyError, ...] = ()
    # Host seconds from start to end.
    seconds: float = 0.0
    # Exit status in the guest.
    status: int = 0
    # The end of what it said on standard error.
    said: str = ""
    # Who reports wrong data: `fio-verify`, `stress-verify` or `churn-verify`.
    layer: str = ""

    def checked(self) -> "WorkloadResult":
        """Itself when all went well.

        Raises VerificationError for wrong data, else WorkloadError.
        """
        if self.ok:
            return self
        if self.verify_errors:
            raise VerificationError(self._sentence(), tuple(self._finding(error) for error in self.verify_errors))
        raise WorkloadError(self._sentence(), self)

    def _finding(self, error: VerifyError) -> Finding:
        return Finding(
            "verification", f"{self.layer}: {error.what}", signature=f"{self.layer}:{error.what}", layer=self.layer,
            device=error.file.removeprefix("/dev/").removeprefix("mapper/"),
            sector=error.offset // 512 if error.offset >= 0 else -1, text=self.said)

    def _sentence(self) -> str:
        if self.verify_errors:
            first = self.verify_errors[0]
            at = f" at byte {first.offset}" if first.offset >= 0 else ""
            return f"The workload {self.text} read wrong data from {first.file}{at}: {first.what}."
        if self.errors:
            one = self.errors[0]
            return (f"The workload {self.text} failed: {one.operation or 'I/O'} of {one.length} bytes at byte "
                    f"{one.offset} of {one.file} ended with {one.errno or 'an error'}.")
        how = f"was killed by signal {self.status - 128}" if self.status > 128 else f"ended with status {self.status}"
        return f"The workload {self.text} {how}: {self.said[-1000:].strip() or 'it said nothing'}"


class WorkloadError(GuestError):
    """A workload failed in the guest, though no wrong data was seen; `result` says how.

    Its reports are of kind `io-error`: they follow from what the kernel reports about the same I/O.
    """

    def __init__(self, message: str, result: WorkloadResult, reports: Sequence[Finding] = ()) -> None:
        super().__init__(message, reports or _io_findings(result))
        self.result = result


def _io_findings(result: WorkloadResult) -> tuple[Finding, ...]:
    return tuple(
        Finding("io-error", f"{error.operation or 'I/O'} error {error.errno} seen by {result.text.partition(':')[0]}",
                signature=f"workload-io:{error.operation}:{error.errno}",
                device=error.file.removeprefix("/dev/").removeprefix("mapper/"),
                sector=error.offset // 512 if error.offset >= 0 else -1)
        for error in result.errors)
