"""What happens in a run as it happens, as lines of JSON in a file: for whoever waits for its cells."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from farm.errors import UserError
from farm.plugin.markers import machine_of, stacks_of
from farm.plugin.outcomes import Outcomes
from farm.results import records

START, END = "start", "end"


class Events:
    """Appends a line for each testcase as it starts and as it ends; lives where the session is controlled."""

    def __init__(self, path: Path, outcomes: Outcomes) -> None:
        self._path, self._outcomes = path, outcomes

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._append({"event": START, "testcase": nodeid})

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._end(nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # The worker that ran it died: nothing else will be said of it. "???" is pytest-xdist's.
        if str(report.when) == "???":
            self._end(report.nodeid)

    def _end(self, nodeid: str) -> None:
        row = self._outcomes.rows.get(nodeid)
        if row is not None:
            self._append({"event": END, **json.loads(json.dumps(asdict(row), default=lambda value: value.value))})

    def _append(self, entry: Mapping[str, Any]) -> None:
        records.append(self._path, {**entry, "at": time.time()})


def listed(item: pytest.Item) -> dict[str, Any]:
    """A testcase as `farm run --list --json` shows it."""
    flavors = [name for marker in item.iter_markers("flavor") for name in marker.args]
    function = item.nodeid.partition("::")[2]
    return {"testcase": f"{item.path.name}::{function}", "place": f"{item.path}::{function}", "flavors": flavors}


class Listing:
    """Keeps the testcases that were chosen, and why some of them cannot be run."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        # Those that were not chosen.
        self.deselected = 0
        # What is wrong with the machine or the stacks of those that cannot be run, as they are or with these options.
        self.objections: list[str] = []

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.deselected += len(items)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.items = [listed(item) for item in items]
        for item in items:
            try:
                machine_of(item, stacks_of(item))
            except UserError as error:
                self.objections.append(str(error))
