"""Commands that run on, without a guest: what waits for a reader, and what does not."""

import sys
import threading

import pytest

from farm.deadline import Deadline
from farm.guest import stream
from farm.guest.command import Command
from farm.guest.shell import CommandResult
from farm.guest.stream import Running

DONE = CommandResult((), 0, "", "", 0.0)


def printing(*said: bytes) -> Running:
    """A command that has printed that and ended, with nobody reading it meanwhile."""
    def execute(work: Command) -> CommandResult:
        assert work.out is not None
        for data in said:
            work.out(data)
        return DONE

    running = Running(["yes"], execute, lambda: None)
    running.wait(Deadline(10))
    return running


def test_what_nobody_reads_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_BYTES", 1 << 20)
    numbers = [f"{number:05d}" for number in range(50_000)]
    found = list(printing("\n".join(numbers).encode() + b"\n").lines(Deadline(10)))
    assert found == numbers[:len(found)]
    assert sum(map(sys.getsizeof, found)) < (1 << 20) + 1000


def test_empty_lines_take_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_BYTES", 1 << 20)
    assert len(list(printing(b"\n" * 50_000).lines(Deadline(10)))) < 30_000


def test_what_was_read_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_BYTES", 1)
    read = threading.Semaphore(0)

    def execute(work: Command) -> CommandResult:
        assert work.out is not None
        for number in range(3):
            work.out(b"%d\n" % number)
            assert read.acquire(timeout=10)
        return DONE

    lines = []
    for line in Running(["seq"], execute, lambda: None).lines(Deadline(10)):
        lines.append(line)
        read.release()
    assert lines == ["0", "1", "2"]
