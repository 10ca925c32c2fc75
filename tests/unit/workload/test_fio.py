"""fio: what is asked for, the job file, and reading what fio 3.33 said in a guest."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import UserError
from farm.workload import Directory, Fio, IoError, VerifyError
from farm.workload.fio import check, job_file
from farm.workload.fio_output import io_errors, totals, verify_errors


@dataclass(frozen=True)
class Place:
    device: str = "/dev/mapper/farm-data-1-crypt"
    mountpoint: str = ""
    zone_bytes: int = 0


DEVICE = Place()
ZONES = Place(zone_bytes=16 << 20)


def test_a_pass_writes_and_verifies_all_of_its_size() -> None:
    lines = job_file(Fio(rw="randwrite", size=8 << 20), DEVICE, 10).splitlines()
    assert {"rw=randwrite", "size=8388608", "verify=crc32c", "verify_fatal=1", "direct=1", "bs=4096",
            "randseed=${FARM_SEED}", "filename=/dev/mapper/farm-data-1-crypt"} <= set(lines)
    assert not [line for line in lines if line.startswith(("time_based", "runtime", "zone", "fsync", "rwmixread"))]


def test_verifying_only_reads() -> None:
    lines = job_file(Fio(rw="randwrite", verify_only=True), DEVICE, 10).splitlines()
    assert "rw=read" in lines
    assert "verify=crc32c" in lines


def test_load_without_verification_runs_on_the_clock() -> None:
    lines = job_file(Fio(rw="randrw", verify="none", reads=70, fsync=8), DEVICE, 7.4).splitlines()
    assert {"time_based=1", "runtime=7", "rwmixread=70", "fsync=8"} <= set(lines)
    assert not [line for line in lines if line.startswith("verify")]


def test_zones_and_patterns_and_files() -> None:
    assert "zonemode=zbd\nzonesize=16777216\n" in job_file(Fio(), ZONES, 1)
    assert "verify_pattern=${FARM_PATTERN}%o\n" in job_file(Fio(verify="pattern"), DEVICE, 1)
    assert "filename=/tmp/farm-fio.data\n" in job_file(Fio(buffered=True), Directory("/tmp"), 1)
    assert "direct=0\n" in job_file(Fio(buffered=True), Directory("/tmp"), 1)


def test_jobs_side_by_side_have_bytes_of_their_own() -> None:
    assert "numjobs=4\noffset_increment=16777216\n" in job_file(Fio(jobs=4), DEVICE, 1)
    assert "iodepth=8\niodepth_batch=4\n" in job_file(Fio(batch=4), DEVICE, 1)
    assert "numjobs" not in job_file(Fio(), DEVICE, 1)


@pytest.mark.parametrize(("spec", "place", "said"), [
    (Fio(rw="randrw", verify_only=True), DEVICE, "verify_only reads all of `size`"),
    (Fio(verify="none", verify_only=True), DEVICE, "needs a checksum"),
    (Fio(rw="read"), DEVICE, "writes nothing that could be verified"),
    (Fio(size=10_000), DEVICE, "not a whole number of blocks"),
    (Fio(size=8 << 20), ZONES, "whole number of zones"),
    (Fio(reads=101), DEVICE, "not a percentage"),
])
def test_refuses_what_could_not_be_verified(spec: Fio, place: Place, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check(spec, place)


GUARD = ("fio: io_u error on file /dev/nvme0n1: Invalid or incomplete multibyte or wide character: "
         "read offset=6291456, buflen=4096\n")
MAGIC = ("verify: bad magic header 49c7, wanted acca at file /mnt/farm-pl-3-ext4/f offset 6291456, length 4096 "
         "(requested block: offset=6291456, length=4096)\n")
CRC = """\
crc32c: verify failed at file /dev/nvme3n1 offset 65536, length 4096 (requested block: offset=65536, length=4096)
       Expected CRC: f25e435b
       Received CRC: d6e86771
"""
HEADER = ("verify: bad header crc 3c7c4a50, calculated 3d0a70de at file /dev/nvme3n1 offset 81920, length 4096 "
          "(requested block: offset=81920, length=4096)\n")
PATTERN = """\
fio: got pattern '07', wanted '0f'. Bad bits 1
fio: bad pattern block offset 2
pattern: verify failed at file /dev/mapper/farm-p1-1-linear offset 20480, length 20480 (requested block: offset=20480)
fio: verify type mismatch (55303 media, 18 given)
"""


@pytest.mark.parametrize(("said", "error"), [
    (MAGIC, VerifyError("bad magic header", "/mnt/farm-pl-3-ext4/f", 6291456)),
    (CRC, VerifyError("crc32c verify failed", "/dev/nvme3n1", 65536)),
    (HEADER, VerifyError("bad header crc", "/dev/nvme3n1", 81920)),
    (PATTERN, VerifyError("pattern verify failed", "/dev/mapper/farm-p1-1-linear", 20480)),
])
def test_finds_wrong_data(said: str, error: VerifyError) -> None:
    assert verify_errors(f"noise\n{said}noise\n") == (error,)
    assert io_errors(said) == ()


def test_finds_failed_io_by_errno() -> None:
    assert io_errors(GUARD) == (IoError("EILSEQ", "read", "/dev/nvme0n1", 6291456, 4096),)
    assert io_errors(GUARD.replace("Invalid or incomplete multibyte or wide character", "Input/output error"))[
        0].errno == "EIO"
    assert io_errors(GUARD.replace("Invalid or incomplete", "Curious"))[0].errno == ""
    assert verify_errors(GUARD) == ()


JSON = """\
fio: a note before
{
  "fio version" : "fio-3.33",
  "jobs" : [
    {
      "jobname" : "farm",
      "error" : 0,
      "read" : {
        "io_bytes" : 8388608,
        "total_ios" : 2048
      },
      "write" : {
        "io_bytes" : 8388608,
        "total_ios" : 2048
      },
      "trim" : {
      }
    }
  ]
}
"""


def test_adds_up_all_passes() -> None:
    assert totals(JSON) == (1, 4096, 16777216)
    assert totals(JSON + JSON) == (2, 8192, 33554432)
    assert totals(JSON + JSON[: len(JSON) // 2]) == (1, 4096, 16777216)
    assert totals("") == (0, 0, 0)


@given(st.text(max_size=300))
def test_any_output_is_read(printed: str) -> None:
    io_errors(printed)
    verify_errors(printed)
    totals("{\n" + printed + "\n}\n" + JSON)
