"""Whole bisections of generated histories on real kernels: is it always the right commit?

Each history is made from a seed. What was done is kept in --dir: the same command goes on after an interruption.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import history
from bench.kept import claim
from bench.main import FARM
from bench.measure import BenchError, Figure, carry_out, pasteable
from farm.bisect.state import Journal
from farm.bisect.values import ORDERS, SUSPECTS
from farm.host import process
from farm.model import REQUEST_REFUSED
from farm.qualify.mutant import Mutant, load_mutants
from farm.results import records

SOURCE = "debian:linux-source-6.12"
# Mutants that show in every run of their testcase, within seconds.
MUTANTS = ("dm-crypt-null-callback", "t10-pi-ref-in-sectors", "dm-crypt-request-reused", "dm-crypt-hardirq",
           "dm-crypt-vector-reused")
# Shares of histories in which the right commit has to be named, in percent.
_ALWAYS, _FLAKY = 100.0, 95.0
RESULTS = "histories.jsonl"


def tree(directory: Path) -> tuple[Path, str]:
    """A repository with the source package as its only commit, made when missing; and that commit.

    Raises BenchError.
    """
    path = directory / "linux"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        done = carry_out([FARM, "tree", "import", SOURCE, str(path), "--no-checkout"])
        if done.returncode != 0:
            raise BenchError(process.failure(done))
    return path, history.Repository(path).git("rev-parse", "refs/heads/main").strip()


def name_of(mutant: Mutant, percent: int, seed: int, *, fix: bool) -> str:
    return f"{mutant.name}-{percent}-{seed}{'-fix' if fix else ''}"


def bisect(
    directory: Path, mutant: Mutant, options: Sequence[str], *, seed: int, percent: int, commits: int, fix: bool,
) -> dict[str, Any]:
    """Bisect one history by these options, or go on with it; one whose bad end never showed the bug has named nothing.

    Raises BenchError when the bisection itself fails.
    """
    name = name_of(mutant, percent, seed, fix=fix)
    path, base = tree(directory)
    made = history.make(history.Repository(path), base, mutant, seed=seed, commits=commits, percent=percent,
                        fix=fix, branch=f"bench/{name}")
    old, new = made.commits[0], made.commits[-1]
    ends = ["--good", new, "--bad", old, "--fix"] if fix else ["--good", old, "--bad", new]
    argv = [FARM, "bisect", "--tree", str(path), *ends, "--dir", str(directory / name), *options, "--json",
            mutant.testcase]
    print(f"{name}: {pasteable(argv, {})}", file=sys.stderr)
    began = time.monotonic()
    child = process.spawn(argv, stdout=subprocess.PIPE, stderr=sys.stderr.fileno())
    with process.running(child):
        out, _ = child.communicate()
    report: dict[str, Any] = {"culprits": [], "confidence": 0.0, "proof": {"confirmed": None}, "steps": []}
    if child.returncode == 0:
        report = json.loads(out.splitlines()[-1])
    elif child.returncode != REQUEST_REFUSED or percent == 100 or not Journal(directory / name).runs:
        raise BenchError(f"{name}: farm bisect ended with status {child.returncode}; the same command goes on")
    named = [one["commit"] for one in report["culprits"]]
    return {
        "name": name, "mutant": mutant.name, "percent": percent, "seed": seed, "commits": commits,
        "planted": made.commits[made.place], "place": made.place, "named": named,
        "right": named == [made.commits[made.place]], "confidence": report["confidence"],
        "confirmed": report["proof"]["confirmed"], "steps": len(report["steps"]),
        "skipped": sum(row["answer"] == "skip" for row in report["steps"]),
        # Of the last part only, when it was interrupted.
        "seconds": round(time.monotonic() - began, 1), "busy_seconds": round(sum(
            row["seconds"] for row in report["steps"]), 1),
    }


def figures(rows: Sequence[dict[str, Any]], command: str) -> Iterator[Figure]:
    for what, target, some in (
        ("histories named right, bug in every boot", _ALWAYS, [row for row in rows if row["percent"] == 100]),
        ("histories named right, bug in some boots", _FLAKY, [row for row in rows if row["percent"] < 100]),
    ):
        if some:
            right = sum(row["right"] for row in some)
            yield Figure(what, "%", (100 * right / len(some),), target, command, at_least=True,
                         detail=f"{right} of {len(some)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("bench-histories"), metavar="DIR", help="where all is kept")
    parser.add_argument("--histories", type=int, default=20, metavar="N", help="how many (default: 20)")
    parser.add_argument("--commits", type=int, default=64, metavar="N", help="commits in each (default: 64)")
    parser.add_argument("--percent", type=int, default=100, metavar="P",
                        help=f"boots that show the bug (default: 100; fewer only of {', '.join(history.FLAKY)})")
    parser.add_argument("--fix", action="store_true",
                        help="the mutant stands from the start, and the commit that takes it out is searched")
    parser.add_argument("--duration", type=float, default=10.0, metavar="S", help="of each workload (default: 10)")
    parser.add_argument("--machine", default="", metavar="TEXT",
                        help="as farm run takes it; with cpus=1, a host of two cores runs two guests at once")
    parser.add_argument("--order", choices=ORDERS, default=SUSPECTS,
                        help=f"who chooses the revisions (default: {SUSPECTS})")
    parser.add_argument("--mutant", action="append", metavar="NAME", help="only these mutants")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    directory: Path = asked.dir.absolute()
    default = MUTANTS if asked.percent == 100 else history.FLAKY
    mutants = [load_mutants([name])[0] for name in asked.mutant or default]
    # What else is asked is in the name of each row.
    claim(directory, RESULTS, {name: getattr(asked, name) for name in ("commits", "duration", "machine", "order")})
    options = ["--duration", f"{asked.duration:g}", "--order", asked.order,
               *(["--machine", asked.machine] if asked.machine else [])]
    done = {row["name"]: row for row in records.read(directory / RESULTS)}
    for seed in range(1, asked.histories + 1):
        mutant = mutants[seed % len(mutants)]
        if name_of(mutant, asked.percent, seed, fix=asked.fix) in done:
            continue
        row = bisect(directory, mutant, options, seed=seed, percent=asked.percent, commits=asked.commits, fix=asked.fix)
        records.append(directory / RESULTS, row)
        done[row["name"]] = row
    rows = list(done.values())
    for row in rows:
        print(f"{row['name']:32} {'right' if row['right'] else 'WRONG':6} {row['confidence']:.1%}  "
              f"{row['steps']} revisions judged, {row['skipped']} skipped, revert confirmed: {row['confirmed']}, "
              f"{row['busy_seconds']:.0f} s of builds and runs")
    command = pasteable([sys.executable, "-m", "bench.histories", *sys.argv[1:]], {})
    for one in figures(rows, command):
        print(f"{one.name}: {one.median:.0f} % ({one.detail}), target {one.target:.0f} %"
              f"{'' if one.met else ': NOT MET'}")
    return 0 if all(one.met for one in figures(rows, command)) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
