"""From a report to its failure, the smallest setup that shows it, a bundle of that, and the same failure in a fresh
directory, with the farm and without."""

import json
import os
import re
import socket
import subprocess
import sys
from itertools import pairwise

import pytest

from farm.host.workdir import data_directory
from farm.trial import room
from tests.e2e.leftovers import bearers

pytestmark = pytest.mark.e2e

# Trips within seconds, in a worker of cryptd.
MUTANT = data_directory("testcases") / "mutants/dm-crypt-null-callback.patch"
TESTCASE = "test_crypt_inline.py::test_inline[cryptd-512-no_read_workqueue-no_write_workqueue]"
# Near the smallest setup that shows it, so that every run is short. Two CPUs: with one, Linux 6.12 itself may warn in
# blk_mq_run_hw_queue() that it is run in an interrupt.
SMALL = ("--duration", 1, "--machine", "cpus=2,memory=512M")
# Half a mail: one level of quoting, and the end of the trace is missing.
REPORT = """\
From: A User <user@example.org>
Subject: dm-crypt with no_read_workqueue, no_write_workqueue dies on 6.12

Linux 6.12.110 here, cryptd(xts(aes)) under dm-crypt without workqueues, dies as soon as I write:

> [   31.415926] BUG: kernel NULL pointer dereference, address: 0000000000000000
> [   31.415927] #PF: supervisor instruction fetch in kernel mode
> [   31.415928] Oops: Oops: 0010 [#1] PREEMPT SMP PTI
> [   31.415929] CPU: 1 UID: 0 PID: 53 Comm: kworker/1:1 Not tainted 6.12.110 #1
> [   31.415930] Workqueue: cryptd cryptd_queue_worker
> [   31.415931] RIP: 0010:0x0
> [   31.415932] Call Trace:
> [   31.415933]  <TASK>
> [   31.415934]  cryptd_skcipher_complete+0x45/0x60
> [   31.415935]  cryptd_skcipher_decrypt+0x9f/0xd0
> [   31.415936]  cryptd_queue_worker+0x5d/0xa0
> [   31.415937]  process_one_work+0x174/0x320
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A directory that stands for a user's, with a temporary directory of its own."""
    path = tmp_path_factory.mktemp("user")
    (path / "tmp").mkdir()
    return path


def farm(here, *argv):
    done = subprocess.run(
        [sys.executable, "-m", "farm", *map(str, argv)], cwd=here, capture_output=True, text=True, check=False,
        timeout=900, env={**os.environ, "FARM_TMPDIR": str(here / "tmp")})
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def reproduced(here):
    """What `farm repro --run` says, begun near the end of its way."""
    (here / "mail.txt").write_text(REPORT)
    argv = ("repro", "mail.txt", "--run", "--json", "-n", 2, "--patch", MUTANT, "--runs", 1, *SMALL)
    done = farm(here, *argv)
    assert done.returncode == 0, done.stderr
    return argv, json.loads(done.stdout)


@pytest.fixture(scope="module")
def bundle(here, reproduced):
    """The bundle of a run that crashed."""
    done = farm(here, "bundle", reproduced[1]["run"], "--with-kernel", "--with-image", "-o", here / "crash.farm.tar.gz")
    assert done.returncode == 0, done.stderr
    assert "to repeat it: farm replay" in done.stdout
    return here / "crash.farm.tar.gz"


@pytest.fixture(scope="module")
def unpacked(bundle, here):
    done = farm(here, "replay", bundle, "--unpack", here / "u")
    assert done.returncode == 0, done.stderr
    return here / "u"


@pytest.fixture
def fresh(tmp_path):
    (tmp_path / "tmp").mkdir()
    yield tmp_path
    assert not list((tmp_path / "tmp").iterdir())
    assert bearers(tmp_path / "tmp") == []


