"""fio with data verification: what is asked for, the job file, and running it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jinja2

from farm import textform
from farm.errors import UserError
from farm.textform import Kind, choice, flag, number
from farm.workload import fio_output
from farm.workload.result import WorkloadResult
from farm.workload.runner import WORKLOADS, Job, Runner, Subject, script

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("farm.workload"), undefined=jinja2.StrictUndefined, trim_blocks=True,
    keep_trailing_newline=True, autoescape=False,  # noqa: S701  (job files are no HTML)
)
# The file that fio works on where there is a file system.
FILE = "farm-fio.data"


@WORKLOADS.register
@dataclass(frozen=True)
class Fio(Kind):
    """One fio job: it writes all of `size`, verifies it, and begins again until the time is up."""

    kind: ClassVar[str] = "fio"
    rw: str = choice("write", "randwrite", "read", "randread", "rw", "randrw")
    # Checksum in each block's header, `pattern` for a comparison of every byte, `none` for load only.
    verify: str = choice("crc32c", "crc64", "sha256", "xxhash", "md5", "pattern", "none")
    # Processes that do this side by side, each on `size` bytes of its own, one after the other on the device.
    jobs: int = number(1, hint="a number of processes, at least 1", least=1)
    # Do not write: verify what an earlier job of the same size wrote.
    verify_only: bool = flag()
    size: int = textform.size(16 << 20, hint="a number of bytes such as 64M", least=4096)
    # Bytes of one I/O.
    bs: int = textform.size(4096, hint="a number of bytes such as 4K", least=512)
    iodepth: int = number(8, hint="a number of I/Os in flight, at least 1", least=1)
    # I/Os handed to the kernel at once, at most `iodepth`; neighbours among them are merged.
    batch: int = number(1, hint="a number of I/Os, at least 1", least=1)
    engine: str = choice("libaio", "io_uring", "psync")
    # fsync after so many writes, 0 for never.
    fsync: int = number(0, hint="a number of writes, 0 for never")
    # Percentage of reads in a mix.
    reads: int = number(50, hint="a percentage")
    # Through the page cache instead of O_DIRECT.
    buffered: bool = flag()
    # Memory for fio and for what it writes to a tmpfs, enforced by a cgroup: the rest is swapped out. 0 for any amount.
    memory: int = textform.size(0, hint="a number of bytes such as 32M, at least 8M", least=8 << 20)


class FioRunner(Runner[Fio]):
    """`fio(stack, rw="randwrite", verify="crc32c")`"""

    spec_type = Fio

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Seed of the last pass that wrote a file or device: what `verify_only` has to find there.
        self._written: dict[str, int] = {}

    def job(self, spec: Fio, subject: Subject, seed: int, seconds: float) -> Job:
        check(spec, subject)
        if spec.verify_only:
            seed = self._written.get(filename(subject), seed)
        # What only reads is done after one pass: a second one would read the same again.
        limit = 0 if spec.verify_only or spec.verify == "none" else round(seconds)
        confined = ("bash", "-c", script("confine.sh"), "farm-confine", str(spec.memory)) if spec.memory else ()
        argv = (*confined, "bash", "-c", script("passes.sh"), "farm-fio", str(limit), str(seed), "farm.fio",
                job_file(spec, subject, seconds))
        return Job(argv, (subject.device,) if subject.device else ("vm",))

    def judge(self, spec: Fio, result: WorkloadResult, stdout: str, subject: Subject) -> WorkloadResult:
        passes, ios, count = fio_output.totals(stdout)
        if passes and not spec.verify_only and spec.rw not in ("read", "randread"):
            self._written[filename(subject)] = result.seed + passes - 1
        return replace(result, ios=ios, bytes=count, errors=fio_output.io_errors(result.said),
                       verify_errors=fio_output.verify_errors(result.said), layer="fio-verify")


def filename(subject: Subject) -> str:
    """What fio works on: a file on the file system on top, or the device itself."""
    return f"{subject.mountpoint}/{FILE}" if subject.mountpoint else subject.device


def check(spec: Fio, subject: Subject) -> None:
    """Raises UserError for what fio would not verify, or not do on zones."""
    if spec.verify_only and (spec.verify == "none" or spec.rw not in ("write", "randwrite", "read")):
        raise UserError(
            "fio: verify_only reads all of `size`, so it needs a checksum to verify and an earlier job that wrote all "
            "of it: use rw=write or rw=randwrite there, and the same verify in both.")
    if spec.verify != "none" and not spec.verify_only and spec.rw in ("read", "randread"):
        raise UserError(f"fio: rw={spec.rw} writes nothing that could be verified. Use verify_only, or verify=none.")
    if spec.size % spec.bs:
        raise UserError(f"fio: size={spec.size} is not a whole number of blocks of bs={spec.bs}.")
    if subject.zone_bytes and spec.size % subject.zone_bytes:
        raise UserError(
            f"fio: on zones of {subject.zone_bytes} bytes the size must be a whole number of zones, not {spec.size}.")
    if spec.reads > 100:
        raise UserError(f"fio: reads={spec.reads} is not a percentage.")


def job_file(spec: Fio, subject: Subject, seconds: float) -> str:
    """The job file; seed and pattern are left to fio's environment."""
    values: Mapping[str, object] = {
        "spec": spec, "name": "farm", "zone_bytes": subject.zone_bytes, "seconds": max(1, round(seconds)),
        "direct": 0 if spec.buffered else 1, "filename": filename(subject),
    }
    return re.sub(r"\n{2,}", "\n", _TEMPLATES.get_template("fio.fio.j2").render(values))
