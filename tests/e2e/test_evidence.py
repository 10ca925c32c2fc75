"""What is left of a failure on a real guest: its memory read, its stacks decoded, and an end when nobody answers."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farm.enter import FILE, Entrance
from tests.e2e.conftest import DEBUG

pytestmark = pytest.mark.e2e

FARM = [sys.executable, "-m", "farm"]
HEAD = '''
import os
import signal

import pytest

pytestmark = pytest.mark.machine(cpus=2, memory="512M")
'''
# A task that sleeps for ever in LKDTM, a write that a suspended device holds back, reads that the disk does not
# answer, also those of dm-crypt on dm-integrity; then a warning, because the kernel's own watchdog for hung tasks would
# take minutes here.
BLOCKED = HEAD + '''
CRASH = "/sys/kernel/debug/provoke-crash/DIRECT"
SLOW = dict.fromkeys(("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0) | {"bps": 512}

@pytest.mark.namespace("data", size="64M")
@pytest.mark.namespace("slow", size="64M")
@pytest.mark.namespace("sealed", size="64M", block=4096)
@pytest.mark.namespace("pi", size="32M", block=512, pi=1, ms=8)
@pytest.mark.stack("data / linear")
@pytest.mark.stack("sealed / integrity / crypt:sector_size=4096")
def test_blocked(target, stacks):
    from farm.deadline import Deadline

    held, sealed = stacks["data"].device, stacks["sealed"].device
    for disk in ("disk1", "disk2"):
        target.qmp.execute("block_set_io_throttle", SLOW | {"device": disk}, deadline=Deadline(10))
    target.run(["dmsetup", "suspend", "--noflush", "--nolockfs", os.path.basename(held)])
    target.run(f"""(
        dd if=/dev/zero of={held} bs=4096 count=1 seek=1000 oflag=direct &
        dd if={target.block_device('slow')} of=/dev/null bs=4096 count=9 skip=500 iflag=direct &
        dd if=/dev/zero of={sealed} bs=4096 count=9 seek=700 oflag=direct &
        dd if={sealed} of=/dev/null bs=4096 count=9 skip=300 iflag=direct &
        echo HUNG_TASK >{CRASH} &
        sleep 3; echo WARNING >{CRASH}) >/dev/null 2>&1 </dev/null; sleep 60""", check=False)
'''
SILENT = HEAD + '''
def test_stopped_qemu(target):
    os.kill(target.pid, signal.SIGSTOP)
    raise AssertionError("found by the testcase")

def test_ssh_that_accepts_and_never_answers(target):
    target.run("(sleep 0.2; kill -STOP $(pidof sshd)) >/dev/null 2>&1 &")
    target.run("sleep 1; echo WARNING >/sys/kernel/debug/provoke-crash/DIRECT", check=False)
'''


@pytest.fixture(scope="module")
def visitors() -> dict[str, "subprocess.CompletedProcess[str]"]:
    """What gdb and `farm dump` said of the guest while it was kept."""
    return {}


@pytest.fixture(scope="module")
def result(
    farm_run: Callable[..., dict[str, Any]], visitors: dict[str, "subprocess.CompletedProcess[str]"]
) -> dict[str, Any]:
    def visit(cell: Path) -> None:
        try:
            line = shlex.split(Entrance(**json.loads((cell / FILE).read_text())).gdb_line)
            visitors["gdb"] = said([*line, "-nx", "-batch", "-ex", "lx-ps", "-ex", "lx-dmesg", "-ex", "detach"])
            visitors["dump"] = said([*FARM, "dump", "live", "--runs-dir", str(cell.parents[1])])
        finally:
            said([*FARM, "shell", "--attach", str(cell), "--end"])

    return farm_run(  # type: ignore[no-any-return]
        BLOCKED, "--dump-memory", "--keep-on-failure", *DEBUG, visit=visit)["test_blocked"]


def said(argv: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def blocked(result: dict[str, Any]) -> str:
    return str((result["directory"] / "evidence/dump.txt").read_text())


@pytest.fixture(scope="module")
def results(farm_run: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return farm_run(SILENT, "--dump-memory")


class TestWithDebugInformation:
    def test_it_stays_in_time(self, result: dict[str, Any]) -> None:
        assert result["title"] == "WARNING in lkdtm_WARNING"
        assert result["durations"]["evidence"] <= 60

    def test_blocked_tasks_stand_at_file_and_line(self, blocked: str) -> None:
        assert re.search(r"lkdtm_HUNG_TASK \(drivers/misc/lkdtm/bugs\.c:\d+\)", blocked)
        assert re.search(r"submit_bio_wait \(block/bio\.c:\d+\)", blocked)
        assert "/build/" not in blocked

    def test_the_bio_that_a_suspended_device_holds_back(self, blocked: str) -> None:
        assert re.search(r"has bio \w+ WRITE of 8 sectors at sector 8000 of dm-\d+,.*`bio` of submit_bio_wait", blocked)
        assert re.search(r"^dm-\d+: bio \w+ WRITE of 8 sectors at sector 8000", blocked, re.MULTILINE)

    def test_the_request_that_the_disk_does_not_answer(self, blocked: str) -> None:
        assert re.search(
            r"^nvme\w+: request \w+ tag \d+ READ of 8 sectors at sector 40\d\d, first bio", blocked, re.MULTILINE)

    def test_dm_crypt_over_dm_integrity(self, blocked: str) -> None:
        integrity, crypt = (blocked.partition(f" {name}")[2].partition("\ndm-")[0] for name in (
            "farm-sealed-1-integrity", "farm-sealed-2-crypt"))
        assert "(CRYPT-INTEGRITY-farm-sealed-1-integrity), active\n" in integrity
        assert re.search(r"^  0 1\d+ integrity\n    mode journal, tag size 4, checksum crc32c, blocks of 4096 bytes, "
                         r"metadata on (nvme\w+)\n    journal: .*  on \1\b", integrity, re.MULTILINE | re.DOTALL)
        assert re.search(r"in progress: 8 sectors at sector 24\d\d", integrity)
        assert re.search(r"^    cipher aes-xts-plain64, by \S*xts\S*aes\S*, sector size 4096, IV offset 0", crypt,
                         re.MULTILINE)
        assert "key: valid, 64 bytes" in crypt
        assert re.search(r"^  on dm-\d+$", crypt, re.MULTILINE)

    def test_what_waits_for_them(self, blocked: str) -> None:
        assert re.search(
            r"has bio \w+ READ of 8 sectors at sector 24\d\d of dm-\d+,.*`bio` of submit_bio_wait", blocked)
        assert re.search(r"^nvme\w+: request .* of nvme\w+, ends in integrity_end_io$", blocked, re.MULTILINE)
        assert re.search(r"^dm-\d+: \d+ sectors, blocks of 4096 bytes, in flight: 1 reads", blocked, re.MULTILINE)

    def test_profiles_of_integrity(self, blocked: str) -> None:
        assert "integrity: T10-DIF-TYPE1-CRC, 8 bytes for each 512, tag size 2, flags: " in blocked

    def test_it_can_be_read_again_later(self, result: dict[str, Any], blocked: str) -> None:
        done = said([*FARM, "dump", str(result["directory"].parent)])
        assert (done.stdout, done.stderr) == (blocked, "")
        # The test's own program has a build id too.
        other = said([*FARM, "dump", str(result["directory"]), "--vmlinux", shutil.which("ls") or ""])
        assert other.returncode == 129
        assert "is of another build" in other.stderr

    def test_a_guest_that_runs_can_be_read(
        self, result: dict[str, Any], visitors: dict[str, "subprocess.CompletedProcess[str]"]
    ) -> None:
        done = visitors["dump"]
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"lkdtm_HUNG_TASK \(drivers/misc/lkdtm/bugs\.c:\d+\)", done.stdout)
        assert "cipher aes-xts-plain64, by" in done.stdout
        assert sorted(path.name for path in result["directory"].glob("*dump*")) == []

    def test_gdb_has_the_kernels_own_commands(
        self, result: dict[str, Any], visitors: dict[str, "subprocess.CompletedProcess[str]"]
    ) -> None:
        done = visitors["gdb"]
        assert re.search(r"^0x[0-9a-f]+ +1 +\S*init", done.stdout, re.MULTILINE), done.stdout[:2000] + done.stderr
        assert re.search(r"^0x[0-9a-f]+ +\d+ +dmcrypt_write", done.stdout, re.MULTILINE)
        assert "Linux version 6.12" in done.stdout
        assert "lkdtm_WARNING" in done.stdout

    def test_the_report_is_decoded_beside_the_raw_one(self, result: dict[str, Any]) -> None:
        (raw,) = result["directory"].glob("reports/01-warning.txt")
        decoded = raw.with_suffix("").with_suffix(".decoded.txt").read_text()
        assert not re.search(r"\w+ \(\S+:\d+", raw.read_text())
        assert re.search(r"lkdtm_WARNING\+0x\w+/0x\w+ \(drivers/misc/lkdtm/bugs\.c:\d+\)", decoded)

    def test_the_frames_of_the_finding_have_their_places(self, result: dict[str, Any]) -> None:
        places = {frame["function"]: frame["place"] for frame in result["findings"][0]["frames"]}
        assert re.fullmatch(r"fs/read_write\.c:\d+", places["vfs_write"])

    def test_where_tasks_stood_in_short(self, result: dict[str, Any]) -> None:
        said = (result["directory"] / "evidence/stacks.txt").read_text()
        assert re.search(r"^blocked in lkdtm_HUNG_TASK: \w+ \(\d+\)$", said, re.MULTILINE), said
        assert re.search(r"^    lkdtm_HUNG_TASK\+0x\w+/0x\w+ \(drivers/misc/lkdtm/bugs\.c:\d+\)", said, re.MULTILINE)

    def test_each_answer_has_a_file(self, result: dict[str, Any]) -> None:
        read = {path.name: path.read_text() for path in (result["directory"] / "evidence").glob("*.txt")}
        assert not [name for name, text in read.items() if text.startswith("not collected")]
        assert "nvme" in read["block.txt"]
        assert "No such file" not in "".join(read.values())
        for name, word in {
            "sysrq-w.txt": "lkdtm_HUNG_TASK", "sysrq-l.txt": "NMI backtrace", "sysrq-m.txt": "Mem-Info",
            "sysrq-t.txt": "task:", "registers.txt": "CPU#1", "dmsetup.txt": "linear", "meminfo.txt": "MemFree",
            "vmstat.txt": "nr_free_pages", "slabinfo.txt": "slabdata", "swaps.txt": "Filename", "crypto.txt": "driver",
            "pressure.txt": "/proc/pressure/memory", "dmesg.txt": "lkdtm_WARNING", "processes.txt": "PID",
        }.items():
            assert word in read[name], (name, read[name][:500])


class TestWhoDoesNotAnswer:
    def read(self, result: dict[str, Any], name: str) -> str:
        return str((result["directory"] / "evidence" / name).read_text())

    def test_a_stopped_qemu(self, results: dict[str, Any]) -> None:
        result = results["test_stopped_qemu"]
        assert result["durations"]["evidence"] <= 60
        for name in ("registers.txt", "dmesg.txt", "sysrq-w.txt"):
            assert self.read(result, name).startswith("not collected: QEMU is stopped")
        assert self.read(result, "dump.txt").startswith("not dumped: QEMU is stopped")
        assert not (result["directory"] / "evidence/vmcore").exists()

    def test_ssh_that_never_answers(self, results: dict[str, Any]) -> None:
        result = results["test_ssh_that_accepts_and_never_answers"]
        assert result["durations"]["evidence"] <= 60
        assert self.read(result, "dmesg.txt") == "not collected: no answer within 8 s\n"
        assert "CPU#1" in self.read(result, "registers.txt")
        assert "sysrq: Show Blocked State" in self.read(result, "sysrq-w.txt")
        assert "built without debug information" in self.read(result, "dump.txt")
        assert (result["directory"] / "evidence/vmcore").stat().st_size > 64 << 20
