"""A real guest crashed in each way that the monitor has to notice; every one fails its testcase with the right name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

# Name of the inner testcase -> what is done to the guest. LKDTM is the kernel's own crash test
# (drivers/misc/lkdtm); the sleep gives a watchdog time to notice.
CRASH = "/sys/kernel/debug/provoke-crash/DIRECT"
INNER = f'''
import os
import signal
import time

import pytest

pytestmark = pytest.mark.machine(cpus=2, memory="512M")

@pytest.mark.parametrize("crash", ["WARNING", "BUG", "EXCEPTION", "PANIC", "SOFTLOCKUP", "HARDLOCKUP", "HUNG_TASK"])
def test_lkdtm(target, crash):
    target.run(f"echo {{crash}} >{CRASH} & sleep 300", check=False)

def test_sysrq(target):
    target.run("echo c >/proc/sysrq-trigger", check=False)

def test_reboot(target):
    target.run("echo b >/proc/sysrq-trigger; sleep 60", check=False)

def test_ssh_lost(target):
    target.run("kill -9 $(pidof sshd); sleep 60", check=False)

@pytest.mark.namespace("data", size="64M")
@pytest.mark.stack("data / linear")
def test_no_progress(target, stack, fio):
    with fio.running(stack, duration=300, verify="none", rw="randread"):
        time.sleep(3)
        # Reads wait in the device-mapper target without a task in uninterruptible sleep: asynchronous I/O.
        target.run(["dmsetup", "suspend", "--nolockfs", os.path.basename(stack.device)])

def test_qemu_killed(target):
    os.kill(target.pid, signal.SIGKILL)
    target.run(["sleep", "60"])

@pytest.mark.namespace("data", size="64M", pi=1, ms=8)
@pytest.mark.stack("data")
def test_unannounced_corruption(stack, fio, disk):
    fio(stack, duration=0)
    disk.flip("data", sector=10240)
    fio(stack, verify_only=True)

@pytest.mark.namespace("data", size="64M", pi=1, ms=8)
@pytest.mark.stack("data")
def test_corruption_that_did_not_happen(stack, fio, expect):
    fio(stack, duration=0)
    with expect("pi-guard"):
        fio(stack, verify_only=True)

def test_oom(target):
    target.run(["stress-ng", "--vm", "2", "--vm-bytes", "900M", "--vm-keep", "--timeout", "20s"], check=False)

def test_nothing(target):
    target.run(["sleep", "1"])
'''

# Name -> outcome, kind of the first report ("" for none), and what the title has to say.
EXPECTED = {
    "test_lkdtm-WARNING": ("fail", "warning", "lkdtm_WARNING"),
    "test_lkdtm-BUG": ("fail", "kernel-bug", "lkdtm_BUG"),
    "test_lkdtm-EXCEPTION": ("fail", "oops", "lkdtm_EXCEPTION"),
    "test_lkdtm-PANIC": ("fail", "panic", "dumptest"),
    "test_lkdtm-SOFTLOCKUP": ("fail", ("soft-lockup", "rcu-stall"), "lkdtm_SOFTLOCKUP"),
    "test_lkdtm-HARDLOCKUP": ("fail", ("rcu-stall", "hard-lockup"), "lkdtm_HARDLOCKUP"),
    "test_lkdtm-HUNG_TASK": ("fail", "hung-task", "lkdtm_HUNG_TASK"),
    "test_sysrq": ("fail", "panic", "sysrq triggered crash"),
    "test_reboot": ("fail", "reboot", "reset"),
    "test_ssh_lost": ("fail", "", "ssh"),
    "test_no_progress": ("fail", ("no-progress", "hung-task"), ""),
    "test_qemu_killed": ("error", "", "SIGKILL"),
    "test_unannounced_corruption": ("fail", "verification", "uard"),
    "test_corruption_that_did_not_happen": ("fail", "", "unnoticed"),
    "test_oom": ("fail", "oom", ""),
    "test_nothing": ("pass", "", ""),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, dict]:
    directory = tmp_path_factory.mktemp("monitor")
    (directory / "test_in.py").write_text(INNER)
    done = subprocess.run(
        [sys.executable, "-m", "farm", "run", "test_in.py", "--runs-dir", "runs"], cwd=directory, check=False,
        capture_output=True, text=True, timeout=3000, env=dict(os.environ))
    print(done.stdout[-8000:], done.stderr[-2000:])
    assert done.returncode == 1
    return {path.parent.name.partition(".")[2]: {**json.loads(path.read_text()), "directory": path.parent}
            for path in Path(directory).glob("runs/*/*/result.json")}


@pytest.mark.parametrize("name", EXPECTED)
def test_seen_and_named(results, name):
    outcome, kinds, words = EXPECTED[name]
    result = results[name]
    assert result["outcome"] == outcome, result["title"]
    assert words in result["title"]
    found = [finding["kind"] for finding in result["findings"] if not finding["suppressed"]]
    if kinds:
        assert found[0] in kinds if isinstance(kinds, tuple) else found[0] == kinds, found
    else:
        assert found == []


@pytest.mark.parametrize("name", [name for name, (outcome, *_) in EXPECTED.items() if outcome == "fail"])
def test_evidence_is_there_and_quick(results, name):
    result = results[name]
    assert result["durations"]["evidence"] <= 60
    assert (result["directory"] / "evidence/registers.txt").stat().st_size > 0


def test_every_inner_testcase_is_expected(results):
    assert results.keys() == EXPECTED.keys()
