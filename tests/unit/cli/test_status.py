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


def test_nor_can_the_title_of_a_failure_that_is_judged(monkeypatch, tmp_path, capsys):
    class Judge:
        def __init__(self, *_, **__):
            pass

        def build(self, _):
            return Build("d")

        def run(self, commit, *_):
            return Run(commit, Seen.BUG, "panic: \x1b[2J")

    monkeypatch.setattr(judge, "FarmJudge", Judge)
    monkeypatch.setattr(judge, "resolve", lambda *_: "c" * 40)
    monkeypatch.setattr(judge, "uncommitted", lambda _: "")
    assert judge.command.main(["test_crypt.py", "--tree", str(tmp_path)], standalone_mode=False) == 1
    assert capsys.readouterr().out == "cccccccccccc bad: panic: \\x1b[2J\n"
