"""One process at a time in a directory."""

from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from farm.errors import UserError
from farm.results.alone import alone_in, is_taken


def test_a_second_one_is_told_and_the_probe_sees_the_first(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    with alone_in(directory, "runs"):
        assert is_taken(directory)
        with pytest.raises(UserError, match="another process runs in"), alone_in(directory, "runs"):
            pass
    assert not is_taken(directory)


def test_what_the_block_could_not_lock_is_its_own_affair(tmp_path: Path) -> None:
    with pytest.raises(Timeout), alone_in(tmp_path, "runs"), \
            FileLock(tmp_path / "other"), FileLock(tmp_path / "other").acquire(timeout=0):
        pass
