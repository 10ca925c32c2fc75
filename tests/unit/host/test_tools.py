"""The table of tools, and installing what is missing, with a made-up apt."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from farm.host import packages, tools
from farm.host.tools import TOOLS, Need, Tool

ROOT = Path(__file__).resolve().parents[3]
ON_EVERY_DEBIAN = {"apt-get", "apt-config", "apt-cache", "dpkg-query", "env", "cat", "sh", "cp"}
A, B = Tool("a", "pkg-a", "this"), Tool("b", "pkg-b", "that", need=Need.OPTIONAL)


class Apt:
    """Answers like apt; remembers what it was told."""

    def __init__(self, *, archive: set[str], after_update: set[str] | None = None, failures: int = 0) -> None:
        self.archive = archive
        self.after_update = archive if after_update is None else after_update
        self.failures = failures
        self.told: list[str] = []
        self.said: list[str] = []

    def run(self, argv: Sequence[str]) -> tuple[int, str]:
        if argv[0] == "apt-cache":
            return (0 if argv[-1] in self.archive else 100), ""
        self.told.append(" ".join(argv))
        if argv[-1] == "update":
            self.archive = self.after_update
            return 0, ""
        self.failures -= 1
        return (100, "E: 404  Not Found") if self.failures >= 0 else (0, "")

    def install(self, *wanted: Tool, root: bool = True, lists: bool = True) -> None:
        packages.install(wanted, self.run, self.said.append, root=root, lists_exist=lambda: lists)

    @property
    def updates(self) -> int:
        return sum(line.endswith("update") for line in self.told)


def test_every_tool_is_in_the_table_once() -> None:
    names = [tool.name for tool in TOOLS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_rows_make_sense(tool: Tool) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", tool.package)
    assert tool.purpose
    assert re.compile(tool.pattern).groups == 1
    assert all(not pattern.startswith("/") for pattern in tool.files)


def test_programs_named_in_the_code_are_in_the_table() -> None:
    """What `farm.host.process` starts must be known to the doctor that its error message points to.

    Higher up, `run` means a command in the guest.
    """
    started = re.compile(r"(?:run|spawn|_run|_succeeds)\(\s*\[\"([a-z][\w.+-]*)\"")
    sources = [path for part in ("host", "kernel", "image") for path in (ROOT / "farm" / part).glob("*.py")]
    found = {name for path in sources for name in started.findall(path.read_text())}
    assert found, "the pattern no longer matches how programs are started"
    assert found - {tool.name for tool in TOOLS} - ON_EVERY_DEBIAN == set()


def test_missing_is_in_order_and_for_this_user() -> None:
    gone = Tool("no-such-1", "x", "x"), Tool("no-such-2", "y", "y", unprivileged=True), Tool("sh", "dash", "z")
    assert tools.missing(gone, root=True) == [gone[0]]
    assert tools.missing(gone, root=False) == [gone[0], gone[1]]


def test_files_are_looked_for_by_pattern(tmp_path: Path) -> None:
    tool = Tool("source", "x", "x", files=("usr/src/no", "usr/src/s.tar.*"))
    assert tool.find(tmp_path) is None
    (tmp_path / "usr/src").mkdir(parents=True)
    (tmp_path / "usr/src/s.tar.xz").touch()
    assert tool.find(tmp_path) == tmp_path / "usr/src/s.tar.xz"


def test_programs_of_the_administrator_are_found_without_their_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert Tool("mke2fs", "e2fsprogs", "x").find() is not None


@pytest.mark.parametrize(("root", "sudo", "first"), [
    (True, "/usr/bin/sudo", "apt-get"), (False, "/usr/bin/sudo", "sudo"), (False, None, "apt-get"),
])
def test_apt_line(root: bool, sudo: str | None, first: str) -> None:
    line = tools.apt_line(["x"], root=root, which=lambda _: sudo)
    assert line[0] == first
    assert line[-5:] == ["apt-get", "install", "--yes", "--no-install-recommends", "x"]


def test_each_package_is_installed_once() -> None:
    assert tools.packages_of([A, B, Tool("c", "pkg-a", "x")]) == ["pkg-a", "pkg-b"]


def test_known_packages_are_installed_without_an_update() -> None:
    apt = Apt(archive={"pkg-a", "pkg-b"})
    apt.install(A, B)
    assert apt.updates == 0
    assert len(apt.told) == 1
    assert apt.told[0].startswith("env DEBIAN_FRONTEND=noninteractive apt-get -q ")
    assert apt.told[0].endswith("pkg-a pkg-b")


def test_empty_lists_are_fetched_first() -> None:
    apt = Apt(archive=set(), after_update={"pkg-a", "pkg-b"})
    apt.install(A, B, lists=False)
    assert [line.endswith("update") for line in apt.told] == [True, False]


def test_a_required_package_that_is_unknown_has_the_lists_fetched() -> None:
    apt = Apt(archive=set(), after_update={"pkg-a"})
    apt.install(A)
    assert apt.updates == 1
    assert apt.told[-1].endswith("pkg-a")


def test_stale_lists_are_fetched_when_installing_fails_and_only_once() -> None:
    apt = Apt(archive={"pkg-a"}, failures=1)
    apt.install(A)
    assert [line.rpartition(" ")[2] for line in apt.told] == ["pkg-a", "update", "pkg-a"]


def test_an_optional_package_that_does_not_exist_is_left_out_without_an_update() -> None:
    apt = Apt(archive={"pkg-a"})
    apt.install(A, B)
    assert apt.updates == 0
    assert apt.told[-1].endswith(" pkg-a")
    assert any("pkg-b is not in this host's package archive" in line for line in apt.said)


def test_nothing_but_unknown_options_is_no_work() -> None:
    apt = Apt(archive=set())
    apt.install(B)
    assert apt.told == []


def test_a_failure_shows_apts_words_and_the_line() -> None:
    apt = Apt(archive={"pkg-a"}, failures=9)
    with pytest.raises(packages.CannotInstallError, match=r"404  Not Found\n.*Try: apt-get install .*pkg-a"):
        apt.install(A)


def test_without_root_and_sudo_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "apt_line", lambda names, root: ["apt-get", "install", *names])
    apt = Apt(archive={"pkg-a"})
    with pytest.raises(packages.CannotInstallError, match="As root, run: apt-get install pkg-a"):
        apt.install(A, root=False)
    assert apt.told == []


def test_sudo_is_announced_and_leads_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "apt_line", lambda names, root: ["sudo", "apt-get", "install", *names])
    apt = Apt(archive={"pkg-a"}, failures=1)
    apt.install(A, root=False)
    assert all(line.startswith("sudo ") for line in apt.told)
    assert any("sudo" in line for line in apt.said)


def test_a_foreign_python_without_venv_is_not_apts_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(packages.CannotInstallError, match="not Debian's own Python"):
        packages.wanted("/opt/python/bin/python3")
    assert packages.VENV in packages.wanted("/usr/bin/python3")


def test_it_runs_without_the_virtual_environment_and_is_quick() -> None:
    """`make` calls it first thing: isolated from site-packages it must import, and say nothing on a complete host."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from farm.host import packages; packages.missing()"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
