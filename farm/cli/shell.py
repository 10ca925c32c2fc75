"""`farm shell`: the machine, the stack and the kernel of a cell, and a session in it."""

import logging
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from farm import enter
from farm.cli.options import options
from farm.cli.run import QUIET, collect, judge, prepare, require_places, require_possible, resolve
from farm.errors import UserError
from farm.host import lease
from farm.host.workdir import data_directory
from farm.model import Verdict
from farm.options import OPTIONS, as_arguments, without
from farm.repro import recorded
from farm.results.directory import RESULT

# A session has no workload of its own that these would be for.
_TABLE = without(OPTIONS, "--shell", "--keep-on-failure", "--dump-memory", "--rounds", "--duration")
# What a session leaves to be said: no testcase passed in it.
_SENTENCES = {
    Verdict.GOOD: "good: the kernel reported nothing",
    Verdict.BAD: "bad: the kernel reported something",
    Verdict.SKIP: "skip: there was no guest to enter",
    Verdict.STOP: "stop: the host or the request failed",
}
# What is booted when nothing is named: something to put a stack on.
_PLAIN = '''
import pytest

@pytest.mark.machine(cpus=2, memory="1G")
@pytest.mark.namespace("data", size="512M")
@pytest.mark.namespace("pi", size="512M", block=512, pi=1, ms=8)
def test_nothing({fixture}):
    pass
'''


@click.command()
@click.argument("what", required=False, metavar="[TESTCASE|RUN]")
@click.option("--attach", type=click.Path(path_type=Path), metavar="RUN", help="Enter a guest that runs: one that "
              "--keep-on-failure left, or one with a session.")
@click.option("--end", is_flag=True, help="With --attach: let a guest that was kept go.")
@options(_TABLE)
def command(what: str | None, *, attach: Path | None, end: bool, **given: Any) -> int:
    """Enter a guest: an ssh session in this terminal, with the console in a file beside it.

    TESTCASE is what `farm run` takes: its machine is booted with the kernel that the options describe, its stacks are
    built, and instead of its workloads you get a shell. RUN is the directory of a run: the same with its kernel and
    seed. Without either, two namespaces are there, data and pi, for --stack. Commands can also be piped in. When the
    session ends everything is gone; the exit status is that of `farm run`: 1 when the kernel reported something.

    \b
    Example: farm shell test_crypt.py::test_xfs_on_crypt_on_pi --flavor debuginfo --gdb
             echo 'dmsetup table' | farm shell --stack 'data / crypt / xfs'
    """
    logging.basicConfig(format="farm: %(message)s", level=logging.INFO, stream=sys.stderr)
    if attach is not None:
        return _attach(attach, end=end)
    if end:
        raise UserError("--end needs --attach RUN: there is no guest to let go.")
    everything = {option.name: [] if option.multiple else option.default for option in OPTIONS} | given
    place = _place(what, everything)
    arguments = [place, *QUIET, *as_arguments({**everything, "shell": True})]
    require_possible(collect(arguments))
    require_places(everything["runs_dir"])
    prepare(everything)
    argv = [*arguments, "-s", "-qq"]
    # Standard output is the session's alone.
    with redirect_stdout(sys.stderr):
        return judge(argv, as_json=False, sentences=_SENTENCES)


def _attach(run: Path, *, end: bool) -> int:
    path, entrance = enter.find(run)
    if end:
        path.unlink(missing_ok=True)
        return 0
    for line in enter.instructions(entrance, path.parent, kept=False):
        click.echo(line, err=True)
    return enter.converse(entrance)


def _place(what: str | None, given: dict[str, Any]) -> str:
    """What pytest is given; for a run, `given` becomes what that had."""
    if what is None:
        path = lease.scratch_directory("shell") / "test_shell.py"
        path.write_text(_PLAIN.format(fixture="stacks" if given["stack"] else "target"), encoding="utf-8")
        return str(path)
    if Path(what).is_dir() and any([(Path(what) / RESULT).is_file(), *Path(what).glob(f"*/{RESULT}")]):
        run = recorded.find(Path(what))
        given |= dict(_of_run(run))
        file, _, function = run.cell.testcase.partition("::")
        shipped = data_directory("testcases") / file
        # A testcase that has changed since is taken from the run.
        unchanged = shipped.is_file() and shipped.read_bytes() == run.testcase.read_bytes()
        return f"{shipped if unchanged else run.testcase}::{function}"
    if Path(what).is_dir() and not any(Path(what).rglob("test_*.py")):
        raise UserError(f"{what} is no run directory, and has no testcases. Name the directory of one run, or a "
                        "testcase.")
    return next(iter(resolve([what])))


def _of_run(run: recorded.Recorded) -> Iterator[tuple[str, Any]]:
    """The options that make the kernel and the machine of a run again."""
    kernel = run.cell.kernel
    yield "seed", run.cell.seed
    if kernel.source.startswith("image:"):
        return  # a ready image has to be named again
    yield from (("flavor", kernel.flavor), ("config", kernel.config), ("patch", run.patches))
    if kernel.source.startswith("debian:"):
        yield "source", kernel.source
    else:
        yield "rev", kernel.source
