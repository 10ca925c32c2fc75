"""`farm nightly` on real kernels: three nights with a mutant in the second, and what goes wrong in a night."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.e2e.leftovers import bearers

pytestmark = pytest.mark.e2e

PANICS = Path(__file__).parent / "patches" / "dm-crypt-panic.patch"
PLAN = """
name = "three"
parallel = 2
reruns = 6
cell_minutes = {minutes}
database = "sqlite:///{directory}/results.db?timeout=1"
known_failures = "known.toml"

[[kernels]]
name = "6.12"
source = "debian:linux-source-6.12"
{patches}

[[testcases]]
select = ["{select}"]
duration = 2

[reports]
site = "site"
"""
# No guest is needed to see what a night makes of testcases that misbehave.
ODD = """
import os, time
import pytest

def test_quick():
    pass

def test_breaks():
    assert not os.path.exists("{flag}"), "the flag is set"

def test_slow():
    while os.path.exists("{flag}.slow"):
        time.sleep(0.1)

def test_kills_its_worker():
    if os.path.exists("{flag}.kill"):
        os.kill(os.getpid(), 9)
"""


class Nights:
    """A plan, and runs of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.flag = directory / "flag"
        (directory / "tmp").mkdir()
        (directory / "known.toml").write_text("")
        (directory / "test_odd.py").write_text(ODD.format(flag=self.flag))
        self.plan("test_odd.py")

    def plan(self, select: str, patches: str = "", minutes: float = 10) -> None:
        (self.directory / "plan.toml").write_text(
            PLAN.format(directory=self.directory, select=select, patches=patches, minutes=minutes))

    def start(self, *options: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "farm", "nightly", str(self.directory / "plan.toml"), "--json", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.directory,
            env={**os.environ, "FARM_TMPDIR": str(self.directory / "tmp")})

    def run(self, *options: str, status: int = 0) -> dict:
        child = self.start(*options)
        out, said = child.communicate(timeout=1500)
        assert child.returncode == status, said
        assert bearers(self.directory / "tmp") == []
        return json.loads(out)

    def changes(self, report: dict) -> dict[str, str]:
        return {one["series"]["testcase"].partition("::")[2] or "build": one["change"] for one in report["verdicts"]}

    def outcomes(self, report: dict, name: str) -> list[str]:
        return [one["outcome"] for one in report["cells"] if one["series"]["testcase"].endswith(name)]

    def journal(self) -> str:
        return "".join(path.read_text() for path in self.directory.glob("runs/*/journal.jsonl"))


@pytest.fixture
def nights(tmp_path, base_kernel, guest_image):
    """The kernel and the image are there before the first night."""
    return Nights(tmp_path)


def test_a_mutant_of_the_second_night_is_new_and_fixed_in_the_third(nights, tmp_path):
    testcase = "test_any_stack.py::test_random_writes_are_read_back"
    nights.plan(testcase)
    first = nights.run()
    assert nights.changes(first) == {"build": "passes", "test_random_writes_are_read_back": "passes"}
    cell = first["cells"][-1]
    for known in ("config", "compiler", "release", "image", "accelerator", "signature"):
        assert bool(cell[known]) == (known != "signature"), known

    nights.plan(testcase, patches=f'patches = ["{PANICS}"]')
    second = nights.run(status=1)
    verdict = second["verdicts"][-1]
    assert verdict["change"] == "new failure"
    assert "dm-crypt: cannot write today" in verdict["title"]
    assert set(nights.outcomes(second, "read_back")) == {"fail"}
    assert len(nights.outcomes(second, "read_back")) == verdict["failures"] >= 3
    pages = [page.read_text() for page in (tmp_path / "site").glob("crash-*.html")]
    assert len(pages) == verdict["failures"]
    assert all("Call Trace" in page and "crypt_map" in page and "farm replay crash-" in page for page in pages)
    bundle = next(path for path in (tmp_path / "site" / "bundles").iterdir() if "evidence" not in path.name)
    with tarfile.open(bundle) as archive:
        assert archive.extractfile("patches/01.patch").read() == PANICS.read_bytes()

    nights.plan(testcase)
    third = nights.run()
    verdict = third["verdicts"][-1]
    assert (verdict["change"], verdict["title"]) == ("fixed", second["verdicts"][-1]["title"])
    assert nights.outcomes(third, "read_back") == ["pass"] * 2


