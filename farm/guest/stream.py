"""A command that runs on in the guest while the testcase does something else."""

import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from farm.deadline import Deadline
from farm.errors import HangError
from farm.guest.command import POLL_SECONDS, Command, Guard
from farm.guest.shell import MOST_BYTES, CommandError, CommandResult, StoppedError, brief

# A line longer than this is handed on in pieces.
MOST_LINE_BYTES = 1 << 20


class Running:
    """A running command. Its lines go to a callback as they are printed, or wait to be iterated over.

    While MOST_BYTES of memory wait, the newest lines are dropped, as of a command that is run to its end: by its first
    ones a command says that it is there.
    """

    def __init__(
        self,
        command: Sequence[str] | str,
        execute: Callable[[Command], CommandResult],
        guard: Guard,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Start it in a thread of its own; `on_line` is called there, and what it raises ends the command."""
        self.command = command
        self._work = Command(command, Deadline(float("inf")), self._check, out=self._take)
        self._execute = execute
        self._guard = guard
        self._on_line = on_line
        self._rest = b""
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        # Bytes of memory that the lines take, changed by whoever prints and whoever reads.
        self._waiting = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._done = threading.Event()
        self._result: CommandResult | None = None
        self._failure: BaseException | None = None
        threading.Thread(target=self._run, name="farm-stream", daemon=True).start()

    @property
    def running(self) -> bool:
        return not self._done.is_set()

    def lines(self, deadline: Deadline) -> Iterator[str]:
        """Lines of standard output as they come, without their ends, until the command ends.

        Raises HangError at the deadline, and whatever ended the command early.
        """
        while True:
            if deadline.expired and self.running:
                raise self._late(deadline)
            try:
                line = self._lines.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if line is None:
                self._raise()
                return
            with self._lock:
                self._waiting -= sys.getsizeof(line)
            yield line

    def wait(self, deadline: Deadline, *, check: bool = True) -> CommandResult:
        """Wait for the end and return how it was; after `stop` the status is -1.

        Raises HangError at the deadline (the command runs on), CommandError when it failed (unless `check` is
        false), and whatever ended it early.
        """
        if not self._done.wait(deadline.remaining()):
            raise self._late(deadline)
        self._raise()
        result = self._result or CommandResult((), -1, "", "", 0.0)
        if check and result.status != 0:
            raise CommandError(result)
        return result

    def stop(self, deadline: Deadline) -> None:
        """Kill the command in the guest and wait for that; harmless when it has ended, silent when it does not."""
        self._stopping.set()
        self._done.wait(deadline.remaining())

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return self._work.stdout

    def _run(self) -> None:
        try:
            self._result = self._execute(self._work)
            if self._rest:
                self._emit(self._rest)
        except BaseException as error:  # raised again by whoever waits for the command
            self._failure = error
        finally:
            self._lines.put(None)
            self._done.set()

    def _check(self) -> None:
        if self._stopping.is_set():
            raise StoppedError("stopped")
        self._guard()

    def _take(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._emit(line)
        if len(self._rest) > MOST_LINE_BYTES:
            self._emit(self._rest)
            self._rest = b""

    def _emit(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        if self._on_line is not None:
            self._on_line(text)
            return
        with self._lock:
            if self._waiting >= MOST_BYTES:
                return
            self._waiting += sys.getsizeof(text)
        self._lines.put(text)

    def _late(self, deadline: Deadline) -> HangError:
        return HangError(f"`{brief(self.command)}` still runs after {deadline.seconds:.0f} s.")

    def _raise(self) -> None:
        if self._failure is not None and not isinstance(self._failure, StoppedError):
            raise self._failure
