"""Real kernels, built by the `farm` command as a user runs it."""

import difflib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.host.cache import Entry, Store
from farm.host.workdir import Workdir
from farm.kernel import BuildRequest, kept, trees
from farm.kernel.configure import configure
from farm.kernel.flavors import compose, load
from farm.kernel.git import Repository
from farm.kernel.make import Make
from farm.kernel.sources import resolve

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(5400)]

SOURCE = "debian:linux-source-6.12"
FARM = [sys.executable, "-c", "from farm.cli import main; main()", "build"]
OBJECT = re.compile(r"^  CC ", re.MULTILINE)
WORKDIR = Workdir.default()


def farm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*FARM, *arguments], capture_output=True, text=True, check=False)


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*FARM, "--json", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True)


def built(*arguments: str) -> dict[str, Any]:
    done = farm("--json", *arguments)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    """The base flavor of 6.12, from the cache when it is there."""
    return built("--source", SOURCE)


@pytest.fixture
def clean() -> Iterator[None]:
    """Entries that a test adds to the cache go when it ends."""
    store = Store(WORKDIR.root / "store")
    before = {entry.path for entry in store.entries()}
    yield
    for entry in store.entries():
        if entry.path not in before and entry.kind == "kernel":
            store.remove(entry)


def tree_name() -> str:
    return resolve(BuildRequest(source=SOURCE), WORKDIR).tree


def output(flavor: str = "base") -> Path:
    return trees.Tree(WORKDIR.root / "trees" / tree_name()).output(flavor)


@pytest.fixture
def patch(base: dict[str, Any], tmp_path: Path) -> Callable[[str, str, str], str]:
    """Makes a patch that replaces a text in a file of 6.12 once; new to the cache every time."""
    repository = Repository(WORKDIR.root / "trees" / tree_name() / "repository.git")

    def make(file: str, old: str, new: str) -> str:
        before = repository.run("show", f"main:{file}").stdout
        assert old in before
        after = before.replace(old, new, 1) + f"/* {uuid.uuid4()} */\n"
        lines = difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{file}", f"b/{file}")
        path = tmp_path / f"{uuid.uuid4()}.patch"
        path.write_text("".join(lines))
        return str(path)

    return make


def entries() -> set[Path]:
    return {entry.path for entry in Store(WORKDIR.root / "store").entries()}


