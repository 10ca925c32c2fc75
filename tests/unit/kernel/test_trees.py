"""Kept trees: what an interrupted make leaves, and room on the disk."""

import os
import threading
import time
from pathlib import Path

import pytest

from farm.errors import BuildError, InfrastructureError
from farm.host.workdir import Workdir
from farm.kernel import trees


def write(path: Path, when: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, ns=(when, when))
    return path


class TestInterruptedMake:
    def test_what_a_killed_make_wrote_is_removed_at_the_next_start(self, tmp_path: Path) -> None:
        output = tmp_path / "o"
        old = write(output / "fs" / "old.o", 1000)
        with pytest.raises(KeyboardInterrupt), trees.compiling(output):  # noqa: PT012 - the block is what is tested
            began = (output / trees.RUNNING).stat().st_mtime_ns
            cut = write(output / "fs" / "cut.o", began + 5)
            command = write(output / "fs" / ".cut.o.cmd", began + 5)
            symbols = write(output / "vmlinux", began)
            config = write(output / ".config", began + 5)
            header = write(output / "include" / "config" / "auto.conf", began + 5)
            autoconf = write(output / "include" / "generated" / "autoconf.h", began + 5)
            raise KeyboardInterrupt
        assert cut.exists()
        with trees.compiling(output):
            assert not any(path.exists() for path in (cut, command, symbols))
            assert all(path.exists() for path in (old, config, header, autoconf))
        assert not (output / trees.RUNNING).exists()

    def test_a_second_interruption_still_counts_from_the_first(self, tmp_path: Path) -> None:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt), trees.compiling(tmp_path):  # noqa: PT012 - as above
                began = (tmp_path / trees.RUNNING).stat().st_mtime_ns
                raise KeyboardInterrupt
        write(tmp_path / "a.o", began + 1)
        with trees.compiling(tmp_path):
            assert not (tmp_path / "a.o").exists()

    def test_a_make_that_failed_by_itself_leaves_good_objects(self, tmp_path: Path) -> None:
        with pytest.raises(BuildError), trees.compiling(tmp_path):  # noqa: PT012 - as above
            write(tmp_path / "a.o", time.time_ns() + 10**9)
            raise BuildError("no")
        with trees.compiling(tmp_path):
            assert (tmp_path / "a.o").exists()


def test_room_is_checked_with_figures(tmp_path: Path) -> None:
    trees.require_space(tmp_path, 1, "This")
    with pytest.raises(InfrastructureError, match=rf"This needs about 999999999 MiB below {tmp_path}, and only \d+ "):
        trees.require_space(tmp_path, 999999999, "This")


def test_a_tree_is_used_by_one_at_a_time(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    order: list[str] = []

    def second() -> None:
        with trees.opened(workdir, "t"):
            order.append("second")

    with trees.opened(workdir, "t"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_scratch_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    tree = trees.Tree(tmp_path)
    write(tmp_path / "tmp" / "left", 1)
    with tree.scratch() as scratch:
        assert list((tmp_path / "tmp").iterdir()) == [scratch]
    assert not (tmp_path / "tmp").exists()
