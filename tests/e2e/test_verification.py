"""Which reports of corruption a testcase accepts, on real guests: the announced layer at the announced place.

What nobody announced is among the failures of test_monitor.py.
"""

import re

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2100)]

# dm-integrity over protection information: what changes on the disk is the controller's to report, what changes
# between the two, with the protection information made to fit, is dm-integrity's.
INNER = '''
import pytest

pytestmark = [
    pytest.mark.machine(cpus=1, memory="512M"), pytest.mark.namespace("data", size="64M", pi=1, ms=8),
    pytest.mark.stack("data / partition:start=2049 / integrity:mode=direct"),
]
AT = 0x69000
WORK = {"size": "1M"}

@pytest.fixture(autouse=True)
def written(stack, fio):
    fio(stack, duration=0, **WORK)

def test_right(stack, fio, expect):
    stack.corrupt(AT, beneath="integrity")
    with expect("dm-integrity"):
        fio(stack, verify_only=True, **WORK)

def test_wrong_layer(stack, fio, expect):
    stack.corrupt(AT)
    with expect("dm-integrity"):
        fio(stack, verify_only=True, **WORK)

def test_wrong_sector(stack, fio, disk, expect):
    stack.corrupt(AT)
    change, = disk.changes
    with disk.file("data").open("r+b") as file:  # that is undone, and another change made that nobody announced
        for place in (change.block * 512 + change.byte, stack.sector_of(AT + 65536).sector * 512):
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1]))
    with expect("pi-guard"):
        fio(stack, verify_only=True, **WORK)

def test_unreported(stack, fio, expect):
    stack.corrupt(AT, "app")
    with expect("pi-app"):
        fio(stack, verify_only=True, **WORK)
'''
DISK, SUM = r"nvme0n1, sectors \d+ to \d+", r"dm-0, sector \d+"
# Name -> outcome, and what the title has to say.
EXPECTED = {
    "test_right": ("pass", ""),
    "test_wrong_layer": ("fail", rf"announced: dm-integrity on {SUM}; reported: pi-guard on {DISK}"),
    "test_wrong_sector": ("fail", rf"announced: pi-guard on nvme0n1, sector 4033; reported: pi-guard on {DISK}"),
    "test_unreported": ("fail", "went unnoticed: no report by pi-app on nvme0n1, sector"),
}


@pytest.fixture(scope="module")
def results(farm_run) -> dict[str, dict]:
    return farm_run(INNER, "-n", "2")


@pytest.mark.parametrize("name", EXPECTED)
def test_judged(results, name):
    outcome, words = EXPECTED[name]
    assert results[name]["outcome"] == outcome, results[name]["title"]
    assert re.search(words, results[name]["title"])


def test_the_record_says_what_was_announced_and_reported(results):
    expected, = results["test_right"]["expected"]
    assert expected["announced"] == expected["reported"] == "dm-integrity on dm-0, sector 840"
    finding = next(one for one in results["test_wrong_layer"]["findings"] if one["layer"] == "pi-guard")
    assert (finding["sector"], finding["sectors"]) == (finding["lba"], finding["blocks"])
