"""`farm reach`: measure which functions of the kernel each testcase reaches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from farm import trial
from farm.cli.options import options
from farm.cli.run import resolve
from farm.errors import InfrastructureError, UserError
from farm.growth import LEAST_ROUNDS
from farm.host import lease
from farm.host.workdir import data_directory
from farm.model import Outcome
from farm.options import OPTIONS, as_arguments
from farm.reach import FILE as FUNCTIONS
from farm.repro.recorded import load as load_run
from farm.results import reached

_CHOSEN = ("--source", "--tree", "--rev", "--seed", "--duration", "--runs-dir")
# Enough for every function that a workload reaches at all, nearly.
_DURATION = 3.0


@click.command()
@click.argument("testcases", nargs=-1, metavar="[TESTCASE]...")
@options([option for option in OPTIONS if option.flag in _CHOSEN])
@click.option("--from", "runs", multiple=True, type=click.Path(path_type=Path, exists=True, file_okay=False),
              metavar="RUN", help="Take what a run with --trace-functions measured instead; may be repeated.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="The record to refresh.  [default: reach.json beside the testcases]")
def command(testcases: Sequence[str], *, runs: tuple[Path, ...], output: Path | None, **given: Any) -> None:
    """Measure which functions of the kernel testcases reach, for the order in which `farm repro` proposes them.

    The emulator writes down what it translates, so any kernel that the farm builds will do. What was measured before of
    other testcases stays. Without TESTCASE all of the farm's own are measured, which takes a while. Workloads
    last 3 s each unless --duration says otherwise.

    \b
    Example: farm reach test_luks2.py
    """
    path = output or data_directory("testcases") / reached.FILE
    record = reached.load(path) if path.exists() else reached.Reached()
    cells = [cell for run in runs for cell in sorted(one.parent for one in run.glob(f"*/{FUNCTIONS}"))]
    if not runs:
        cells = _measure(testcases, given)
    if not cells:
        raise UserError("Nothing was measured: no run here was made with --trace-functions.")
    for directory in cells:
        _add(record, directory)
    record.write(path)
    click.echo(f"{path}: {len(record.functions)} testcases, {len(record.known)} functions")


def _measure(testcases: Sequence[str], given: dict[str, Any]) -> list[Path]:
    everything = {option.name: [] if option.multiple else option.default for option in OPTIONS} | {
        name: value for name, value in given.items() if value is not None}
    everything |= {"trace_functions": True, "accel": "tcg", "duration": given.get("duration") or _DURATION,
                   "rounds": LEAST_ROUNDS}
    log = lease.scratch_directory("reach") / "log"
    ended = trial.Command(["run", *resolve(testcases), "-m", "", "--json", *as_arguments(everything)], log).wait()
    found = [cell.directory for cell in trial.cells(ended) if cell.directory is not None]
    if not found:
        raise InfrastructureError(ended.said or f"`farm run` ended with status {ended.status}")
    return [directory for directory in found if (directory / FUNCTIONS).exists()]


def _add(record: reached.Reached, directory: Path) -> None:
    run = load_run(directory)
    if run.outcome in (Outcome.ERROR, Outcome.SKIP):
        click.echo(f"{run.cell.testcase} is left out: it ended with {run.outcome.value}", err=True)
        return
    functions = (directory / FUNCTIONS).read_text(encoding="utf-8").split()
    record.add(run.cell.testcase, functions, run.cell.stacks, run.cell.kernel.release)