def compilers() -> list[str]:
    """Command lines of processes that work in the kept trees."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"O={output()}" in line or f"{output().parents[1]}/work" in line:
            found.append(line)
    return found


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.1)


class TestBase:
    def test_the_image_boots_the_release_that_it_says(self, base: dict[str, Any]) -> None:
        assert base["release"].startswith("6.12.")
        assert base["release"].endswith("-farm")
        assert base["release"].encode() in Path(base["image"]).read_bytes()[:1 << 16]
        assert "CONFIG_DM_CRYPT=y\n" in Path(base["config"]).read_text()
        assert Path(base["log"]).stat().st_size > 0
        assert base["vmlinux"] is None
        assert base["modules"] is None

    def test_a_build_with_nothing_changed_builds_nothing(self, base: dict[str, Any]) -> None:
        again = built("--source", SOURCE)
        assert again["cached"]
        assert again["build"] == base["build"]

    @pytest.mark.usefixtures("clean")
    def test_the_same_configuration_makes_the_same_image(self, base: dict[str, Any]) -> None:
        again = built("--source", SOURCE, "--config", "DM_ZERO=y")
        assert not again["cached"]
        assert Path(again["image"]).read_bytes() == Path(base["image"]).read_bytes()

    @pytest.mark.usefixtures("clean")
    def test_a_corrupt_entry_is_found_and_built_again(self, base: dict[str, Any]) -> None:
        image = Path(built("--source", SOURCE, "--config", "DM_DELAY=y")["image"])
        good = image.read_bytes()
        image.write_bytes(good[:-1] + b"?")
        done = farm("--json", "--source", SOURCE, "--config", "DM_DELAY=y")
        assert "is corrupt (bzImage differs from its digest)" in done.stderr
        assert not json.loads(done.stdout)["cached"]
        assert image.read_bytes() == good


@pytest.mark.usefixtures("clean")
class TestPatches:
    def test_one_changed_file_compiles_few_objects(
        self, base: dict[str, Any], patch: Callable[[str, str, str], str]
    ) -> None:
        result = built("--source", SOURCE, "--patch", patch("drivers/md/dm-zero.c", "MODULE_LICENSE", "MODULE_LICENSE"))
        again = built("--source", SOURCE, "--patch", patch("drivers/md/dm-zero.c", "MODULE_LICENSE", "MODULE_LICENSE"))
        log = Path(again["log"]).read_text()
        assert "CC      drivers/md/dm-zero.o" in log
        assert len(OBJECT.findall(log)) < 20
        assert result["build"] != again["build"]
        print(f"incremental build: {again['seconds']} s, {again['cpu_seconds']} CPU seconds")

    def test_a_patch_that_does_not_apply_names_patch_file_and_hunk(
        self, base: dict[str, Any], patch: Callable[[str, str, str], str]
    ) -> None:
        path = Path(patch("drivers/md/dm-zero.c", "static int zero_ctr", "static  int zero_ctr"))
        path.write_text(path.read_text().replace("-static int zero_ctr", "-static long zero_ctr"))
        done = farm("--source", SOURCE, "--patch", str(path))
        assert done.returncode == 129
        assert re.search(rf"--patch {path} does not apply: drivers/md/dm-zero\.c:\d+ \(hunk 1, @@ ", done.stderr)

    def test_a_patch_that_does_not_compile_names_file_and_line(
        self, base: dict[str, Any], patch: Callable[[str, str, str], str]
    ) -> None:
        before = entries()
        done = farm("--source", SOURCE, "--patch", patch("drivers/md/dm-zero.c", "static int zero_ctr",
                                                         "static int nonsense = undeclared;\nstatic int zero_ctr"))
        assert done.returncode == 1
        assert re.search(r"does not compile: drivers/md/dm-zero\.c:\d+: .undeclared. undeclared here", done.stderr)
        log = re.search(r"The whole log is (\S+)\.$", done.stderr, re.MULTILINE)
        assert log is not None
        assert "undeclared" in Path(log[1]).read_text()
        assert entries() == before


class TestConfiguration:
    @pytest.mark.parametrize(("override", "said"), [
        ("NO_SUCH_SYMBOL=y", "the tree knows no symbol CONFIG_NO_SUCH_SYMBOL"),
        ("ARM64_PAN=y", "the tree knows no symbol CONFIG_ARM64_PAN"),
        ("DM_VERITY_FEC=y", "CONFIG_DM_VERITY_FEC=y was asked for .* its dependency is not met: DM_VERITY [=n]"),
        ("CRC32=n", "CONFIG_CRC32=n was asked for .* has y: selected by "),
        ("NR_CPUS=100000", "CONFIG_NR_CPUS=100000 was asked for .* has 512: its range is "),
    ])
    def test_what_does_not_come_through_is_named_with_the_reason(
        self, base: dict[str, Any], override: str, said: str
    ) -> None:
        done = farm("--source", SOURCE, "--config", override)
        assert done.returncode == 129
        assert re.search(said.replace("[", r"\["), done.stderr)
        assert f"--config {override}: " in done.stderr

    @pytest.mark.parametrize("source", [SOURCE, "debian:linux-source-6.1"])
    def test_every_flavor_comes_through(self, source: str) -> None:
        found = resolve(BuildRequest(source=source), WORKDIR)
        with trees.opened(WORKDIR, found.tree) as tree, tree.scratch() as scratch:
            tree.checkout(found.prepare(tree.repository, scratch))
            for name in load():
                # One directory for all: each starts anew, but the configuration tools are compiled once.
                make = Make(tree.work, scratch / "o", WORKDIR.directory("ccache"), jobs=2)
                with trees.compiling(make.output):
                    configure(tree, make, compose(name, ()), scratch)

    @pytest.mark.usefixtures("clean")
    def test_modules_are_kept_as_an_archive(self, base: dict[str, Any]) -> None:
        result = built("--source", SOURCE, "--config", "DM_FLAKEY=m")
        listed = subprocess.run(["tar", "tf", result["modules"]], capture_output=True, text=True, check=True).stdout
        assert f"lib/modules/{result['release']}/kernel/drivers/md/dm-flakey.ko\n" in listed


@pytest.mark.usefixtures("clean")
class TestProcesses:
    def test_two_processes_build_once(self, base: dict[str, Any], patch: Callable[[str, str, str], str]) -> None:
        path = patch("drivers/md/dm-zero.c", "MODULE_LICENSE", "MODULE_LICENSE")
        children = [start("--source", SOURCE, "--patch", path) for _ in range(2)]
        answers = [json.loads(child.communicate()[0]) for child in children]
        assert sorted(answer["cached"] for answer in answers) == [False, True]
        assert len({answer["build"] for answer in answers}) == 1

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
    def test_an_interrupted_build_leaves_nothing_that_looks_finished(
        self, base: dict[str, Any], patch: Callable[[str, str, str], str], number: signal.Signals
    ) -> None:
        before = entries()
        logs = WORKDIR.root / "logs"
        known = set(logs.glob("*.log"))
        # In a header that some sixty objects depend on, and no comment: ccache would compile none of them.
        declared = f"extern int farm_{uuid.uuid4().hex};\n#endif"
        child = start("--source", SOURCE, "--patch", patch("include/crypto/algapi.h", "#endif", declared))

        def compiling() -> bool:
            return any(len(OBJECT.findall(log.read_text())) > 5 for log in set(logs.glob("*.log")) - known)

        wait_for(compiling, 600, "the compiler")
        assert compilers()
        os.kill(child.pid, number)
        assert child.wait(30) == (-9 if number == signal.SIGKILL else 130)
        wait_for(lambda: not compilers(), 15, "the end of make")
        assert entries() == before
        assert (output() / trees.RUNNING).exists()
        again = built("--source", SOURCE, "--config", "DM_ZERO=y")
        assert Path(again["image"]).read_bytes() == Path(base["image"]).read_bytes()
        assert not (output() / trees.RUNNING).exists()
        assert list((WORKDIR.root / "store" / "tmp").iterdir()) == []
        for log in set(logs.glob("*.log")) - known:
            log.unlink()


@pytest.mark.usefixtures("clean")
def test_a_git_tree_builds_the_same_image_and_is_not_touched(base: dict[str, Any], tmp_path: Path) -> None:
    """The same content from a user's clone: another tree, other directories, and ccache has every object."""
    clone = tmp_path / "linux"
    origin = WORKDIR.root / "trees" / tree_name() / "repository.git"
    subprocess.run(["git", "clone", "-q", "--shared", "--no-checkout", str(origin), str(clone)], check=True)
    before = sorted((path, path.lstat().st_mtime_ns) for path in clone.rglob("*"))
    try:
        result = built("--tree", str(clone), "--rev", "origin/main")
        assert Path(result["image"]).read_bytes() == Path(base["image"]).read_bytes()
        assert sorted((path, path.lstat().st_mtime_ns) for path in clone.rglob("*")) == before
        print(f"with ccache from another tree: {result['seconds']} s, {result['cpu_seconds']} CPU seconds")
    finally:
        name = resolve(BuildRequest(source=str(clone), rev="origin/main"), WORKDIR).tree
        for one in kept.kept(WORKDIR):
            if one.path.is_relative_to(WORKDIR.root / "trees" / name):
                kept.remove(WORKDIR, one)


def test_entries_name_their_kernel(base: dict[str, Any]) -> None:
    found: list[Entry] = [
        entry for entry in Store(WORKDIR.root / "store").entries() if entry.key == base["build"]]
    assert [(entry.kind, entry.meta["flavor"], entry.meta["source"]) for entry in found] == [("kernel", "base", SOURCE)]
