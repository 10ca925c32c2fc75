"""File churn: create, write, fsync, rename, read back and remove, in an order that the seed decides."""

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from farm.textform import Kind, number, size
from farm.workload.result import IoError, VerifyError, WorkloadResult
from farm.workload.runner import WORKLOADS, Job, Runner, Subject, need_directory, script


@WORKLOADS.register
@dataclass(frozen=True)
class Churn(Kind):
    """A loop over a directory of small files; every file is compared with what it must hold before it goes."""

    kind: ClassVar[str] = "churn"
    # How many names are in use.
    files: int = number(40, hint="a number of files, at least 1", least=1)
    # The largest file.
    largest: int = size(16 << 10, hint="a number of bytes such as 16K, at least 1K", least=1024)


_OPERATIONS = re.compile(r"^farm-churn: (\d{1,15}) operations$", re.MULTILINE | re.ASCII)
_WRONG = re.compile(r"^farm-churn: wrong content in (.+)$", re.MULTILINE)
_BYTE = re.compile(r"differ: (?:char|byte) (\d{1,15})", re.ASCII)
_ERRNO = {"Input/output error": "EIO", "Invalid or incomplete multibyte or wide character": "EILSEQ"}
_FAILED = re.compile(rf"(?<!\S)(?P<file>\S+): (?P<text>{'|'.join(_ERRNO)})")


class ChurnRunner(Runner[Churn]):
    """`churn(stack, files=100)`"""

    spec_type = Churn

    def job(self, spec: Churn, subject: Subject, seed: int, seconds: float) -> Job:
        directory = f"{need_directory(subject, 'churn')}/farm-churn"
        argv = ("bash", "-c", script("churn.sh"), "farm-churn", directory, str(max(1, round(seconds))),
                str(seed % 32768), str(spec.files), str(spec.largest // 1024))
        return Job(argv, (subject.device,) if subject.device else ("vm",))

    def judge(self, spec: Churn, result: WorkloadResult, stdout: str, subject: Subject) -> WorkloadResult:
        byte = _BYTE.search(result.said)
        wrong = tuple(VerifyError("wrong content", file, int(byte[1]) - 1 if byte else -1)
                      for file in _WRONG.findall(result.said))
        errors = tuple(IoError(_ERRNO[match["text"]], "", match["file"]) for match in _FAILED.finditer(result.said))
        done = _OPERATIONS.search(stdout)
        # What could not be read is not wrong.
        return replace(result, ios=int(done[1]) if done else 0, verify_errors=() if errors else wrong, errors=errors,
                       layer="churn-verify")
