"""Who was killed and does not end."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from farm.deadline import Pace
from farm.guest.shell import CommandResult
from farm.lingering import lingering, parse


class Answers:
    """A shell whose answers are known; the last one is given for ever."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    def run(self, command: Sequence[str] | str, **_: object) -> CommandResult:
        self.asked += 1
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return CommandResult((), 0, said, "", 0.0)


class Here:
    """A shell on this host, for a script that only reads /proc."""

    def run(self, command: str, **_: object) -> CommandResult:
        done = subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True)
        return CommandResult((), 0, done.stdout, done.stderr, 0.0)


def test_nobody_is_asked_for_twice_when_all_have_ended() -> None:
    shell = Answers("")
    assert lingering(shell, Pace()) == ()
    assert shell.asked == 1


def test_who_ends_a_little_later_is_given_the_time() -> None:
    shell = Answers("D 12 fio\n", "D 12 fio\n", "")
    assert lingering(shell, Pace()) == ()
    assert shell.asked == 3


def test_who_does_not_end_is_named_once() -> None:
    left = lingering(Answers("D 12 fio\nD 12 fio\nR 7 kill me (now)\n"), Pace(0.02))
    assert [str(one) for one in left] == ["fio (12, state D)", "kill me (now) (7, state R)"]


@pytest.mark.parametrize("text", ["", "D x fio\n", "sh: awk: not found\n", "DD 1 a\n", f"D {10**12} a\n", "D 1 \n"])
def test_what_is_no_such_line_is_passed_over(text: str) -> None:
    assert parse(text) == ()


@contextmanager
def sleeping() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "100"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def test_a_zombie_and_a_process_that_was_not_killed_do_not_linger() -> None:
    with sleeping() as killed, sleeping() as lives:
        subprocess.run(["kill", "-KILL", str(killed)], check=True)
        os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)
        left = lingering(Here(), Pace())
    assert not {killed, lives} & {one.pid for one in left}
