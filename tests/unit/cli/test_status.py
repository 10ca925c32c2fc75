"""Exit statuses of the command line: no mishap of the farm looks like a bad revision to `git bisect run`."""

import subprocess
import sys

import pytest

from farm.bisect.values import Build, Run, Seen
from farm.cli import judge

SCRIPT = """
import click
from farm import cli, errors

@click.command()
def command():
    raise {error}

cli.group.add_command(command, "broken")
cli.COMMANDS["broken"] = ("__main__", "")
cli.main(["broken"])
"""


@pytest.mark.parametrize(("error", "status"), [
    ("errors.BuildError('it does not compile')", 1),
    ("errors.UserError('no such thing')", 129),
    ("errors.RevisionError('the patch does not apply to this one')", 129),
    ("errors.MissingFeatureError('this kernel has none')", 129),
    ("errors.InfrastructureError('no space')", 128),
    ("errors.FarmError('stopped')", 128),
    ("OSError(28, 'No space left on device')", 128),
    ("AssertionError()", 128),
    ("KeyboardInterrupt()", 130),
])
def test_only_the_kernel_makes_a_revision_bad(error, status):
    argv = [sys.executable, "-c", SCRIPT.format(error=error)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr


@pytest.mark.parametrize("error", ["BuildError", "UserError", "InfrastructureError"])
def test_what_a_compiler_or_a_guest_said_cannot_steer_the_terminal(error):
    argv = [sys.executable, "-c", SCRIPT.format(error=f"errors.{error}('it said\\n#error \\x1b[2J\\r\\x07')")]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.stderr == b"farm: it said\n#error \\x1b[2J\\x0d\\x07\n"


@pytest.mark.parametrize(("run", "status", "told"), [
    (Run("c" * 40, Seen.BUG, "panic: \x1b[2J"), 1, "bad: panic: \\x1b[2J"),
    (Run("c" * 40, Seen.NO_BUG), 0, "good: 1 of 1 runs: no bug")])
def test_nor_can_the_line_about_a_revision(monkeypatch, capsys, run, status, told):
    class Judge:
        def __init__(self, *_, **__):
            pass

        def build(self, _):
            return Build("d")

        def run(self, *_):
            return run

    monkeypatch.setattr(judge, "FarmJudge", Judge)
    monkeypatch.setattr(judge, "resolve", lambda *_: run.commit)
    monkeypatch.setattr(judge, "uncommitted", lambda _: "")
    assert judge.command.main(["test_crypt.py", "--tree", "/nowhere"], standalone_mode=False) == status
    assert capsys.readouterr().out == f"cccccccccccc {told}\n"
