"""Commands in the guest: what they return, how they fail, how they are written down."""

import base64
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from farm.deadline import Deadline
from farm.errors import FarmError, GuestError
from farm.host import process
from farm.textform import printable

# Longer output is cut in the middle in the record of commands; the caller still gets all of it.
RECORDED_CHARACTERS = 128 * 1024
# What a command was given to read is part of how to repeat it; keys and scripts are shorter than this.
RECORDED_INPUT_BYTES = 64 * 1024
# Output beyond this is dropped: the guest may be broken, and the farm's memory is not.
MOST_BYTES = 16 << 20
_LINE_END = re.compile(r"\r?\n")

Record = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class CommandResult:
    """A command that has ended in the guest."""

    # What was run, as one would type it.
    argv: tuple[str, ...]
    # Exit status; -1 when a signal ended it.
    status: int
    # Undecodable bytes replaced.
    stdout: str
    stderr: str
    # Wall time on the host.
    seconds: float


class CommandError(GuestError):
    """A command failed in the guest; `result` is how it ended."""

    def __init__(self, result: CommandResult) -> None:
        said = visible(result.stderr.strip() or result.stdout.strip())
        what = f"`{brief(result.argv)}` failed in the guest with status {result.status}"
        super().__init__(what + (f":\n{said}" if said else ""))
        self.result = result


class ConnectionLostError(GuestError):
    """The guest's ssh no longer answers."""


class StoppedError(FarmError):
    """A command was stopped because its caller had enough of it."""


class Shell(Protocol):
    """Runs commands in a guest."""

    def run(
        self, argv: Sequence[str] | str, *, deadline: Deadline | None = None, input: bytes | None = None,
        check: bool = True,
    ) -> CommandResult:
        """Run a command to its end."""


class Ongoing(Protocol):
    """A command that runs on in the guest; `farm.guest.stream` says what each of these does, and raises."""

    @property
    def running(self) -> bool: ...
    def lines(self, deadline: Deadline) -> Iterator[str]: ...
    def wait(self, deadline: Deadline, *, check: bool = True) -> CommandResult: ...
    def stop(self, deadline: Deadline) -> None: ...


class StreamingShell(Shell, Protocol):
    """Also starts commands that run on."""

    def stream(self, command: Sequence[str] | str, on_line: Callable[[str], None] | None = None) -> Ongoing:
        """Start a command; its lines go to `on_line`, or wait to be iterated over."""


def words_of(command: Sequence[str] | str) -> tuple[str, ...]:
    """A command as an argument list; a string is a script for sh."""
    return ("sh", "-c", command) if isinstance(command, str) else tuple(command)


def as_typed(command: Sequence[str] | str) -> str:
    """A command as one would type it."""
    return process.as_typed(words_of(command))


def brief(command: Sequence[str] | str) -> str:
    """A command for a sentence: of a script of several lines, the first, or nothing where words behind it name it."""
    words = words_of(command)
    alone = len(words) <= 3

    def shown(word: str) -> str:
        lines = word.strip().splitlines()
        if len(lines) < 2:
            return shlex.quote(word.strip("\n"))
        return shlex.quote(f"{lines[0]} …") if alone else "…"

    return " ".join(map(shown, words))


def visible(text: str, lines: int = 15, characters: int = 2000) -> str:
    """The end of what a guest said, with everything that could move a terminal's cursor spelled out.

    A line ends at a newline alone, and not at what only Unicode takes for its end: one line of a guest stays one.
    """
    said = _LINE_END.split(text[-characters:].removesuffix("\n").removesuffix("\r"))
    return "\n".join(map(printable, said[-lines:]))


def entry(result: CommandResult, *, started: float, error: str = "", input: bytes = b"") -> dict[str, Any]:
    """What is recorded of a command; `started` in seconds since the epoch, `error` why it was not waited for.

    `input` is what its standard input got: kept, as base64, when it is short; else only its length.
    """
    given: dict[str, Any] = {}
    if input:
        short = len(input) <= RECORDED_INPUT_BYTES
        given = {"input": base64.b64encode(input).decode()} if short else {"input_bytes": len(input)}
    return {
        "command": as_typed(result.argv), "status": result.status, "seconds": round(result.seconds, 3),
        "started": round(started, 3), "stdout": cut(result.stdout), "stderr": cut(result.stderr), **given,
        **({"error": error} if error else {}),
    }


def cut(text: str, most: int = RECORDED_CHARACTERS) -> str:
    """A text that is no longer than `most` characters and a line about what its middle has lost."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"
