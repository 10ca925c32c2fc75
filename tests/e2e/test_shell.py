"""A user in a guest: in a terminal, through a pipe, beside a run that keeps what failed, and by gdb."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pexpect
import pytest

from farm.enter import FILE
from farm.evidence.elf import vmcoreinfo
from farm.host.workdir import Workdir
from tests.e2e.leftovers import bearers
from tests.unit.host.owners import eventually

pytestmark = pytest.mark.e2e

FARM = [sys.executable, "-m", "farm"]
WARNS = '''
import pytest

@pytest.mark.machine(cpus=1, memory="512M")
def test_warns(target):
    target.run("echo WARNING > /sys/kernel/debug/provoke-crash/DIRECT", check=False)
    target.run(["sleep", "60"])
'''


@pytest.fixture
def environment():
    # Not below tmp_path: the path of gdb's socket may have 107 bytes.
    with TemporaryDirectory(prefix="shell-") as scratch:
        yield {**os.environ, "FARM_TMPDIR": scratch, "TERM": "xterm"}
        # Who removes the directory is the last to go.
        assert eventually(lambda: not [*Path(scratch).iterdir(), *bearers(Path(scratch))], 60)


@pytest.fixture
def kept(tmp_path, environment, bzimage):
    """Starts a run whose guest is kept; the process, when the guest can be entered, and what it said until then."""
    (tmp_path / "test_it.py").write_text(WARNS)
    started = []

    def start(option):
        child = subprocess.Popen(
            [*FARM, "run", "test_it.py", f"--kernel-image={bzimage}", option], cwd=tmp_path, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(child)
        said = []
        for line in child.stdout:
            said.append(line)
            if "let go:" in line:
                return child, "".join(said)
        raise AssertionError("".join(said))

    yield start
    for child in started:
        child.kill()
        child.wait()


def farm(tmp_path, environment, *argv, **more):
    return subprocess.run([*FARM, *argv], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
                          timeout=300, **more)


def places_of(qemu):
    """What the ledger of admissions holds for a QEMU."""
    ledger = Workdir.default().directory("admission", os.uname().nodename)
    return [ticket for path in ledger.glob("*.ticket") if (ticket := json.loads(path.read_text()))["vm"] == qemu]


def test_a_session_in_a_terminal(tmp_path, environment, bzimage):
    child = pexpect.spawn(
        FARM[0], [*FARM[1:], "shell", "--stack=data / crypt", f"--kernel-image={bzimage}"], cwd=str(tmp_path),
        env=environment, timeout=300, encoding="utf-8", codec_errors="replace")
    child.expect("console: tail -f (.*)console.log")
    child.expect("# ")
    child.sendline("cat /sys/block/dm-*/dm/name; tty")
    child.expect("farm-data-1-crypt")
    child.expect("/dev/pts/")
    # Ctrl-C is the guest's: it ends what runs there, and neither the session nor the farm.
    child.sendline("sleep 1000")
    child.sendintr()
    child.sendline("echo still $((40 + 2)) here")
    child.expect("still 42 here")
    child.sendline("exit 0")
    child.expect("the session ended with status 0")
    child.expect("verdict: good: the kernel reported nothing")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_kept_guest_is_entered_and_let_go(tmp_path, environment, kept):
    child, said = kept("--keep-on-failure")
    assert "kept after: WARNING" in said
    run = re.search(r"farm shell --attach (\S+)", said)[1]
    # Its CPU is there for others, its memory is not.
    (place,) = places_of(json.loads(next(tmp_path.glob(f"runs/*/*/{FILE}")).read_text())["qemu"])
    assert (place["cpus"], place["admitted"]) == (0, True)
    assert place["memory_mib"] > 512
    entered = farm(tmp_path, environment, "shell", "--attach", run, input="dmesg | grep -c lkdtm; exit 3\n")
    assert entered.returncode == 3, entered.stderr
    assert int(entered.stdout) > 0
    assert child.poll() is None
    # A dump is taken of it, and the guest goes on; this kernel cannot tell what it means.
    refused = farm(tmp_path, environment, "dump", "live")
    assert "was not asked: this kernel was built without debug information" in refused.stderr
    dumped = farm(tmp_path, environment, "dump", "live", "--output=here.vmcore")
    assert "here.vmcore was not read: this kernel was built without debug information" in dumped.stderr
    assert "OSRELEASE" in vmcoreinfo(tmp_path / "here.vmcore")
    assert farm(tmp_path, environment, "shell", "--attach", run, input="echo alive\n").stdout == "alive\n"
    assert farm(tmp_path, environment, "shell", "--attach", run, "--end").returncode == 0
    rest, _ = child.communicate(timeout=120)
    assert child.returncode == 1
    assert "verdict: bad" in rest
    gone = farm(tmp_path, environment, "shell", "--attach", run)
    assert "No guest of" in gone.stderr


def test_the_cpus_stand_still_at_a_report_and_gdb_sees_where(tmp_path, environment, kept):
    child, said = kept("--break-at-report")
    assert "the guest's CPUs are stopped" in said
    assert "kept after: WARNING" in said
    stub = re.search(r"target remote ([^']+)'", said)[1]
    ran = subprocess.run(
        ["gdb", "-nx", "-batch", "-ex", f"target remote {stub}", "-ex", "p/x $rip", "-ex", "kill"], capture_output=True,
        text=True, check=False, timeout=120)
    assert re.search(r"\$1 = 0x[0-9a-f]+", ran.stdout), ran.stdout + ran.stderr
    # What is kept goes with its keeper, however that ends.
    child.send_signal(signal.SIGKILL)
    child.wait()
