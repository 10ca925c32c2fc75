"""What the farm's own commands, each a process, tell a bisection."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farm import trial
from farm.bisect.judge import FarmJudge, Subject, of_build
from farm.bisect.values import Build, Seen, Symptom
from farm.model import Verdict
from tests.unit.runs import stand_in


def test_an_error_of_the_compiler_is_the_same_on_whichever_line_it_stands(tmp_path, monkeypatch):
    class Build:
        """`farm build` of a kernel that does not compile."""

        lines = iter((1817, 1823))

        def __init__(self, arguments, log, *, nice=0):
            self.log = log

        def wait(self):
            where = f"a.c:{next(self.lines)}:2"
            self.log.write_text(f"farm: The kernel does not compile: {where}: error: no\nThe whole log is there.\n")
            return trial.Ended(Verdict.BAD, None, self.log, 1.0, stopped=False)

    monkeypatch.setattr(trial, "Command", Build)
    judge = FarmJudge(Subject(Path("/linux"), ("test_a.py",)), tmp_path)
    first, second = judge.build("c1"), judge.build("c2")
    assert first.error == "The kernel does not compile: a.c:1817:2: error: no"
    cause = first.cause
    symptom = Symptom(cause.kind, cause.title, cause.function, cause.signature, "signature")
    assert of_build("c2", second, symptom).seen is Seen.BUG


@pytest.fixture
def runs(tmp_path, monkeypatch):
    return stand_in(monkeypatch, tmp_path)


def test_as_many_runs_at_once_as_the_host_has_room_for_guests(tmp_path, runs):
    judge = FarmJudge(Subject(Path("/linux"), ("test_a.py",)), tmp_path)
    assert judge.at_once == 1  # how large its guests are, is not known yet
    judge.run("c1", Build("d"), None)
    assert judge.at_once == 4
    runs.cpus = 16
    judge.run("c1", Build("d"), None)
    assert judge.at_once == 1


def test_runs_that_go_on_at_the_same_time_have_logs_of_their_own(tmp_path, runs):
    judge = FarmJudge(Subject(Path("/linux"), ("test_a.py",)), tmp_path)
    runs.wanted = 3
    with ThreadPoolExecutor(3) as pool:
        seen = list(pool.map(lambda _: judge.run("c1", Build("d"), None).seen, range(3)))
    assert seen == [Seen.NO_BUG] * 3
    assert sorted(log.name for log in runs.begun) == ["run-c1-2.log", "run-c1-3.log", "run-c1.log"]
