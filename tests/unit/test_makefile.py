"""The front door: what make offers and what it does when there is nothing to do."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOALS = {"help", "deps", "venv", "run", "test", "check", "bench", "bench-oracle", "bench-bisect", "bench-mutation",
         "clean"}


def make(*arguments: str, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # The suite itself may run below make.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    return subprocess.run(["make", "--no-print-directory", *arguments], cwd=directory, env=env, capture_output=True,
                          text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with the Makefile and what it reads, in which nothing was made yet."""
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "farm").symlink_to(ROOT / "farm")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    return tmp_path


def made(checkout: Path) -> None:
    """As if `make venv` had been here."""
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").symlink_to("/usr/bin/python3")
    (checkout / ".venv/.made-by-make").write_text(str(checkout))


def test_help_is_the_default_and_lists_every_goal() -> None:
    shown = make().stdout
    assert shown == make("help").stdout
    assert set(re.findall(r"^  make ([a-z-]+)  ", shown, re.MULTILINE)) == GOALS


def test_the_quick_tests_come_first_and_none_is_left_out() -> None:
    line = next(line for line in make("-n", "test").stdout.splitlines() if "/pytest" in line)
    folders = [word for word in line.split() if word.startswith("tests/")]
    assert folders[0] == "tests/unit"
    assert folders[-1] == "tests/e2e"
    assert {ROOT / folder for folder in folders} == {
        folder for folder in (ROOT / "tests").iterdir() if folder.is_dir() and folder.name != "__pycache__"
    }


def test_a_fresh_checkout_makes_its_virtual_environment(checkout: Path) -> None:
    shown = make("-n", "run", directory=checkout).stdout
    assert "-m venv --clear .venv" in shown
    assert shown.index("farm.host.packages") < shown.index("-m venv") < shown.index("bin/farm run")


def test_a_checkout_in_which_all_is_made_goes_straight_to_work(checkout: Path) -> None:
    made(checkout)
    shown = make("-n", "run", directory=checkout).stdout
    assert "-m venv" not in shown
    assert "pip" not in shown
    assert make("venv", directory=checkout).stdout == ""


def test_changed_requirements_are_installed_into_the_same_environment(checkout: Path) -> None:
    made(checkout)
    os.utime(checkout / ".venv/.made-by-make", (0, 0))
    shown = make("-n", "venv", directory=checkout).stdout
    assert "pip" in shown
    assert "-m venv" not in shown


@pytest.mark.parametrize("harm", ["moved", "python gone", "interrupted"])
def test_a_virtual_environment_that_cannot_work_is_made_again(checkout: Path, harm: str) -> None:
    made(checkout)
    stamp = checkout / ".venv/.made-by-make"
    if harm == "moved":
        stamp.write_text("/elsewhere")
    elif harm == "python gone":
        (checkout / ".venv/bin/python").unlink()
        (checkout / ".venv/bin/python").symlink_to("/nonexistent")
    else:
        stamp.unlink()
    assert "-m venv --clear .venv" in make("-n", "venv", directory=checkout).stdout


def test_an_old_python_is_one_sentence(checkout: Path) -> None:
    old = checkout / "python3"
    pretence = "import sys; sys.version_info = (3, 9); sys.executable = 'old'; exec(sys.argv[2])"
    old.write_text(f'#!/bin/sh\nexec /usr/bin/python3 -c "{pretence}" "$@"\n')
    old.chmod(0o755)
    done = make(f"PYTHON={old}", "venv", directory=checkout)
    assert done.returncode != 0
    assert "old is Python 3.9 and the farm needs 3.11 or newer" in done.stderr
    assert "Traceback" not in done.stderr


def test_arguments_are_handed_on(checkout: Path) -> None:
    made(checkout)
    assert ".venv/bin/farm run --flavor kasan test_pi.py" in make(
        "-n", "run", "ARGS=--flavor kasan test_pi.py", directory=checkout).stdout


def test_ci_runs_check_and_the_whole_suite() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert text.startswith("#!/bin/bash\n")
    assert "set -euo pipefail" in text
    assert "timed check" in text
    assert "make --no-print-directory test" in text
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
