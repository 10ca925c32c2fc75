"""`make bench`: the farm's speed and size against its targets, each with the command that measured it.

The targets are those for 2 cores without KVM. Load of other programs shows in every figure; the load average is
printed beside them.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import oracle, results
from bench.measure import BenchError, Figure, Measured, measure, pasteable, qemu_version
from farm.errors import FarmError
from farm.host import accel, lease
from farm.host.capacity import measure as capacity
from farm.host.workdir import Workdir

ROOT = Path(__file__).resolve().parents[1]
FARM = str(Path(sys.executable).parent / "farm")
CELLS = str(Path(__file__).parent / "cells" / "test_bench.py")

# Name -> unit and target, as the project promises them.
TARGETS: dict[str, tuple[str, float | None]] = {
    "cold build, base flavor": ("CPU min", 12.0),
    "cold build, wall time": ("min", None),
    "first build, sources unpacked": ("CPU min", None),
    "no-op build": ("s", 1.0),
    "farm run to its first cell": ("s", 5.0),
    "boot to first ssh answer": ("s", 6.0),
    "cell: neither boot nor workload": ("s", 6.0),
    "cell: tear-down": ("s", 1.0),
    "farm's own memory": ("MB", 200.0),
}
# Phases of a cell that are not its overhead; waiting for other farms' machines is nobody's.
_NOT_OVERHEAD = ("boot", "workload", "admission")
_MB_PER_MIB = 1.048576


def figure(name: str, values: Sequence[float], command: str) -> Figure:
    unit, target = TARGETS[name]
    return Figure(name, unit, tuple(values), target, command)


def cold_build() -> Iterator[Figure]:
    """Build the base flavor in an empty cache without ccache."""
    with tempfile.TemporaryDirectory(dir=lease.scratch_directory("bench")) as cache:
        env = {"FARM_CACHE": cache, "CCACHE_DISABLE": "1"}
        argv = [FARM, "build", "--flavor", "base", "--json"]
        done = measure(argv, env)
    command = pasteable(argv, {**env, "FARM_CACHE": "$(mktemp -d)"})
    yield figure("cold build, base flavor", [done.said["cpu_seconds"] / 60], command)
    yield figure("cold build, wall time", [done.seconds / 60], command)
    yield figure("first build, sources unpacked", [done.cpu_seconds / 60], command)


def no_op_build(repeats: int) -> Iterator[Figure]:
    argv = [FARM, "build", "--flavor", "base", "--json"]
    measure(argv)
    yield figure("no-op build", [measure(argv).seconds for _ in range(repeats)], pasteable(argv, {}))


def cells(repeats: int) -> Iterator[Figure]:
    """Run the two cells of bench/cells and read what they noted of themselves."""
    argv = [FARM, "run", CELLS, "--runs-dir", str(lease.scratch_directory("bench")), "--json"]
    # The first fills the caches: kernel, image, and the answer which accelerator works.
    measure(argv)
    done = [measure(argv) for _ in range(repeats)]
    results = [result for one in done for result in results_of(one)]
    begins = [first_cell(one) - one.started for one in done]
    command = pasteable([FARM, "run", CELLS, "--json"], {})
    durations = [result["durations"] for result in results]
    worked = [result["durations"] for result in results if result["cell"]["workloads"]]
    yield figure("farm run to its first cell", begins, command)
    yield figure("boot to first ssh answer", [duration["boot"] for duration in durations], command)
    yield figure("cell: neither boot nor workload", [overhead(duration) for duration in worked], command)
    yield figure("cell: tear-down", [duration["teardown"] for duration in durations], command)
    yield figure("farm's own memory", [one.peak_mib * _MB_PER_MIB for one in done], command)


def results_of(run: Measured) -> list[dict[str, Any]]:
    """The result.json of every cell of a run. Raises BenchError when one did not pass."""
    results = [json.loads(path.read_text()) for path in sorted(Path(run.said["run"]).glob("*/result.json"))]
    bad = [f"{result['cell']['testcase']}: {result['title']}" for result in results if result["outcome"] != "pass"]
    if bad or not results:
        raise BenchError("the cells to measure did not pass: " + ("; ".join(bad) or "none ran"))
    return results


def first_cell(run: Measured) -> float:
    """When the first cell began, in seconds since the epoch: it writes its command before anything else."""
    return min(path.stat().st_mtime for path in Path(run.said["run"]).glob("*/command"))


def overhead(durations: dict[str, float]) -> float:
    """Seconds of a cell that are neither boot nor workload."""
    return durations["total"] - sum(durations.get(name, 0.0) for name in _NOT_OVERHEAD)


def host() -> dict[str, Any]:
    has = capacity()
    known = accel.recall(Workdir.default())
    return {
        "cpus": has.cpus, "memory_mib": has.memory_mib, "kernel": os.uname().release, "qemu": qemu_version(),
        "accelerator": known.name if known else None, "load": [round(load, 2) for load in os.getloadavg()],
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def show(figures: Sequence[Figure], about: dict[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("figure")
    for heading in ("median", "target", "of target", "runs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in figures:
        colour = "" if one.ratio is None else "[green]" if one.ratio <= 1 else "[red]"
        table.add_row(
            one.name, f"{one.median:.2f} {one.unit}",
            "" if one.target is None else f"{'≥ ' if one.at_least else ''}{one.target:g} {one.unit}",
            "" if one.ratio is None else f"{colour}{one.ratio:.0%}", str(len(one.values)),
        )
    console.print(table)
    console.print(
        f"\n{about['cpus']} CPUs, {about['memory_mib']} MiB, {about['qemu']}, accelerator {about['accelerator']}, "
        f"load {about['load'][0]}", highlight=False,
    )
    if about["load"][0] > about["cpus"]:
        console.print("The host was busy with other things when this began: the times are longer than the farm's own.")
    console.print("\nMeasured by:", highlight=False)
    for command in dict.fromkeys(one.command for one in figures):
        names = ", ".join(one.name for one in figures if one.command == command)
        console.print(f"  {command}\n      {names}", highlight=False, markup=False, soft_wrap=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the cold build, which takes minutes")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="runs of each quick figure (default: 5)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as JSON; - for standard output")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    parts: list[Callable[[], Iterator[Figure]]] = [
        lambda: no_op_build(asked.repeats), lambda: cells(asked.repeats),
        lambda: oracle.speed(oracle.found(), quick=True), lambda: results.figures(asked.repeats),
        *([] if asked.quick else [cold_build]),
    ]
    console = Console(stderr=asked.json == "-")
    about, figures, failed = host(), [], 0
    with console.status("measuring") if console.is_terminal else console:
        for part in parts:
            try:
                figures += list(part())
            except (BenchError, FarmError) as error:
                console.print(f"bench: {error}", style="red", markup=False, soft_wrap=True)
                failed = 1
    about["accelerator"] = host()["accelerator"]
    show(figures, about, console)
    text = json.dumps({"host": about, "figures": [one.to_json() for one in figures]}, indent=1)
    if asked.json == "-":
        print(text)
    elif asked.json:
        Path(asked.json).write_text(text + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
