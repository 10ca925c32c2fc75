"""A script that goes on in the guest beside the workloads: CPUs that come and go, settings that change."""

from collections.abc import Iterator
from contextlib import contextmanager

from farm.deadline import Deadline, Pace
from farm.errors import GuestError
from farm.guest.shell import StreamingShell, visible

# Base seconds until a script that was told to end has ended.
STOP_SECONDS = 2.0


class Background:
    """`with background("while :; do ...; done"):` a bash script for the length of a block."""

    def __init__(self, shell: StreamingShell, *, pace: Pace | None = None) -> None:
        self._shell = shell
        self._pace = pace or Pace()

    @contextmanager
    def __call__(self, script: str, *words: str) -> Iterator[None]:
        """Start the script with `words` as $1, $2 and so on; the block's end kills it.

        Raises GuestError, naming what it said, when it has ended before: then the block lacked what it was meant for.
        """
        # Nobody reads what it prints: lines that wait for a reader would fill this host's memory.
        running = self._shell.stream(["bash", "-c", script, "farm-background", *words], on_line=lambda _: None)
        try:
            yield
            if not running.running:
                result = running.wait(Deadline(0), check=False)
                raise GuestError(f"A script that had to go on in the background of the block ended with status "
                                 f"{result.status}: {visible(result.stderr)}\n{script.strip()}")
        finally:
            running.stop(self._pace.deadline(STOP_SECONDS))
