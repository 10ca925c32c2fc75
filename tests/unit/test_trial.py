import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from farm import trial
from farm.model import Cell, Finding, Frame, KernelId, Machine, Outcome
from farm.results.directory import CellDirectory
from farm.verdict import Cause
from tests.unit.host.owners import eventually

CELL = Cell(KernelId("debian:linux-source-6.12", "6.12.117-farm", "base"), Machine(), "test_pi.py::test_it")


def test_a_command_answers_in_json(tmp_path, monkeypatch):
    monkeypatch.setenv("FARM_CACHE", str(tmp_path / "cache"))
    ended = trial.Command(["cache", "list", "--json"], tmp_path / "log").wait()
    assert ended.status == 0
    assert ended.answer is not None


def test_what_it_said_to_its_user_is_at_hand(tmp_path):
    ended = trial.Command(["build", "--json", "--rev", "v6.12"], tmp_path / "log").wait()
    assert (ended.status, ended.answer) == (129, None)
    assert ended.said == "--rev v6.12 needs --tree: a source package has no revisions."


def test_what_an_earlier_command_said_in_the_same_log_is_not_its_own(tmp_path):
    (tmp_path / "log").write_text("farm: the disk is full\n")
    assert trial.Command(["--version"], tmp_path / "log").wait().said == ""


def test_it_can_be_stopped_from_another_thread(tmp_path):
    command = trial.Command(["classify", "/dev/zero"], tmp_path / "log")
    stopper = threading.Thread(target=command.stop)
    stopper.start()
    ended = command.wait()
    stopper.join()
    assert ended.stopped
    assert ended.status != 0


def test_those_of_a_name_go_on_at_the_same_time_and_end_together(tmp_path):
    commands, endless = trial.Commands(tmp_path), ["classify", "/dev/zero"]
    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(commands.run, "run", endless) for _ in range(2)]
        other = pool.submit(commands.run, "build", endless)
        assert eventually(lambda: len(list(tmp_path.iterdir())) == 3)
        commands.stop("run")
        assert all(one.result().stopped for one in first)
        assert not other.done()
        commands.close()
        assert other.result().stopped
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build.log", "run-2.log", "run.log"]
    assert commands.run("run", ["--version"]) is None


def test_when_one_of_several_raises_the_others_are_ended():
    gate, ended = threading.Barrier(2), threading.Event()

    def once():
        if gate.wait(20) == 0:
            raise KeyboardInterrupt
        assert ended.wait(20)

    with pytest.raises(KeyboardInterrupt):
        trial.together([once] * 2, ended.set)


def test_cells_tell_cause_and_findings(tmp_path):
    directory = CellDirectory(tmp_path, "test_pi.py::test_it")
    frames = (Frame("f", "0x1/0x2"), Frame("g", generic=True))
    panic = Finding("panic", "kernel panic", "f", frames, "s", ("panic in f",))
    findings = (Finding("warning", "noise", suppressed=True), Finding("io-error", "I/O error"), panic)
    directory.write_result(CELL, Outcome.FAIL, title="kernel panic in f", findings=findings,
                           facts={"ready": True, "cause": {"kind": "panic", "title": "kernel panic",
                                                           "function": "f", "signature": "s"},
                                  "durations": {"detection": 2.5}})
    row = {"testcase": "test_pi.py::test_it", "outcome": "fail", "title": "t", "directory": str(directory.path)}
    ended = trial.Ended(1, json.loads(json.dumps({"cells": [row, {**row, "directory": ""}]})), tmp_path, 1.0, False)
    first, second = trial.cells(ended)
    assert (first.ready, first.cause) == (True, Cause("panic", "kernel panic", "f", "s"))
    assert (first.latency, second.latency) == (2.5, None)
    assert first.findings == findings[1:]
    # What ended it comes first, and once.
    assert first.failures == (panic, findings[1])
    assert (second.outcome, second.directory, second.findings) == (Outcome.FAIL, None, ())
