"""One batch: a `farm run` with xdist below it, and what it tells while it runs."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from enum import Enum
from pathlib import Path
from typing import Any

from farm import trial
from farm.deadline import Deadline
from farm.results import records

# How often it is looked what happened.
_POLL_SECONDS = 0.3


class Stop(Enum):
    """Why a batch ended."""

    ITSELF = "by itself"
    BUDGET = "the time budget is spent"
    OVERDUE = "a cell did not end"


class Tail:
    """The lines that were appended to a file of events since it was last looked at."""

    def __init__(self, path: Path) -> None:
        self._path, self._seen = path, 0

    def new(self) -> Iterator[Mapping[str, Any]]:
        found = list(records.read(self._path))
        yield from found[self._seen:]
        self._seen = len(found)


class BatchRun:
    """Carries a batch out. `on_event` gets every event as soon as it is known; `on_tick` is called now and then."""

    def __init__(
        self, arguments: Sequence[str], events: Path, log: Path, on_event: Callable[[Mapping[str, Any]], None],
        on_tick: Callable[[], None],
    ) -> None:
        self._arguments, self._log = arguments, log
        self._tail, self._on_event, self._on_tick = Tail(events), on_event, on_tick
        # Testcases that run, and since when on the monotonic clock.
        self.running: dict[str, float] = {}

    def carry_out(self, budget: Deadline | None, cell_seconds: float) -> tuple[trial.Ended, Stop]:
        """Run it to its end, or until the budget is spent or a cell takes too long; what runs is then ended.

        `running` has the cells of which no end was told.
        """
        command = trial.Command(self._arguments, self._log)
        stop = Stop.ITSELF
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(command.wait)
            try:
                while not waiting.done():
                    self._pump()
                    self._on_tick()
                    if stop is Stop.ITSELF and (stop := self._reason(budget, cell_seconds)) is not Stop.ITSELF:
                        command.stop()
                    wait([waiting], timeout=_POLL_SECONDS)
            except BaseException:
                command.stop()
                raise
            ended = waiting.result()
        self._pump()
        return ended, stop

    def overdue(self, seconds: float) -> list[str]:
        """Testcases that run longer than that."""
        return [testcase for testcase, since in self.running.items() if time.monotonic() - since > seconds]

    def _reason(self, budget: Deadline | None, cell_seconds: float) -> Stop:
        if budget is not None and budget.expired:
            return Stop.BUDGET
        return Stop.OVERDUE if self.overdue(cell_seconds) else Stop.ITSELF

    def _pump(self) -> None:
        for event in self._tail.new():
            if event["event"] == "start":
                self.running[event["testcase"]] = time.monotonic()
            else:
                self.running.pop(event["testcase"], None)
            self._on_event(event)
