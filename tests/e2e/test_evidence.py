"""What is left of a failure on a real guest: its memory read, its stacks decoded, and an end when nobody answers."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import DEBUG

pytestmark = pytest.mark.e2e

HEAD = '''
import os
import signal

import pytest

pytestmark = pytest.mark.machine(cpus=2, memory="512M")
'''
# A task that sleeps for ever in LKDTM, a write that a suspended device holds back, and reads that the disk does not
# answer; then a warning, because the kernel's own watchdog for hung tasks would take minutes here.
BLOCKED = HEAD + '''
CRASH = "/sys/kernel/debug/provoke-crash/DIRECT"
SLOW = dict.fromkeys(("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0) | {"device": "disk1", "bps": 512}

@pytest.mark.namespace("data", size="64M")
@pytest.mark.namespace("slow", size="64M")
@pytest.mark.stack("data / linear")
def test_blocked(target, stack):
    from farm.deadline import Deadline

    target.qmp.execute("block_set_io_throttle", SLOW, deadline=Deadline(10))
    target.run(["dmsetup", "suspend", "--noflush", "--nolockfs", os.path.basename(stack.device)])
    target.run(f"""(
        dd if=/dev/zero of={stack.device} bs=4096 count=1 seek=1000 oflag=direct &
        dd if={target.block_device('slow')} of=/dev/null bs=4096 count=9 skip=500 iflag=direct &
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
def result(farm_run: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return farm_run(BLOCKED, "--dump-memory", *DEBUG)["test_blocked"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def blocked(result: dict[str, Any]) -> str:
    return str((result["directory"] / "evidence/blocked-tasks.txt").read_text())


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

    def test_the_report_is_decoded_beside_the_raw_one(self, result: dict[str, Any]) -> None:
        (raw,) = result["directory"].glob("reports/01-warning.txt")
        decoded = raw.with_suffix("").with_suffix(".decoded.txt").read_text()
        assert not re.search(r"\w+ \(\S+:\d+", raw.read_text())
        assert re.search(r"lkdtm_WARNING\+0x\w+/0x\w+ \(drivers/misc/lkdtm/bugs\.c:\d+\)", decoded)

    def test_the_frames_of_the_finding_have_their_places(self, result: dict[str, Any]) -> None:
        places = {frame["function"]: frame["place"] for frame in result["findings"][0]["frames"]}
        assert re.fullmatch(r"fs/read_write\.c:\d+", places["vfs_write"])

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
        assert self.read(result, "blocked-tasks.txt").startswith("not dumped: QEMU is stopped")
        assert not (result["directory"] / "evidence/vmcore").exists()

    def test_ssh_that_never_answers(self, results: dict[str, Any]) -> None:
        result = results["test_ssh_that_accepts_and_never_answers"]
        assert result["durations"]["evidence"] <= 60
        assert self.read(result, "dmesg.txt") == "not collected: no answer within 8 s\n"
        assert "CPU#1" in self.read(result, "registers.txt")
        assert "sysrq: Show Blocked State" in self.read(result, "sysrq-w.txt")
        assert "built without debug information" in self.read(result, "blocked-tasks.txt")
        assert (result["directory"] / "evidence/vmcore").stat().st_size > 64 << 20
