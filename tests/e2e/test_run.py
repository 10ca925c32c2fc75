"""`farm run` as a user runs it: real kernel, real QEMU, whole processes from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from xml.etree import ElementTree

import pytest

from tests.e2e.conftest import PATCHES
from tests.e2e.leftovers import bearers

pytestmark = pytest.mark.e2e

BOOTS = '''
import pytest

@pytest.mark.machine(cpus=1, memory="512M")
def test_boots(target):
    assert target.run(["uname", "-s"]).stdout.strip() == "Linux"
'''
CRYPT = '''
import pytest

@pytest.mark.machine(cpus=1, memory="512M")
@pytest.mark.namespace("data", size="64M")
@pytest.mark.stack("data / crypt")
def test_crypt(stack, fio):
    fio(stack, rw="randwrite", verify="crc32c")
'''
KINDS = '''
import os
import pytest

pytestmark = pytest.mark.machine(cpus=1, memory="512M")

def test_pass(target):
    target.run(["true"])

def test_crash(target):
    target.run(["sh", "-c", "echo WARNING > /sys/kernel/debug/provoke-crash/DIRECT"], check=False)

def test_assertion(target, stress):
    with stress.running("/tmp", duration=3000, bytes="64M"):  # which ends with the block
        assert target.run(["echo", "one"]).stdout == "two"

def test_host(target):
    os.kill(target.pid, 9)
    target.run(["sleep", "60"])

@pytest.mark.flavor("nosuch")
def test_flavor(target):
    target.run(["true"])
'''
TWO = '''
import pytest

@pytest.mark.machine(cpus=1, memory="512M")
@pytest.mark.parametrize("number", [1, 2])
def test_boots(target, number):
    target.run(["true"])
'''
SLEEPS = '''
import pytest

@pytest.mark.machine(cpus=1, memory="512M")
@pytest.mark.namespace("data", size="64M")
@pytest.mark.stack("data / crypt / ext4")
def test_sleeps(target, stack):
    target.run(["sh", "-c", "echo farm-test-asleep > /dev/kmsg"])
    target.run(["sleep", "600"])
'''

ROUNDS = '''
import pytest

@pytest.mark.machine(cpus=1, memory="512M", append=["slab_nomerge"])
def test_rounds(target, slab_growth):
    slab_growth(lambda rounds: target.run(f"for n in $(seq {rounds}); do mktemp /dev/shm/XXXXXXXX; done"))
'''


@pytest.fixture
def farm(tmp_path):
    """Starts `farm run` on a testcase given as text, with a directory and a temporary directory of its own."""
    (tmp_path / "tmp").mkdir()

    def start(text, *argv, name="test_it.py"):
        (tmp_path / name).write_text(text)
        return subprocess.Popen(
            [sys.executable, "-m", "farm", "run", str(tmp_path / name), "--runs-dir", str(tmp_path / "runs"), *argv],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
            env={**os.environ, "FARM_TMPDIR": str(tmp_path / "tmp")})

    yield start
    wait_until(lambda: not list((tmp_path / "tmp").iterdir()), "the scratch directory is gone")
    assert bearers(tmp_path / "tmp") == []


def finish(process, seconds=600):
    out, _ = process.communicate(timeout=seconds)
    return process.returncode, out


def wait_until(condition, what, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it never came true that {what}"
        time.sleep(0.1)


def results(tmp_path):
    return {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("runs/*/*/result.json")}


def consoles(tmp_path):
    return "".join(path.read_text(errors="replace") for path in tmp_path.glob("runs/*/*/console.log"))


def test_good(farm, tmp_path):
    status, out = finish(farm(BOOTS, "--json"))
    assert status == 0, out
    (result,) = results(tmp_path).values()
    assert result["outcome"] == "pass"
    assert result["cell"]["machine"]["memory_mib"] == 512
    assert result["findings"] == []
    (directory,) = tmp_path.glob("runs/*/*/")
    for name in ("console.log", "commands.jsonl", "config", "qemu.txt", "command"):
        assert (directory / name).stat().st_size > 0, name
    assert "Linux version" in (directory / "console.log").read_text(errors="replace")


def test_the_command_in_the_run_directory_repeats_the_cell(farm, tmp_path):
    status, out = finish(farm(CRYPT, "--duration", "2", "--seed", "7"))
    assert status == 0, out
    (command,) = [path.read_text().split() for path in tmp_path.glob("runs/*/*/command")]
    assert "--seed=7" in command
    again = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True,
                           timeout=600, check=False, env={**os.environ, "FARM_TMPDIR": str(tmp_path / "tmp")})
    assert again.returncode == 0, again.stdout + again.stderr
    digests = [json.loads(path.read_text())["digest"] for path in tmp_path.glob("runs/*/*/result.json")]
    assert len(digests) == 2
    assert len(set(digests)) == 1


def test_a_panic_in_dm_crypt_is_named(farm, tmp_path):
    status, out = finish(farm(CRYPT, "--patch", str(PATCHES / "dm-crypt-panic.patch")), 1200)
    assert status == 1, out
    assert "dm-crypt: cannot write today" in out
    (result,) = results(tmp_path).values()
    assert result["outcome"] == "fail"
    assert result["findings"][0]["kind"] == "panic"
    assert result["findings"][0]["function"] == "crypt_map"
    (directory,) = tmp_path.glob("runs/*/*/")
    assert "crypt_map" in next((directory / "reports").iterdir()).read_text()
    assert (directory / "evidence/registers.txt").read_text().count("RIP=") == 1


def test_whom_a_failure_blames(farm, tmp_path):
    status, out = finish(farm(KINDS))
    assert status == 1, out
    outcomes = {name.partition(".")[2]: result["outcome"] for name, result in results(tmp_path).items()}
    assert outcomes == {"test_pass": "pass", "test_crash": "fail", "test_assertion": "fail", "test_host": "error"}
    assert "made for flavor nosuch" in out


def test_junit_carries_what_was_run(tmp_path):
    (tmp_path / "test_it.py").write_text(BOOTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "test_it.py", "--junitxml", "junit.xml", "--runs-dir", "runs", "--seed", "9"],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout
    properties = {one.get("name"): one.get("value") for one in
                  ElementTree.parse(tmp_path / "junit.xml").getroot().iter("property")}
    assert {"kernel", "flavor", "machine", "stack", "accelerator", "seed", "cell"} <= properties.keys()
    assert (properties["flavor"], properties["seed"]) == ("base", "9")


def test_workers_share_kernel_image_and_run_directory(farm, tmp_path):
    status, out = finish(farm(TWO, "-n", "2"))
    assert status == 0, out
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert [result["outcome"] for result in results(tmp_path).values()] == ["pass", "pass"]


@pytest.mark.parametrize("signature", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("phase", ["boot", "workload"])
def test_nothing_is_left_behind(farm, tmp_path, signature, phase):
    """The fixture looks for leftovers; here the farm is ended in the middle of a phase."""
    process = farm(SLEEPS)
    marker = "Linux version" if phase == "boot" else "farm-test-asleep"
    wait_until(lambda: marker in consoles(tmp_path) or process.poll() is not None, f"the console says {marker}")
    process.send_signal(signature)
    status, out = finish(process, 120)
    assert status in (130, -signal.SIGKILL, -signal.SIGTERM, 143), out
    (result,) = results(tmp_path).values()
    assert (result["outcome"], result["title"]) == ("error", "did not finish")


def test_slab_growth_is_a_suspicion(farm, tmp_path):
    """It passes: a cache that grows is worth a look, and proves nothing."""
    status, out = finish(farm(ROUNDS, "--rounds", "30"))
    assert status == 0, out
    (result,) = results(tmp_path).values()
    assert [one["title"] for one in result["suspicions"]] == [
        "slab cache shmem_inode_cache grows by 1.0 objects a round"]
    assert "warning: " in out
