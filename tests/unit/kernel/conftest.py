"""Small real git repositories with a tree that looks like a kernel's to the farm."""

import os
import subprocess
from pathlib import Path

import pytest

from farm.host.workdir import Workdir
from farm.kernel import git


def run_git(directory: Path, *arguments: str) -> str:
    """git as a user runs it, with an identity."""
    environment = {**os.environ, **git.IDENTITY, "GIT_CONFIG_GLOBAL": "/dev/null"}
    return subprocess.run(
        ["git", "-C", str(directory), *arguments], check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    return Workdir(tmp_path / "cache")


@pytest.fixture
def user_tree(tmp_path: Path) -> Path:
    """A repository with two commits; the second, tagged `new`, changes one file."""
    tree = tmp_path / "linux"
    (tree / "scripts" / "kconfig").mkdir(parents=True)
    (tree / "drivers").mkdir()
    (tree / "Makefile").write_text("all:\n")
    (tree / "Kconfig").write_text("config A\n\tbool\n")
    (tree / "scripts" / "kconfig" / "merge_config.sh").write_text("#!/bin/sh\n")
    (tree / "drivers" / "a.c").write_text("".join(f"int line{number};\n" for number in range(40)))
    (tree / "drivers" / "b.c").write_text("int b;\n")
    run_git(tree, "init", "-q", "-b", "main")
    run_git(tree, "add", "-A")
    run_git(tree, "commit", "-q", "-m", "old")
    run_git(tree, "tag", "old")
    (tree / "drivers" / "b.c").write_text("int b = 2;\n")
    run_git(tree, "commit", "-q", "-a", "-m", "new")
    run_git(tree, "tag", "new")
    return tree
