"""`farm bisect` from end to end: a history of eight commits on the real kernel, real builds, real guests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from farm.bisect.statistics import BELIEVED, ENOUGH
from farm.host import process
from farm.kernel.git import IDENTITY, environment
from tests.e2e.leftovers import bearers

pytestmark = pytest.mark.e2e

TESTCASE = '''
import pytest

@pytest.mark.machine(cpus=1, memory="512M")
@pytest.mark.namespace("data", size="64M")
@pytest.mark.stack("data / crypt")
def test_crypt(stack, fio):
    fio(stack, rw="randwrite", verify="crc32c")
'''
FILE = "drivers/md/dm-crypt.c"
BROKEN, CRASHING, GUILTY = 4, 5, 7


class Tree:
    """A user's repository, written to by plumbing alone: no work tree of two gigabytes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.index = directory.parent / "index"

    def git(self, *arguments: str, input: str = "") -> str:
        variables = process.environment(environment({**IDENTITY, "GIT_INDEX_FILE": str(self.index)}))
        return subprocess.run(["git", "-C", str(self.directory), *arguments], input=input, env=variables, check=True,
                              capture_output=True, text=True).stdout.strip()

    def commit(self, parent: str, subject: str, path: str, text: str) -> str:
        """A commit on top of another that replaces one file."""
        blob = self.git("hash-object", "-w", "--stdin", input=text)
        self.git("read-tree", parent)
        self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
        return self.git("commit-tree", self.git("write-tree"), "-p", parent, "-m", subject)


def history(tree: Tree, base: str) -> list[str]:
    """The base and eight commits: comments and messages, one that does not compile, one with another crash, and one
    that panics when dm-crypt writes."""
    original = tree.git("show", f"{base}:{FILE}") + "\n"
    starts = "static int crypt_map(struct dm_target *ti, struct bio *bio)\n{\n"
    opens = "static int crypt_ctr(struct dm_target *ti, unsigned int argc, char **argv)\n{\n"
    assert (original.count(starts), original.count(opens)) == (1, 1)
    panics = original.replace("\tunsigned max_sectors;\n\n\t/*\n\t * If bio is REQ_PREFLUSH", (
        "\tunsigned max_sectors;\n\n\tif (bio_data_dir(bio) == WRITE && bio_has_data(bio))\n"
        '\t\tpanic("dm-crypt: cannot write today");\n\n\t/*\n\t * If bio is REQ_PREFLUSH'))
    assert panics != original
    comment = "/* The end. */\n"
    texts = {
        "dm-crypt: mark the end": (FILE, original + comment),
        "dm-crypt: say it in other words": (FILE, original.replace("Invalid number of feature args", "Bad features")),
        "dm-crypt: say it as before": (FILE, original),
        "dm-crypt: forget a bracket": (FILE, original.replace(starts, starts[:-2])),
        "dm-crypt: find the bracket, and warn": (FILE, original.replace(opens, opens + "\tWARN_ON(argc);\n")),
        "dm-crypt: do not warn": (FILE, original),
        "dm-crypt: take a day off": (FILE, panics),
        "docs: a word on it": ("Documentation/dm-crypt-today.rst", "Not today.\n"),
    }
    commits = [base]
    for subject, (path, text) in texts.items():
        commits.append(tree.commit(commits[-1], subject, path, text))
    tree.git("update-ref", "refs/heads/main", commits[-1])
    return commits


@pytest.fixture
def place(tmp_path, base_kernel, guest_image):
    """A directory with a testcase and a repository, made of the package that all e2e tests build: in the same place."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "test_it.py").write_text(TESTCASE)
    tree = tmp_path / "linux"
    subprocess.run([sys.executable, "-m", "farm", "tree", "import", "debian:linux-source-6.12", str(tree),
                    "--no-checkout"], check=True, timeout=900)
    return tmp_path


@pytest.fixture
def start(place):
    """Starts farm commands there; what still runs in the end is killed."""
    started = []

    def start(*argv: str) -> "subprocess.Popen[str]":
        started.append(subprocess.Popen(
            [sys.executable, "-m", "farm", *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            cwd=place, env={**os.environ, "FARM_TMPDIR": str(place / "tmp")}))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate(timeout=60)


def steps(place: Path) -> list[str]:
    (path,) = [*place.glob("b/steps.jsonl"), None][:1]
    return path.read_text().splitlines() if path else []


def test_a_bisection_survives_its_death_and_names_the_commit(place, start):
    tree = Tree(place / "linux")
    commits = history(tree, tree.git("rev-parse", "HEAD"))
    objects = sorted(path for path in (place / "linux").rglob("*"))
    ask = ["bisect", "--tree", str(place / "linux"), "--good", commits[0], "--bad", "main", "--dir", "b",
           "--duration", "2", "test_it.py"]

    process = start(*ask)
    end = time.monotonic() + 1800
    while not any('"answer"' in line and commits[0] in line for line in steps(place)):  # both ends are known
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "the ends were never verified"
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    before = steps(place)

    process = start(*ask)
    out, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, out
    print(out)
    assert steps(place)[:len(before)] == before
    assert f"({FILE}: crypt_map)" in out  # those who touched what failed were asked about first
    # In doubt the bad end is run again for how often the bug shows; verifying it twice would take more runs than that.
    runs = Counter(json.loads(line)["run"]["commit"] for line in steps(place) if '"run"' in line)
    assert runs[commits[8]] <= BELIEVED < 2 * ENOUGH

    report = json.loads((place / "b/report.json").read_text())
    assert [one["commit"] for one in report["culprits"]] == [commits[GUILTY]]
    assert report["culprits"][0]["subject"] == "dm-crypt: take a day off"
    assert report["confidence"] >= 0.95
    assert (report["symptom"]["kind"], report["symptom"]["function"]) == ("panic", "crypt_map")
    assert report["proof"]["confirmed"] is True, report["proof"]
    assert "crypt_map" in report["crash"]
    # Nobody waited for answers of a kernel that had panicked; QEMU gave its own.
    shown = [path for path in place.glob("b/runs/*/*/evidence")
             if json.loads((path.parent / "result.json").read_text())["outcome"] == "fail"
             and "end Kernel panic" in (path.parent / "console.log").read_text(errors="replace")]
    assert shown
    for evidence in shown:
        assert "had panicked" in (evidence / "sysrq-w.txt").read_text()
        assert "RIP=" in (evidence / "registers.txt").read_text()
    assert f"#regzbot introduced: {commits[GUILTY]}" in report["regzbot"]
    answers = {row["commit"]: row["answer"] for row in report["steps"]}
    assert answers.get(commits[BROKEN], "skip") == "skip"
    assert answers.get(commits[CRASHING], "skip") == "skip"
    assert answers[commits[GUILTY]] == "bug"
    assert (place / "b/git-bisect.log").read_text().count("git bisect") >= 3
    # The user's repository is as it was, and nothing runs on.
    assert sorted(path for path in (place / "linux").rglob("*")) == objects
    assert bearers(place / "tmp") == []

    # `farm judge` has the statuses of `git bisect run`; kernels come from the cache.
    for number, symptom, status in ((GUILTY, "panic:crypt_map", 1), (GUILTY, "warning", 125)):
        judged = start("judge", "--tree", "linux", "--rev", commits[number], "--symptom", symptom, "test_it.py",
                       "--duration", "2")
        out, _ = judged.communicate(timeout=900)
        assert judged.returncode == status, out
