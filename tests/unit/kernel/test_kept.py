"""Pruning what builds keep."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from farm.cli import cache as cli
from farm.host.cache import Store
from farm.host.workdir import Workdir
from farm.kernel import kept, trees


def write(path: Path, size: int, when: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path.parent, (when, when))
    return path


@pytest.fixture
def filled(workdir: Workdir) -> Workdir:
    tree = workdir.root / "trees" / "t"
    write(tree / "work" / "file", 50_000, 100)
    write(tree / "repository.git" / "pack", 50_000, 100)
    write(tree / "o" / "base" / "vmlinux", 100_000, 200)
    write(tree / "o" / "debug" / "vmlinux", 200_000, 300)
    write(workdir.root / "ccache" / "x", 10_000, 100)
    return workdir


def test_an_output_directory_is_older_than_its_tree(filled: Workdir) -> None:
    assert [(one.kind, one.path.name, int(one.used)) for one in kept.kept(filled)] == [
        ("output", "base", 200), ("output", "debug", 300), ("tree", "t", 300), ("ccache", "ccache", 300)]
    assert kept.kept(filled)[1].size >= 200_000


def test_what_a_build_uses_stays(filled: Workdir) -> None:
    base = kept.kept(filled)[0]
    with trees.opened(filled, "t"):
        assert not kept.remove(filled, base)
    assert base.path.exists()
    assert kept.remove(filled, base)
    assert sorted(path.name for path in base.path.parent.iterdir()) == ["debug"]


def test_the_command_prunes_results_and_helpers_by_age(filled: Workdir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_CACHE", str(filled.root))
    store = Store(filled.root / "store")

    def make(directory: Path) -> dict[str, str]:
        (directory / "bzImage").write_bytes(b"x" * 30_000)
        return {"flavor": "base", "release": "6.12"}

    entry = store.build("kernel", "k" * 64, make)
    os.utime(entry.path / "used", (250, 250))
    del entry
    listed = json.loads(CliRunner().invoke(cli.command, ["list", "--json"]).output)
    assert [item["kind"] for item in listed] == ["output", "kernel", "output", "tree", "ccache"]
    total = sum(item["size"] for item in listed)
    removed = CliRunner().invoke(cli.command, ["prune", "--max-size", str(total - 110_000), "--json"])
    assert [item["kind"] for item in json.loads(removed.output)] == ["output", "kernel"]
    assert store.entries() == []
    assert "removed tree t" in CliRunner().invoke(cli.command, ["prune", "--max-size", "0"]).output
    assert kept.kept(filled) == []


@pytest.mark.parametrize(("text", "size"), [
    ("5G", 5 << 30), ("1.5k", 1536), ("10", 10), ("2 MiB", 2 << 20), ("1TB", 1 << 40)])
def test_sizes(text: str, size: int) -> None:
    assert cli.parse_size(None, None, text) == size  # type: ignore[arg-type]


def test_no_size() -> None:
    done = CliRunner().invoke(cli.command, ["prune", "--max-size", "lots"])
    assert done.exit_code != 0
    assert "lots is no size" in done.output
