"""A real guest of the debug flavor, brought to each of the reports that only its checks make, and to leaks.

One kernel for all: the debug flavor, with crash types that lkdtm lacks and a dm-linear that leaks.
"""

import pytest

from tests.e2e.conftest import DEBUG

pytestmark = pytest.mark.e2e

# The watchdogs are made quick, for what is tested is what they say; drivers/misc/lkdtm is the kernel's own crash test.
INNER = '''
import pytest

pytestmark = pytest.mark.machine(cpus=1, memory="512M")
CRASH = "/sys/kernel/debug/provoke-crash/DIRECT"
QUICK = """
echo 8 >/sys/module/workqueue/parameters/watchdog_thresh
echo 0 >/sys/module/workqueue/parameters/cpu_intensive_thresh_us
echo 8 >/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout
"""

@pytest.mark.parametrize("crash", ["LOCK_INVERSION", "ATOMIC_SLEEP", "READ_AFTER_FREE", "ARRAY_BOUNDS"])
def test_lkdtm(target, crash):
    target.run(f"{QUICK} echo {crash} >{CRASH} & sleep 300", check=False)

# Another CPU than the one that stands still is there to tell of it; beside that, it has nothing to do.
@pytest.mark.machine(cpus=2)
@pytest.mark.parametrize("crash", ["RCU_STALL", "WORKQUEUE_STALL"])
def test_stall(cell, target, crash):
    cell.rest()
    target.run(f"{QUICK} echo {crash} >{CRASH} & sleep 300", check=False)

@pytest.mark.namespace("data", size="64M")
@pytest.mark.stack("data / linear")
def test_leaks(target, stack):
    target.run(f"echo MEMORY_LEAK >{CRASH}")
'''

# Name -> kind and function of every report that is to blame.
EXPECTED = {
    "test_lkdtm-LOCK_INVERSION": [("lockdep", "lkdtm_LOCK_INVERSION")],
    "test_lkdtm-ATOMIC_SLEEP": [("atomic-sleep", "lkdtm_ATOMIC_SLEEP")],
    "test_lkdtm-READ_AFTER_FREE": [("kasan", "lkdtm_READ_AFTER_FREE")],
    "test_lkdtm-ARRAY_BOUNDS": [("ubsan", "lkdtm_ARRAY_BOUNDS")],
    "test_stall-RCU_STALL": [("rcu-stall", "lkdtm_RCU_STALL")],
    "test_stall-WORKQUEUE_STALL": [("workqueue-lockup", "lkdtm_hog")],
    "test_leaks": [("memory-leak", "linear_ctr"), ("memory-leak", "lkdtm_MEMORY_LEAK")],
}


@pytest.fixture(scope="module")
def results(farm_run) -> dict[str, dict]:
    """Several cells at a time, where a machine has one CPU."""
    return farm_run(INNER, *DEBUG, "-n", "4")


@pytest.mark.parametrize("name", EXPECTED)
def test_seen_and_named(results, name):
    result = results[name]
    reports = EXPECTED[name]
    found = [(finding["kind"], finding["function"]) for finding in result["findings"] if not finding["suppressed"]]
    assert result["outcome"] == "fail", result["title"]
    # What a broken kernel says after its first report is its own business; a search for leaks is complete.
    assert (sorted(found) if reports[1:] else found[:1]) == reports


@pytest.mark.parametrize("name", EXPECTED)
def test_named_within_five_seconds(results, name):
    assert results[name]["durations"]["verdict"] <= 5.0


def test_a_leak_comes_with_the_backtrace_of_its_allocation(results):
    (report,) = [path.read_text() for path in (results["test_leaks"]["directory"] / "reports").glob("??-*leak.txt")
                 if "linear_ctr" in path.read_text()]
    assert report.startswith("memory leak in linear_ctr")
    assert "unreferenced object 0x" in report
    assert "dm_table_add_target+0x" in report


def test_every_inner_testcase_is_expected(results):
    assert results.keys() == EXPECTED.keys()