def test_a_killed_night_goes_on_where_it_was(nights):
    Path(f"{nights.flag}.slow").touch()
    first = nights.start()
    end = time.monotonic() + 300
    # The kernel and two testcases are done; the slow one runs, and what its worker is to do next waits for it.
    while nights.journal().count('"outcome": "pass"') < 3:
        assert first.poll() is None, first.communicate()[1]
        assert time.monotonic() < end, nights.journal()
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    before = nights.journal()
    Path(f"{nights.flag}.slow").unlink()

    report = nights.run("--resume")
    assert nights.journal().startswith(before)
    assert len(list(nights.directory.glob("runs/*"))) == 1
    assert set(nights.changes(report).values()) == {"passes"}
    assert len(report["cells"]) == 5
    again = nights.start("--resume")
    assert "no unfinished run of this plan" in again.communicate(timeout=60)[1]
    assert again.returncode == 2


def test_a_cell_that_never_ends_and_a_killed_worker_are_the_hosts_fault(nights):
    Path(f"{nights.flag}.slow").touch()
    Path(f"{nights.flag}.kill").touch()
    nights.plan("test_odd.py", minutes=0.1)
    report = nights.run()
    assert nights.outcomes(report, "test_quick") == ["pass"]
    assert nights.outcomes(report, "test_breaks") == ["pass"]
    assert nights.outcomes(report, "test_slow") == ["error", "error"]
    assert nights.outcomes(report, "test_kills_its_worker") == ["error", "error"]
    whys = {one["series"]["testcase"].partition("::")[2]: one["why"] for one in report["verdicts"]}
    assert whys["test_slow"] == "did not end within 0.1 min, and was ended"
    assert "crashed" in whys["test_kills_its_worker"]
    assert nights.changes(report)["test_slow"] == "never ran"


def test_a_new_failure_goes_on_though_the_database_is_locked_and_is_known_the_next_night(nights):
    nights.run()
    nights.flag.touch()
    locked = sqlite3.connect(nights.directory / "results.db", isolation_level=None)
    child = nights.start()
    # It has begun: from here on the database is somebody else's for longer than anybody waits.
    while len(list(nights.directory.glob("runs/*/events/*"))) < 2:
        assert child.poll() is None, child.communicate()[1]
        time.sleep(0.05)
    locked.execute("BEGIN IMMEDIATE")
    out, said = child.communicate(timeout=600)
    locked.execute("ROLLBACK")
    locked.close()
    assert child.returncode == 1, said
    assert "database is locked" in said
    report = json.loads(out)
    assert nights.changes(report)["test_breaks"] == "new failure"
    assert any("--resume` records it" in remark for remark in report["remarks"])
    assert nights.changes(nights.run("--resume", status=1))["test_breaks"] == "new failure"

    signature = next(one["signature"] for one in report["verdicts"] if one["signature"])
    (nights.directory / "known.toml").write_text(
        f"[[known]]\nsignature = {json.dumps(signature)}\nnote = 'the flag'\nowner = 'me'\nexpires = 2999-01-01\n")
    third = nights.run()
    assert nights.changes(third)["test_breaks"] == "still failing"
    assert next(one["known"] for one in third["verdicts"] if one["signature"]) == "the flag (me)"


def test_a_disk_that_is_full_stops_the_night_with_a_sentence(nights):
    """On a file system of its own, which a night fills."""
    (nights.directory / "runs").mkdir()
    (nights.directory / "test_odd.py").write_text("""
def test_first():
    pass

def test_fills_the_disk():
    import os
    with open(os.path.join(os.environ["FILL"], "ballast"), "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass

def test_last():
    pass
""")
    (nights.directory / "plan.toml").write_text(
        (nights.directory / "plan.toml").read_text().replace("parallel = 2", "parallel = 1"))
    script = 'mount -t tmpfs -o size=4M none "$FILL" && "$@"; s=$?; cat "$FILL"/*/journal.jsonl > "$KEPT"; exit $s'
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", sys.executable, "-m", "farm", "nightly",
         str(nights.directory / "plan.toml")], capture_output=True, text=True, cwd=nights.directory, check=False,
        env={**os.environ, "FILL": str(nights.directory / "runs"), "KEPT": str(nights.directory / "kept")})
    assert done.returncode == 2, done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr.rpartition("farm: ")[2]
    assert "test_first" in (nights.directory / "kept").read_text()
    with sqlite3.connect(nights.directory / "results.db") as database:
        passed = database.execute("SELECT testcase FROM cells JOIN series ON key = series WHERE outcome = 'pass'")
        assert ("test_odd.py::test_first",) in passed.fetchall()
