"""`farm qualify` on real mutants: three kernels, each with a bug to be caught, and the unmodified one."""

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.deadline import Deadline
from farm.host import process
from farm.kernel.sources import DEBIAN_DIRECTORY
from farm.qualify.mutant import load_mutants
from tests.e2e.leftovers import bearers

pytestmark = pytest.mark.e2e

# Quick ones: a NULL call, a corrupted list, and wrong data that no report tells of. The first two share a testcase.
MUTANTS = ["dm-crypt-null-callback", "dm-crypt-request-reused", "dm-crypt-vector-reused"]
RUNS = len(MUTANTS) + 2
FILE = re.compile(r"^\+\+\+ b/(\S+)", re.MULTILINE)


def farm(tmp_path: Path, *argv: str) -> "subprocess.Popen[str]":
    (tmp_path / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "farm", "qualify", *argv, "--json", "--runs-dir", str(tmp_path / "runs")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "FARM_TMPDIR": str(tmp_path / "tmp")})


def recorded(tmp_path: Path) -> list[str]:
    return [line for path in tmp_path.glob("runs/*/results.jsonl") for line in path.read_text().splitlines()]


def test_three_mutants_are_caught_and_a_killed_qualification_goes_on(tmp_path: Path) -> None:
    first = farm(tmp_path, *MUTANTS)
    end = time.monotonic() + 1800
    while not recorded(tmp_path):
        assert first.poll() is None, first.communicate()[1]
        assert time.monotonic() < end, "no run was recorded"
        time.sleep(0.2)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=120)
    before = recorded(tmp_path)

    second = farm(tmp_path, *MUTANTS)
    out, said = second.communicate(timeout=3000)
    assert second.returncode == 0, said
    answer = json.loads(out)
    assert answer["verdict"] == "good"
    rows = {row["name"]: row for row in answer["mutants"]}
    assert list(rows) == MUTANTS
    for row in rows.values():
        assert (row["detected"], row["right_kind"], row["right_function"] in (1, None)) == (1, 1, True), row
        assert (row["unmodified"], row["false_alarms"]) == (1, 0), row
        assert row["latency"] > 0, row
    assert recorded(tmp_path)[:len(before)] == before
    assert len(recorded(tmp_path)) == RUNS
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert bearers(tmp_path / "tmp") == []


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The files that mutants touch, of every kernel whose tarball this host has, by version."""
    wanted = {file for mutant in load_mutants() for file in FILE.findall(mutant.path.read_text())}
    trees = {}
    for version in sorted({version for mutant in load_mutants() for version in mutant.kernels}):
        tarball = DEBIAN_DIRECTORY / f"linux-source-{version}.tar.xz"
        if not tarball.is_file():
            continue
        trees[version] = tmp_path_factory.mktemp(version)
        missing = set(wanted)
        with tarfile.open(tarball, "r|xz") as tar:
            for member in tar:
                if not missing:
                    break  # the rest of the archive is minutes on a busy host
                name = member.name.removeprefix("./").partition("/")[2]
                if name in wanted and (data := tar.extractfile(member)):
                    target = trees[version] / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(data.read())
                    missing.discard(name)
    return trees


@pytest.mark.parametrize("mutant", load_mutants(), ids=lambda mutant: mutant.name)
def test_a_mutant_applies_to_every_kernel_that_it_names(mutant, sources) -> None:
    known = [version for version in mutant.kernels if version in sources]
    if not known:
        pytest.skip(f"this host has no source of {', '.join(mutant.kernels)} in {DEBIAN_DIRECTORY}")
    for version in known:
        applied = process.run(["git", "apply", "--check", str(mutant.path)], deadline=Deadline(60.0),
                              cwd=sources[version], check=False)
        assert applied.returncode == 0, f"{version}: {applied.stderr}"
