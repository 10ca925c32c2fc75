"""A guest that is merely slow is not hung: one that runs a tenth of the time passes, and nothing is found."""


import pytest

pytestmark = pytest.mark.e2e

# QEMU is stopped and continued in turns, which takes no right that the farm's user lacks, as a cgroup's quota would.
INNER = '''
import os
import signal
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from farm.errors import InfrastructureError
from farm.watchdogs import SILENCE

pytestmark = [
    pytest.mark.machine(cpus=1, memory="512M"),
    pytest.mark.namespace("data", size="64M"),
    pytest.mark.stack("data / crypt / ext4"),
]
ON, OFF = 0.01, 0.09

@contextmanager
def throttled(cell):
    """Let the cell's QEMU run a tenth of the time, from now on or from its start."""
    done = threading.Event()

    def throttle():
        rested = False
        while not done.wait(ON):
            with suppress(InfrastructureError, AttributeError):
                pid = cell.target.pid
                if not rested:  # others may have its CPU
                    cell.rest()
                    rested = True
                os.kill(pid, signal.SIGSTOP)
                time.sleep(OFF)
                os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=throttle)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()

def test_from_the_start(cell, request):
    with throttled(cell):
        fio = request.getfixturevalue("fio")
        assert fio(request.getfixturevalue("stack"), size="4M", duration=5).ios

def test_in_the_middle(cell, target, stack, fio):
    longest = target.pace.seconds(SILENCE)
    with fio.running(stack, size="4M", duration=longest + 10):
        target.run(["sleep", "2"])
        with throttled(cell):
            time.sleep(longest + 5)  # beyond every limit of the watchdogs
'''


@pytest.fixture(scope="module")
def results(farm_run) -> dict[str, dict]:
    return farm_run(INNER, "-n", "2", status=0)


@pytest.mark.parametrize("name", ["test_from_the_start", "test_in_the_middle"])
def test_a_tenth_of_the_speed(results, name):
    result = results[name]
    assert result["outcome"] == "pass", result["title"]
    assert result["findings"] == []


def test_the_guest_was_slow(results):
    """Else the test above proved nothing."""
    slow, quick = (results[name]["durations"]["boot"] for name in ("test_from_the_start", "test_in_the_middle"))
    assert slow > 3 * quick
