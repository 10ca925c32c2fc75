"""Every mistake gets a sentence and a status, never a traceback, and leaves nothing behind."""

import os
import subprocess
from pathlib import Path

import pytest

from farm.host.workdir import data_directory
from tests.cli.warm import Warm

# A text that speaks of dm-crypt, which is all that a report has to do.
MENTION = str(data_directory("testcases") / "mutants/dm-crypt-null-callback.patch")


@pytest.fixture(scope="module")
def warm():
    warm = Warm()
    yield warm
    warm.close()


@pytest.fixture
def farm(tmp_path, warm):
    """Runs the real command in an empty directory with a cache and a temporary directory of its own."""
    for name in ("cache", "tmp", "here"):
        (tmp_path / name).mkdir()

    def run(*argv, **environment):
        own = {"FARM_CACHE": str(tmp_path / "cache"), "FARM_TMPDIR": str(tmp_path / "tmp")}
        return warm.run(argv, tmp_path / "here", {**os.environ, **own, **environment})

    yield run
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "here/runs").exists()


def repository(path: Path) -> Path:
    """A git repository that is no kernel tree."""
    path.mkdir()
    (path / "README").write_text("not a kernel\n")
    for argv in (["init", "-q"], ["add", "-A"],
                 ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *argv], cwd=path, check=True)
    return path


