"""What the farm's own commands, each a process, tell a bisection."""

from pathlib import Path

from farm import trial
from farm.bisect.judge import FarmJudge, Subject, of_build
from farm.bisect.values import Seen, Symptom
from farm.model import Verdict


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
