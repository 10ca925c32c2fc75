"""`farm run` without a guest, for what carries out several at the same time."""

import json

from farm import trial
from farm.host.capacity import Capacity
from tests.unit.host.owners import eventually


class Run:
    """`farm run` of one cell that passes; it ends once as many have begun as are wanted at the same time."""

    # Those that have begun, by their logs.
    begun: list
    wanted = 1
    # Of the guest.
    cpus = 2
    where = None

    def __init__(self, arguments, log, *, nice=0):
        self.log, self.number = log, len(self.begun)
        self.begun.append(log)
        log.write_text(f"farm: run {self.number}\n")

    def wait(self):
        assert eventually(lambda: len(self.begun) >= self.wanted)
        cell = self.where / str(self.number)
        cell.mkdir()
        (cell / "result.json").write_text(json.dumps({"cell": {"machine": {"cpus": self.cpus}}, "ready": True}))
        row = {"testcase": "test_a.py::test_a", "outcome": "pass", "title": "", "directory": str(cell)}
        return trial.Ended(0, {"cells": [row]}, self.log, 1.0, stopped=False)


def stand_in(monkeypatch, where):
    """Have such runs in the place of commands, on a host of eight CPUs; the class of those runs."""
    runs = type("Runs", (Run,), {"begun": [], "where": where})
    monkeypatch.setattr(trial, "Command", runs)
    monkeypatch.setattr(trial, "measure", lambda: Capacity(8, 16000, 16000))
    return runs
