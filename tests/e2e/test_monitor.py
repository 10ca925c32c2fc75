"""A real guest that dies in every way the monitor has to notice, in one run of many cells.

Each row says whom the death blames, what it is called, in which function it is, and the verdict has to stand within
five seconds of the signal that decided.
"""

from dataclasses import dataclass

import pytest

pytestmark = pytest.mark.e2e

# The figure that issue 3 promises, in seconds.
LATENCY = 5.0
# LKDTM is the kernel's own crash test (drivers/misc/lkdtm); the sleep gives a watchdog time to notice.
CRASH = "/sys/kernel/debug/provoke-crash/DIRECT"
INNER = f'''
import os
import signal
import time

import pytest

from farm.deadline import Deadline

pytestmark = pytest.mark.machine(cpus=1, memory="512M")

@pytest.fixture
def resting(cell, target):
    """What follows only waits for a watchdog, so that others may have its CPU."""
    cell.rest()

def crash(target, how):
    target.run(f"echo {{how}} >{CRASH} & sleep 3000", check=False)

@pytest.mark.usefixtures("resting")
@pytest.mark.parametrize("how", ["WARNING", "BUG", "EXCEPTION", "PANIC", "HUNG_TASK"])
def test_lkdtm(target, how):
    crash(target, how)

@pytest.mark.machine(cpus=2)
@pytest.mark.parametrize("how", ["SOFTLOCKUP", "HARDLOCKUP"])
def test_rcu_stall(target, how):
    crash(target, how)

# The watchdogs that would be first say nothing.
@pytest.mark.machine(append=("rcupdate.rcu_cpu_stall_suppress=1", "workqueue.watchdog_thresh=0"))
def test_soft_lockup(target):
    crash(target, "SOFTLOCKUP")

def test_silent_freeze(target):
    crash(target, "HARDLOCKUP")

@pytest.mark.machine(append=("init=/bin/sh", "--", "-c", '"mount -t sysfs s /sys; '
                             'mount -t debugfs d /sys/kernel/debug; echo HARDLOCKUP >{CRASH}"'))
def test_freeze_in_boot(target):
    pass

@pytest.mark.machine(append=("init=/bin/sleep", "--", "3000"))
def test_boot_hang(target):
    pass

@pytest.mark.machine(append=("init=/bin/sh", "--", "-c", '"mount -t proc p /proc; echo b >/proc/sysrq-trigger"'))
def test_boot_loop(target):
    pass

def test_sysrq(target):
    target.run("echo c >/proc/sysrq-trigger", check=False)

def test_reboot(target):
    target.run("echo b >/proc/sysrq-trigger; sleep 3000", check=False)

# One that waits for long, one that does not: pytest-xdist hands them out in pairs.
@pytest.mark.usefixtures("resting")
def test_ssh_lost(target):
    target.run("kill -9 $(pidof sshd); sleep 3000", check=False)

def test_qemu_killed(target):
    os.kill(target.pid, signal.SIGKILL)
    target.run(["sleep", "3000"])

@pytest.mark.usefixtures("resting")
def test_ssh_silent(target):
    target.run("pkill -STOP sshd; while :; do echo alive >/dev/kmsg; sleep 1; done", check=False)

@pytest.mark.usefixtures("resting")
def test_qemu_stopped(target):
    os.kill(target.pid, signal.SIGSTOP)
    target.run(["sleep", "3000"])

@pytest.mark.namespace("data", size="64M")
@pytest.mark.stack("data / linear")
def test_no_progress(cell, target, stack, fio):
    with fio.running(stack, duration=3000, verify="none", rw="randread"):
        time.sleep(3)
        # Reads wait in the device-mapper target without a task in uninterruptible sleep: asynchronous I/O.
        target.run(["dmsetup", "suspend", "--nolockfs", os.path.basename(stack.device)])
        cell.rest()

@pytest.mark.usefixtures("resting")
def test_cpus_stopped(target):
    target.qmp.execute("stop", deadline=Deadline(5))
    target.run(["sleep", "3000"])

@pytest.mark.usefixtures("resting")
def test_killed_in_vain(target, background):
    target.run("echo 0 >/proc/sys/kernel/hung_task_timeout_secs")
    with background("echo HUNG_TASK >/sys/kernel/debug/provoke-crash/DIRECT"):
        target.run("until grep -qs lkdtm_HUNG_TASK /proc/[0-9]*/wchan; do sleep 0.1; done")

@pytest.mark.namespace("data", size="64M", pi=1, ms=8)
@pytest.mark.stack("data")
def test_unannounced_corruption(stack, fio, disk):
    fio(stack, duration=0)
    disk.flip("data", sector=10240)
    fio(stack, verify_only=True)

@pytest.mark.namespace("data", size="64M", block=4096)
@pytest.mark.stack("data / luks2:integrity=hmac-sha256")
def test_unannounced_aead_corruption(target, stack, fio, disk):
    fio(stack, duration=0)
    spot = stack.sector_of(5 << 20)
    stack.close()
    disk.flip("data", sector=spot.sector, byte=spot.byte)
    stack.open()
    fio(stack, verify_only=True)

@pytest.mark.namespace("data", size="64M", pi=1, ms=8)
@pytest.mark.stack("data")
def test_corruption_that_did_not_happen(stack, fio, expect):
    fio(stack, duration=0)
    with expect("pi-guard"):
        fio(stack, verify_only=True)

def test_oom(target):
    target.run(["stress-ng", "--vm", "2", "--vm-bytes", "900M", "--vm-keep"], check=False)

def test_nothing(target):
    target.run(["sleep", "1"])
'''


