"""Standard streams that are closed, full or gone: a message and a status of the host's, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from farm.cli import EXIT_INFRASTRUCTURE, EXIT_PIPE

FARM = f"{sys.executable} -m farm"


def _shell(line: str, where: Path) -> tuple[int, str]:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=False, cwd=where,
                          env={**os.environ, "FARM_CACHE": str(where / "cache")})
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "console.log"
    path.write_text("Kernel panic - not syncing: no\n" * 3)
    return path


@pytest.mark.parametrize("command", ["--help", "cache list", "classify console.log", "doctor"])
def test_a_full_disk_behind_the_output(command: str, log: Path) -> None:
    status, said = _shell(f"{FARM} {command} > /dev/full", log.parent)
    assert (status, "Traceback" in said) == (EXIT_INFRASTRUCTURE, False)
    assert "farm: the host failed: No space left on device" in said


@pytest.mark.parametrize("line", ["classify console.log >&-", "classify - <&-", "cache list >&-"])
def test_closed_streams(line: str, log: Path) -> None:
    assert _shell(f"{FARM} {line}", log.parent)[0] == 0


def test_a_reader_that_left_is_no_bad_revision(log: Path) -> None:
    """1 is what `git bisect run` takes for a bad revision."""
    status, said = _shell(f"{FARM} doctor | true; exit ${{PIPESTATUS[0]}}", log.parent)
    assert (status, said) == (EXIT_PIPE, "")


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    status, said = _shell(f"mkdir gone; cd gone; rmdir ../gone; {FARM} run --list", tmp_path)
    assert status >= EXIT_INFRASTRUCTURE
    assert "Traceback" not in said
