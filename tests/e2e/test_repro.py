"""A failure that travels: a run, its bundle, and the same failure in a fresh directory, with the farm and without."""

import json
import os
import re
import socket
import subprocess
import sys

import pytest

from farm.host.workdir import data_directory
from tests.e2e.leftovers import bearers

pytestmark = pytest.mark.e2e

# Trips within seconds, in a worker of cryptd.
MUTANT = data_directory("testcases") / "mutants/dm-crypt-null-callback.patch"
TESTCASE = "test_crypt_inline.py::test_inline[cryptd-512-no_read_workqueue-no_write_workqueue]"


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
def bundle(here):
    """The bundle of a run that crashed."""
    done = farm(here, "run", TESTCASE, "--patch", MUTANT, "--json")
    assert done.returncode == 1, done.stderr
    run = json.loads(done.stdout)["run"]
    done = farm(here, "bundle", run, "--with-kernel", "--with-image", "-o", here / "crash.farm.tar.gz")
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
    done = farm(here, "test-patch", "fix.patch", "--patch", MUTANT, "--testcase", TESTCASE, "--runs", 1, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["symptom"]["function"] == "cryptd_skcipher_complete"
    assert [one["outcome"] for one in (*told["without"], *told["with"])] == ["fail", "pass"]
    assert told["tested_by"][-1].startswith("Tested-by: ")


def reversed_diff(text):
    """The diff that takes another one back."""
    first, second, *body = text[text.index("\n--- a/") + 1:].splitlines(keepends=True)
    turned = [re.sub(r"-(\S+) \+(\S+)", r"-\2 +\1", line, count=1) if line.startswith("@@") else
              line.translate({43: 45, 45: 43})[0] + line[1:] for line in body]
    return "".join([first, second, *turned])