def test_a_report_is_reproduced_and_made_small(here, reproduced):
    argv, told = reproduced
    # Of which sectors the mail says nothing.
    assert told["proposals"][0]["testcase"] in (TESTCASE, TESTCASE.replace("512", "4096"))
    assert (told["verdict"], told["failure"]["function"]) == ("good", "cryptd_skcipher_complete")
    assert "oops in cryptd_skcipher_complete" in told["counted"]
    assert told["rate"] == {"seen": 1, "runs": 1}
    attempts = told["attempts"]
    assert [attempts[place]["purpose"] for place in (0, 1, -1)] == ["find", "shrink", "rate"]
    # Memory does not matter, and without dm-crypt it cannot show.
    shrunk = [(one["setup"]["stacks"], one["setup"]["memory_mib"], one["seen"]) for one in attempts[1:]]
    assert (["data"], 512, "no bug") in shrunk
    assert told["smallest"]["memory_mib"] <= 256
    assert "cryptd" in told["smallest"]["stacks"][0]
    assert "--machine=cpus={cpus},memory={memory_mib}M".format(**told["smallest"]) in told["command"]
    # What was obtained is not run again.
    again = farm(here, *argv)
    assert json.loads(again.stdout)["attempts"] == attempts


def test_a_bundle_fails_again_in_a_fresh_directory(bundle, fresh):
    done = farm(fresh, "replay", bundle, "--json")
    assert done.returncode == 0, done.stderr
    compared = json.loads(done.stdout)
    assert compared["verdict"] == "good"
    assert compared["here"]["cause"]["function"] == "cryptd_skcipher_complete"
    assert not [one for one in compared["differences"] if "machine" in one or "testcase" in one or "image" in one]


def test_a_bundle_fails_again_without_the_farm(unpacked, fresh):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Of this process's environment it gets nothing but where programs are: no farm, no keys of the user.
    ran = subprocess.run(
        ["./replay.sh"], cwd=unpacked, capture_output=True, text=True, check=False, timeout=600,
        env={"PATH": os.environ["PATH"], "PORT": str(port), "TMPDIR": str(fresh / "tmp"), "HOME": "/nonexistent"})
    assert ran.returncode == 0, ran.stderr
    assert "reproduced: " in ran.stderr
    assert "NULL pointer dereference" in ran.stderr
    assert "cryptd_skcipher_complete" in (unpacked / "replay-console.txt").read_text(errors="replace")


def test_the_keys_of_a_bundle_are_not_those_of_the_cache(unpacked, guest_image):
    assert (unpacked / "client_key").read_bytes() != guest_image.key_file.read_bytes()
    assert (unpacked / "host_key.pub").read_text().strip() != guest_image.host_key


def test_a_patch_that_mends_it_is_told_from_the_kernel_without_it(here, bundle):
    (here / "fix.patch").write_text(reversed_diff(MUTANT.read_text()))
    done = farm(here, "test-patch", "fix.patch", "--patch", MUTANT, "--testcase", TESTCASE, "--runs", 1, *SMALL,
                "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["symptom"]["function"] == "cryptd_skcipher_complete"
    assert [one["outcome"] for one in (*told["without"], *told["with"])] == ["fail", "pass"]
    assert told["tested_by"][-1].startswith("Tested-by: ")


def test_runs_go_on_beside_each_other_where_the_host_has_room(here):
    mutant = MUTANT.with_name("dm-crypt-vector-reused.patch")
    (here / "advance.patch").write_text(reversed_diff(mutant.read_text()))
    done = farm(here, "test-patch", "advance.patch", "--patch", mutant, "--runs", 3, "--duration", 1, "--machine",
                "cpus=1,memory=512M", "--testcase", "test_crypt_ciphers.py::test_a_full_queue", "--runs-dir", "beside",
                "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [[one["outcome"] for one in told[side]] for side in ("without", "with")] == [["fail"] * 3, ["pass"] * 3]
    # When each cell began, to wait for room on the host at first, and when its testcase was over.
    cells = [json.loads(path.read_text()) for path in here.glob("beside/*/*/result.json")]
    spans = sorted((cell["over"] - sum(cell["durations"].get(phase, 0.0) for phase in (
        "admission", "boot", "setup", "workload")), cell["over"]) for cell in cells)
    together = [second[0] < first[1] for first, second in pairwise(spans)]
    # The first of each side is alone: it tells how large the guests are.
    assert together == ([False, True, False, False, True] if room(1) > 1 else [False] * 5)


def reversed_diff(text):
    """The diff that takes another one back."""
    first, second, *body = text[text.index("\n--- a/") + 1:].splitlines(keepends=True)
    turned = [re.sub(r"-(\S+) \+(\S+)", r"-\2 +\1", line, count=1) if line.startswith("@@") else
              line.translate({43: 45, 45: 43})[0] + line[1:] for line in body]
    return "".join([first, second, *turned])