def check(done, *words):
    assert done.returncode not in (0, 1), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize(("argv", "words"), [
    (["run", "test_nothing.py"], ["no testcase test_nothing.py", "test_luks2.py"]),
    (["run", "/etc/hostname"], ["/etc/hostname", "could not be loaded"]),
    (["run", "test_crypt_inline.py::test_inline[nope]"], ["has no parameters [nope]", "It has [fast-512-"]),
    (["run", "-m", "smoke and"], ["Wrong expression", "could not be loaded"]),
    (["run", "-n", "x"], ["-n", "neither auto nor a number"]),
    (["run", "--runs-dir", "/proc/x"], ["/proc/x cannot be made or written to"]),
    (["run", "--runs-dir", "/etc/hostname"], ["/etc/hostname cannot be made or written to: Not a directory"]),
    (["run", "--events", "/nowhere/x"], ["/nowhere/x cannot be made or written to: No such file"]),
    (["run", "test_luks2.py", "--stack", "nodata / xfs"], ["namespace 'nodata', but the machine has data"]),
    (["shell", "--stack", "data / xfs / crypt"], ["'data / xfs / crypt' cannot be built"]),
    (["run", "--rev", "v6.12"], ["--rev v6.12 needs --tree"]),
    (["run", "--source", "debian:linux-source-6.12", "--tree", "."], ["two different kernels"]),
    (["run", "--accel", "xen"], ["xen"]),
    (["run", "--seed", "many"], ["--seed", "'many' is not a number"]),
    (["run", "--seed=-1"], ["--seed", "-1 is not between 0 and 9223372036854775807"]),
    (["run", "--duration", "nan"], ["--duration", "nan is not between 0.1 and 86400"]),
    (["run", "--rounds", "0"], ["--rounds", "0 is not between 1 and 1000000"]),
    (["shell", "--ssh-port", "99999"], ["--ssh-port", "99999 is not between 1 and 65535"]),
    (["cache", "prune", "--max-size", "9" * 400], ["is no size"]),
    (["run", "--kernel-image", "/nowhere/bzImage"], ["/nowhere/bzImage", "No such file"]),
    (["run", "--kernel-image", "/etc/passwd"], ["no bzImage"]),
    (["run", "--flavor", "strawberry"], ["strawberry", "base", "lockdep"]),
    (["run", "--config", "XFS_FS"], ["XFS_FS"]),
    (["run", "--config", "=y"], ["=y"]),
    (["run", "--patch", "/nowhere/fix.patch"], ["/nowhere/fix.patch"]),
    (["run", "--tree", "/nowhere"], ["/nowhere"]),
    (["dump", "live"], ["No guest of a run in runs", "--keep-on-failure"]),
    (["dump", "."], ["is no run directory", "farm dump live"]),
    (["dump", "/nowhere"], ["/nowhere is no run directory"]),
    (["shell", "--attach", "."], ["No guest of .", "--keep-on-failure"]),
    (["shell", "--end"], ["--end needs --attach"]),
    (["shell", "."], ["is no run directory, and has no testcases"]),
    (["shell", "test_nothing.py"], ["no testcase test_nothing.py"]),
    (["repro", "/nowhere"], ["/nowhere", "No such file"]),
    (["repro", "/dev/null"], ["is empty"]),
    (["repro", "/etc/hostname"], ["names nothing that a testcase of the farm reaches"]),
    (["repro", MENTION, "--run", "--patch", "/nowhere.patch"], ["/nowhere.patch"]),
    (["repro", MENTION, "--run", "--rev", "v6.12"], ["--rev v6.12 needs --tree"]),
    (["repro", MENTION, "--run", "--tree", "/nowhere"], ["/nowhere"]),
    (["repro", MENTION, "--run", "--dir", "/proc/no"], ["/proc/no cannot be made"]),
    (["reach", "test_nothing.py"], ["no testcase test_nothing.py"]),
    (["reach", "--from", "."], ["Nothing was measured"]),
    (["test-patch", "/nowhere.patch", "--testcase", "test_swap.py"], ["/nowhere.patch"]),
    (["test-patch", "/etc/hostname"], ["--testcase", "--report"]),
    (["test-patch", MENTION, "--report", "/etc/hostname"], ["/etc/hostname", "names nothing"]),
    (["test-patch", MENTION, "--report", "/etc/hostname", "--testcase", "test_swap.py"],
     ["names nothing by which a failure could be told", "With --testcase alone"]),
    (["test-patch", "/etc/hostname", "--testcase", "test_nothing.py"], ["no testcase test_nothing.py"]),
    (["bundle", "/nowhere"], ["/nowhere", "is no run"]),
    (["bundle", "."], ["is no run directory"]),
    (["replay", "/nowhere.farm.tar.gz"], ["no bundle /nowhere.farm.tar.gz"]),
    (["replay", "/etc/passwd"], ["no bundle of the farm"]),
    (["run", "--image-recipe", "gentoo"], ["gentoo", "debian"]),
    (["build", "--source", "debian:linux-source-0.1"], ["linux-source-0.1", "apt-get install"]),
    (["build", "--source", "tar:linux"], ["tar:linux"]),
    (["cache", "prune", "--max-size", "big"], ["big"]),
    (["classify", "/nowhere/console.log"], ["/nowhere/console.log"]),
    (["qualify", "strawberry"], ["no mutant strawberry", "dm-crypt-null-callback"]),
    (["qualify", "--runs", "0"], ["--runs"]),
    (["qualify", "--resume", "/nowhere"], ["/nowhere"]),
    (["qualify", "--resume", "/etc"], ["--resume /etc is not the run directory of a farm qualify"]),
    (["judge", "test_nothing.py"], ["no testcase test_nothing.py"]),
    (["judge", "test_crypt_inline.py::test_inline[typo]"], ["has no parameters [typo]", "[cryptd-4096-no_read"]),
    (["run", "test_swap.py", "test_crypt_inline.py::test_a_full_queue[x]"], ["has no testcase test_a_full_queue[x]"]),
    (["run", "test_crypt_ciphers.py::test_a_full_queue[x]"], ["has no parameters [x]. It has none"]),
    (["judge", "test_crypt.py", "--stack", "data / crypt / zfs"], ["zfs"]),
    (["bisect", "test_crypt_inline.py::test_inline[typo]", "--tree", ".", "--good", "a", "--bad", "b"],
     ["has no parameters [typo]"]),
    (["bisect-config", "test_crypt_inline.py::test_inline[typo]", "--good-config", "/dev/null", "--bad-config",
      "/dev/null"], ["has no parameters [typo]"]),
    (["test-patch", MENTION, "--testcase", "test_crypt_inline.py::test_inline[typo]"],
     ["has no parameters [typo]"]),
    (["judge", "test_crypt.py", "--symptom", ":f"], ["--symptom", "names no kind"]),
    (["judge", "test_crypt.py", "--symptom", "panik"], ["--symptom 'panik' names no kind", "hung-task"]),
    (["judge", "test_crypt.py", "--tree", "/nowhere"], ["/nowhere"]),
    (["bisect", "test_crypt.py", "--tree", ".", "--good", "a"], ["--bad"]),
    (["bisect", "test_nothing.py", "--tree", ".", "--good", "a", "--bad", "b"], ["no testcase test_nothing.py"]),
    (["bisect", "test_crypt.py", "--tree", ".", "--good", "a", "--bad", "b"], ["git"]),
    (["bisect", "resume", "/nowhere"], ["/nowhere", "no bisection"]),
    (["bisect", "log", "/nowhere"], ["/nowhere", "no bisection"]),
    (["bisect-config", "test_crypt.py", "--good-config", "/etc/hostname"], ["--bad-config"]),
    (["bisect-config", "test_crypt.py", "--good-config", "/nowhere", "--bad-config", "/nowhere"],
     ["/nowhere cannot be read", "No such file"]),
    (["bisect-config", "test_crypt.py", "--good-config", "/etc/passwd", "--bad-config", "/etc/passwd"],
     ["/etc/passwd is no .config"]),
    (["bisect-config", "test_nothing.py", "--good-config", "/etc/passwd", "--bad-config", "/etc/passwd"],
     ["no testcase test_nothing.py"]),
    (["bisect-config", "test_crypt.py", "--flavor", "base"], ["--flavor"]),
    (["tree", "import", "linux", "/nowhere/x"], ["no source package"]),
    (["tree", "import", "debian:linux-source-6.12", "/etc"], ["/etc", "not empty"]),
    (["frobnicate"], ["frobnicate"]),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_sentence(farm, argv, words):
    check(farm(*argv), *words)


def test_a_report_of_what_every_testcase_reaches(farm, tmp_path):
    (tmp_path / "report").write_text("bio_uninit() is wrong\n")
    check(farm("repro", str(tmp_path / "report")), "Every testcase of the farm reaches", "bio_uninit", "--patch")
    (tmp_path / "report").write_text("btrfs_frobnicate() is wrong: it calls bio_uninit()\n")
    check(farm("repro", str(tmp_path / "report")), "names nothing that a testcase of the farm reaches")


def test_tree_that_is_no_kernel(farm, tmp_path):
    check(farm("build", "--tree", str(repository(tmp_path / "tree"))), "kernel tree", str(tmp_path / "tree"))


def test_patch_for_a_tree_that_is_no_kernel(farm, tmp_path):
    check(farm("test-patch", MENTION, "--testcase", "test_swap.py", "--tree", str(repository(tmp_path / "tree"))),
          "not a kernel tree")


def test_unknown_revision(farm, tmp_path):
    check(farm("build", "--tree", str(repository(tmp_path / "tree")), "--rev", "v99"), "v99")


def test_ends_of_a_bisection(farm, tmp_path):
    tree = str(repository(tmp_path / "tree"))
    check(farm("bisect", "test_crypt.py", "--tree", tree, "--good", "v99", "--bad", "HEAD"), "v99")
    check(farm("bisect", "test_crypt.py", "--tree", tree, "--good", "HEAD", "--bad", "HEAD"), "not a kernel tree")


def test_configurations_of_a_tree_that_is_none(farm, tmp_path):
    for name in ("good", "bad"):
        (tmp_path / name).write_text(f"CONFIG_{name.upper()}=y\n")
    ask = ("bisect-config", "test_crypt.py", "--good-config", str(tmp_path / "good"), "--bad-config",
           str(tmp_path / "bad"))
    check(farm(*ask, "--tree", str(tmp_path)), str(tmp_path), "git")
    check(farm(*ask, "--rev", "v6.12"), "--rev v6.12 needs --tree")
    check(farm(*ask, "--tree", str(repository(tmp_path / "tree"))), "not a kernel tree")


def test_directory_that_is_no_repository(farm, tmp_path):
    check(farm("build", "--tree", str(tmp_path)), str(tmp_path), "git")


def test_undefined_template_variable(farm, tmp_path):
    flavors = tmp_path / "flavors"
    flavors.mkdir()
    (flavors / "flavors.toml").write_text('[mine]\ndescription = "mine"\nextends = ["base"]\nfragments = ["mine"]\n')
    (flavors / "mine.config.j2").write_text("# my own\nCONFIG_NR_CPUS={{ how_many }}\n")
    check(farm("build", "--config-dir", str(flavors), "--flavor", "mine"), "how_many", "mine.config.j2", "2")


def test_missing_tool_names_the_doctor(farm, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("git", "sh"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    done = farm("build", "--source", "debian:linux-source-6.12", PATH=str(tools))
    check(done, "farm doctor")


def test_cache_that_cannot_be_written(farm, tmp_path):
    (tmp_path / "file").write_text("")
    check(farm("image", FARM_CACHE=str(tmp_path / "file")), str(tmp_path / "file"), "FARM_CACHE")


@pytest.mark.parametrize(("text", "name", "said"), [
    ("def test_a(:\n", "test_it.py", "line 1"),
    ("def test_a(): pass\n", "test_it.py::test_b", "It has test_a."),
])
def test_testcase_that_cannot_be_loaded(farm, tmp_path, text, name, said):
    (tmp_path / "here/test_it.py").write_text(text)
    check(farm("run", name), "test_it.py", said)


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o755), (0o027, 0o750), (0o077, 0o700)], ids=oct)
def test_what_is_made_is_for_nobody_else_to_write(tmp_path, warm, umask, mode):
    environment = {**os.environ, "FARM_DATA": str(tmp_path / "data"), "FARM_TMPDIR": str(tmp_path)}
    assert warm.run(["history"], tmp_path, environment, umask).returncode == 0
    made = [tmp_path / "data", *(tmp_path / "data").iterdir()]
    assert len(made) > 1
    assert not [path for path in made if path.stat().st_mode & 0o022]
    assert made[0].stat().st_mode & 0o777 == mode
