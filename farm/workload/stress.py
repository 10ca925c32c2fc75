"""stress-ng: one stressor by its name, with its own verification where it has one."""

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from farm import textform
from farm.textform import Kind, flag, number, text
from farm.workload.result import VerifyError, WorkloadResult
from farm.workload.runner import WORKLOADS, Job, Runner, Subject


@WORKLOADS.register
@dataclass(frozen=True)
class Stress(Kind):
    """One stressor of stress-ng, e.g. vm, hdd, rename, dentry, iomix."""

    kind: ClassVar[str] = "stress"
    stressor: str = text("vm", r"[a-z][a-z0-9-]{0,30}", "the name of a stressor of stress-ng")
    # Processes.
    workers: int = number(2, hint="a number of processes, at least 1", least=1)
    # Bytes over all of them, where the stressor takes them (vm, hdd); 0 for its own default.
    bytes: int = textform.size(0, hint="a number of bytes such as 200M")
    # Way of working, where the stressor knows several (vm: e.g. `write64`, `flip`); "" for all in turn.
    method: str = text("", r"[a-z0-9-]{0,30}", "the name of a method of the stressor")
    # vm: keep the mapping instead of making a new one each round.
    keep: bool = flag()


# stress-ng ends so when a stressor failed, verification included (stress-ng.h, EXIT_NOT_SUCCESS).
_NOT_SUCCESS = 2
_WRONG = re.compile(
    r"fail:.{0,200}?\b(?P<what>(?:bit errors?|checksum|verif\w+|mismatch|does not match|corrupt)[^\n]{0,80})",
    re.ASCII | re.IGNORECASE)
_OPERATIONS = re.compile(r"metrc: \[\d+\] [a-z][a-z0-9-]*\s+(\d{1,18})\s+\d", re.ASCII)


class StressRunner(Runner[Stress]):
    """`stress(stack, stressor="vm", bytes="200M", keep=True)`"""

    spec_type = Stress

    def job(self, spec: Stress, subject: Subject, seed: int, seconds: float) -> Job:
        """The stressor works below the subject's directory if it has one."""
        name = spec.stressor
        options = [
            *((f"--{name}-bytes", str(spec.bytes)) if spec.bytes else ()),
            *((f"--{name}-method", spec.method) if spec.method else ()),
            *((f"--{name}-keep",) if spec.keep else ()),
            *(("--temp-path", subject.mountpoint) if subject.mountpoint else ("--temp-path", "/tmp")),  # noqa: S108
        ]
        argv = ("stress-ng", f"--{name}", str(spec.workers), *options, "--verify", "--seed", str(seed),
                "--timeout", f"{max(1, round(seconds))}s", "--metrics", "--oomable")
        return Job(argv, (*((subject.device,) if subject.device else ()), "vm"))

    def judge(self, spec: Stress, result: WorkloadResult, stdout: str, subject: Subject) -> WorkloadResult:
        said = f"{stdout}\n{result.said}"
        place = subject.mountpoint or subject.device
        wrong = tuple(VerifyError(re.sub(r"\d+|0x[0-9a-f]+", "N", match["what"]).strip(), place)
                      for match in _WRONG.finditer(said)) if result.status == _NOT_SUCCESS else ()
        return replace(result, ios=sum(int(number) for number in _OPERATIONS.findall(said)), said=said.strip(),
                       verify_errors=wrong, layer="stress-verify")
