"""Scripts that go on beside the workloads."""

from collections.abc import Callable, Sequence

import pytest

from farm.deadline import Deadline
from farm.errors import GuestError
from farm.guest.shell import CommandResult
from farm.workload import Background


class Script:
    """A command that ended with `status` at once, or runs on."""

    def __init__(self, status: int | None) -> None:
        self.running = status is None
        self._status = status or 0
        self.stopped = False

    def wait(self, deadline: Deadline, *, check: bool = True) -> CommandResult:
        return CommandResult((), self._status, "", "no such file", 0.0)

    def stop(self, deadline: Deadline) -> None:
        self.stopped = True


class Guest:
    def __init__(self, status: int | None) -> None:
        self.script = Script(status)
        self.argv: Sequence[str] = ()

    def stream(self, command: Sequence[str], on_line: Callable[[str], None] | None = None) -> Script:
        assert on_line is not None, "what it prints would wait for a reader, and nobody reads it"
        self.argv = command
        return self.script


def test_runs_for_the_length_of_the_block() -> None:
    guest = Guest(None)
    with Background(guest)("while :; do echo $1; done", "/mnt"):
        assert not guest.script.stopped
    assert guest.argv == ["bash", "-c", "while :; do echo $1; done", "farm-background", "/mnt"]
    assert guest.script.stopped


@pytest.mark.parametrize("status", [0, 1])
def test_a_script_that_ended_was_no_background(status: int) -> None:
    with pytest.raises(GuestError, match=f"status {status}: no such file"), Background(Guest(status))("false"):
        pass


def test_the_error_of_the_block_comes_first() -> None:
    guest = Guest(1)
    with pytest.raises(ZeroDivisionError), Background(guest)("false"):
        raise ZeroDivisionError
    assert guest.script.stopped
