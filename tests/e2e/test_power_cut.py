"""What is lost with the power and what is not, on a real guest, and what its second boot may not hide."""

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2100)]

INNER = '''
import pytest

pytestmark = [
    pytest.mark.machine(cpus=1, memory="512M"), pytest.mark.namespace("data", size="64M"),
    pytest.mark.namespace("other", size="64M"), pytest.mark.stack("data / crypt"), pytest.mark.stack("other / ext4"),
]
PUT = """printf '%-4096s' "$2" | dd of="$1" bs=4K seek="$3" conv=notrunc $4 status=none"""

def test_memory_is_lost(target, stacks, power_cut):
    device, file = stacks["data"].device, stacks["other"].mountpoint + "/file"

    def put(path, text, block, *how):
        target.run(["bash", "-c", PUT, "bash", path, text, block, *how])

    def get(path, block):
        return target.run(["dd", f"if={path}", "bs=4K", "count=1", f"skip={block}", "status=none"]).stdout.strip()

    put(file, "before", "1", "oflag=dsync")
    for round in ("first", "second"):
        put(device, round, "0", "oflag=dsync")
        put(file, round, "0", "oflag=dsync")
        put(file, "unsynced", "1")
        power_cut()
        assert [get(device, 0), get(file, 0), get(file, 1)] == [round, round, "before"]

def test_a_reboot_is_one_all_the_same(target, power_cut):
    power_cut()
    target.run("echo b >/proc/sysrq-trigger; sleep 60", check=False)

def test_what_was_reported_before_counts(target, power_cut):
    target.run("echo WARNING >/sys/kernel/debug/provoke-crash/DIRECT", check=False)
    power_cut()
'''


@pytest.fixture(scope="module")
def results(farm_run) -> dict[str, dict]:
    return farm_run(INNER, "-n", "2")


def test_memory_is_lost_and_the_disk_is_not(results):
    assert results["test_memory_is_lost"]["outcome"] == "pass", results["test_memory_is_lost"]["title"]


@pytest.mark.parametrize(("name", "kind"), [
    ("test_a_reboot_is_one_all_the_same", "reboot"), ("test_what_was_reported_before_counts", "warning"),
])
def test_a_finding_on_either_side_of_it_fails(results, name, kind):
    assert results[name]["outcome"] == "fail"
    assert results[name]["findings"][0]["kind"] == kind, results[name]["title"]