@dataclass(frozen=True)
class Row:
    """How a cell has to end."""

    outcome: str
    # Kind and function of the first report; no report at all when there is no kind.
    kind: str = ""
    function: str = ""
    # Stands in the title.
    words: str = ""
    # The layer that reported.
    layer: str = ""


EXPECTED = {
    "test_lkdtm-WARNING": Row("fail", "warning", "lkdtm_WARNING", "WARNING in lkdtm_WARNING"),
    "test_lkdtm-BUG": Row("fail", "kernel-bug", "lkdtm_BUG", "lkdtm_BUG"),
    "test_lkdtm-EXCEPTION": Row("fail", "oops", "lkdtm_EXCEPTION", "lkdtm_EXCEPTION"),
    "test_lkdtm-PANIC": Row("fail", "panic", "lkdtm_PANIC", "dumptest"),
    # A CPU that spins keeps RCU from ending its grace period, and RCU's watchdog is the first.
    "test_rcu_stall-SOFTLOCKUP": Row("fail", "rcu-stall", "lkdtm_SOFTLOCKUP", "rcu detected stall in"),
    "test_rcu_stall-HARDLOCKUP": Row("fail", "rcu-stall", "lkdtm_HARDLOCKUP", "rcu detected stall in"),
    "test_soft_lockup": Row("fail", "soft-lockup", "lkdtm_SOFTLOCKUP", "soft lockup in"),
    "test_lkdtm-HUNG_TASK": Row("fail", "hung-task", "lkdtm_HUNG_TASK", "task hung in"),
    # No watchdog of a guest survives interrupts that are off on its only CPU.
    "test_silent_freeze": Row("fail", "silence", "lkdtm_HARDLOCKUP", "silent freeze in"),
    "test_freeze_in_boot": Row("fail", "silence", "lkdtm_HARDLOCKUP", "silent freeze in"),
    "test_boot_hang": Row("fail", "silence", "", "boot hung"),
    "test_boot_loop": Row("fail", "reboot", "", "system reset by sysrq"),
    "test_sysrq": Row("fail", "panic", "sysrq_handle_crash", "sysrq triggered crash"),
    "test_reboot": Row("fail", "reboot", "", "system reset by sysrq"),
    "test_ssh_lost": Row("fail", words="ssh"),
    "test_ssh_silent": Row("fail", "silence", "", "no answer over ssh"),
    "test_no_progress": Row("fail", "no-progress", "", "no progress in fio"),
    "test_killed_in_vain": Row("fail", words="was killed and does not end"),
    "test_qemu_killed": Row("error", words="SIGKILL"),
    "test_qemu_stopped": Row("error", words="QEMU was stopped by a signal"),
    "test_cpus_stopped": Row("error", words="stopped over QMP"),
    "test_unannounced_corruption": Row("fail", "verification", "", "uard", "pi-guard"),
    "test_unannounced_aead_corruption": Row("fail", "verification", "", "AEAD", "dm-crypt-aead"),
    "test_corruption_that_did_not_happen": Row("fail", words="unnoticed"),
    "test_oom": Row("fail", "oom"),
    "test_nothing": Row("pass"),
}


@pytest.fixture(scope="module")
def results(farm_run) -> dict[str, dict]:
    """Several cells at a time: most of them only wait for a watchdog."""
    return farm_run(INNER, "-n", "8")


@pytest.mark.parametrize("name", EXPECTED)
def test_seen_and_named(results, name):
    expected, result = EXPECTED[name], results[name]
    assert result["outcome"] == expected.outcome, result["title"]
    assert expected.words in result["title"]
    found = [finding for finding in result["findings"] if not finding["suppressed"]]
    assert [finding["kind"] for finding in found[:1]] == ([expected.kind] if expected.kind else [])
    if found:
        assert found[0]["function"] == expected.function
        assert found[0]["layer"] == expected.layer


@pytest.mark.parametrize("name", [name for name, row in EXPECTED.items() if row.outcome != "pass"])
def test_the_verdict_stands_in_time(results, name):
    assert 0 <= results[name]["durations"]["verdict"] <= LATENCY


@pytest.mark.parametrize("name", [name for name, row in EXPECTED.items() if row.outcome == "fail"])
def test_evidence_is_there_and_quick(results, name):
    result = results[name]
    assert result["durations"]["evidence"] <= 60
    assert (result["directory"] / "evidence/registers.txt").stat().st_size > 0


@pytest.mark.parametrize("name", ["test_reboot", "test_cpus_stopped"])
def test_cpus_that_stand_still_are_asked_nothing(results, name):
    evidence = results[name]["directory"] / "evidence"
    for file in ("sysrq-w.txt", "dmesg.txt"):
        assert (evidence / file).read_text().startswith("not collected: its CPUs stand still (VM status: paused")


def test_a_hang_that_no_watchdog_saw_is_known_by_its_stack(results):
    said = (results["test_killed_in_vain"]["directory"] / "evidence/stacks.txt").read_text()
    assert "blocked in lkdtm_HUNG_TASK: bash (" in said


def test_every_inner_testcase_is_expected(results):
    assert results.keys() == EXPECTED.keys()
