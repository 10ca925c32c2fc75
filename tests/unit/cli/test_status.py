"""Exit statuses of the command line: no mishap of the farm looks like a bad revision to `git bisect run`."""

import subprocess
import sys

import pytest

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
