"""`make bench-bisect`: farm bisect beside `git bisect run` on the same history and test, and the time of one step.

The plain side is `git bisect run` with a short script: `make` in a kept build directory, then a boot with the test. It
is given the farm's configuration, guest and test (`farm run --kernel-image`), a build directory in which the good end
was built before, and the function by which the crash is known; it verifies no end and reverts nothing. The farm does
both.

--commits 16 is the smaller run, of about half the time. The farm's runs of both ends and of the revert weigh more
there, so that it is not held to the target, which is for 64. Whatever is interrupted goes on with the same command: a
side that was measured stays so, and the time of one that was under way is that of all attempts at it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import history
from bench.histories import tree
from bench.main import FARM, host, show
from bench.measure import BenchError, Figure, carry_out, measure, pasteable
from bench.parts import Parts, note, unfinished
from bench.plain import Plan, Side, plain, prepare_plain
from farm.errors import FarmError
from farm.qualify.mutant import load_mutants

STEP_SECONDS = 45.0
MOST_OF_PLAIN = 0.5
# Of a history so long.
TARGET_COMMITS = 64
PARTS = "bench-bisect.jsonl"
MUTANT = "dm-crypt-null-callback"
# Loads of its testcase that last as long as they are told to, one after the other.
LOADS = 2


def by_farm(plan: Plan) -> Side:
    """`farm bisect`, ends and revert included, from the start or from where it was interrupted."""
    said = measure(farm_argv(plan)).said
    named = [one["commit"] for one in said["culprits"]]
    return Side(named[0] if len(named) == 1 else "", len(said["steps"]) - 2)


def farm_argv(plan: Plan) -> list[str]:
    last = plan.planted.commits[-1]
    return [FARM, "bisect", "--tree", str(plan.linux), "--good", plan.planted.commits[0], "--bad", last, "--dir",
            str(plan.directory / f"bisection-{last[:12]}"), "--duration", f"{plan.duration:g}", "--json",
            plan.mutant.testcase]


def side_by_side(plan: Plan, parts: Parts) -> Iterator[Figure]:
    """Both, one after the other."""
    shown = pasteable(farm_argv(plan), {})
    commits, planted = len(plan.planted.commits) - 1, plan.planted.commits[plan.planted.place]
    names = {"farm": "farm bisect", "plain": "git bisect run"}
    for part, name in names.items():
        side = attempt(plan, parts, part)
        verdict = "the right commit" if side.named == planted else f"{side.named[:12] or 'no commit'}, which is WRONG"
        detail = f"{verdict}, {side.judged} revisions judged"
        print(f"{name}: {parts.spent(part):.0f} s, {detail}", file=sys.stderr)
        if part == "farm" and side.named != planted:
            raise BenchError("farm bisect named the wrong commit: its time is worth nothing")
        yield Figure(f"{name}, {commits} commits", "s", (parts.spent(part),), None, shown, detail=detail)
    yield Figure("farm bisect, of git bisect run", "times", (parts.spent("farm") / parts.spent("plain"),),
                 MOST_OF_PLAIN if commits >= TARGET_COMMITS else None, shown)


def attempt(plan: Plan, parts: Parts, part: str) -> Side:
    """What came of a side, measured now unless it was before."""
    found = parts.found(part)
    if found is None:
        # Preparing is no part of what is measured.
        where = prepare_plain(plan) if part == "plain" else None
        with parts.timing(part):
            side = plain(plan, *where) if where else by_farm(plan)
        found = asdict(side)
        parts.finish(part, found)
    return Side(**found)


def one_step(plan: Plan, parts: Parts, repeats: int) -> Iterator[Figure]:
    """Judge revisions that differ from what was built last in one .c file, by loads of --duration seconds each."""
    found = parts.found("step")
    if found is None:
        found = steps(plan, repeats)
        parts.finish("step", found)
    yield Figure(f"one step: one .c file, a test of {LOADS} x {plan.duration:g} s", "s", tuple(found["seconds"]),
                 STEP_SECONDS, found["command"])


def steps(plan: Plan, repeats: int) -> dict[str, Any]:
    repository = history.Repository(plan.linux)
    base, seconds, argv = plan.planted.commits[0], [], [""]
    measure([FARM, "build", "--tree", str(plan.linux), "--rev", base, "--json"])
    for number in range(repeats):
        repository.begin(base)
        path = history.SOURCES[number % len(history.SOURCES)]
        function = f"bench_step_{int(time.time())}_{number}"
        added = f"\nstatic int __used {function}(void)\n{{\n\treturn {number};\n}}\n"
        repository.write(path, repository.text(path) + added)
        commit = repository.commit(base, f"bench: {path}")
        argv = [FARM, "judge", "--tree", str(plan.linux), "--rev", commit, "--runs-dir",
                str(plan.directory / "step-runs"), "--duration", f"{plan.duration:g}", plan.mutant.testcase]
        began = time.monotonic()
        done = carry_out(argv)
        seconds.append(time.monotonic() - began)
        if done.returncode != 0:
            raise BenchError(f"a step did not come out good: {(done.stdout + done.stderr)[-500:]}")
    return {"seconds": seconds, "command": pasteable(argv, {})}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only the single step, not whole bisections")
    parser.add_argument("--commits", type=int, default=64, metavar="N", help="length of the history (default: 64)")
    parser.add_argument("--seed", type=int, metavar="N",
                        help="of the history (default: that of the last measurement of this kind that was interrupted, "
                        "else a new one, so that no cache has its kernels)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="single steps (default: 3)")
    parser.add_argument("--duration", type=float, default=5.0, metavar="S",
                        help=f"of each of the test's {LOADS} loads (default: 5)")
    parser.add_argument("--dir", type=Path, default=Path("bench-bisect"), metavar="DIR",
                        help="where both sides keep trees and builds (default: bench-bisect)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as JSON")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    directory: Path = asked.dir.absolute()
    path, base = tree(directory)
    (mutant,) = load_mutants([MUTANT])
    kind = {"quick": asked.quick, "commits": asked.commits, "duration": asked.duration}
    notes = directory / PARTS
    seed = asked.seed if asked.seed is not None else unfinished(notes, kind) or int(time.time())
    note(notes, kind, seed, ended=False)
    planted = history.make(history.Repository(path), base, mutant, seed=seed, commits=asked.commits,
                           branch=f"bench/{seed}")
    plan = Plan(directory, mutant, planted, asked.duration)
    parts = Parts(notes, f"{planted.commits[-1]} {asked.duration:g}")
    console, about, figures, failed = Console(), host(), list[Figure](), 0
    print(f"bench: history of seed {seed}; after an interruption the same command goes on", file=sys.stderr)
    measured: list[Callable[[], Iterator[Figure]]] = [
        lambda: one_step(plan, parts, asked.repeats), *([] if asked.quick else [lambda: side_by_side(plan, parts)])]
    for part in measured:
        try:
            figures += list(part())
        except (BenchError, FarmError) as error:
            console.print(f"bench: {error}", style="red", markup=False, soft_wrap=True)
            failed = 1
    if not failed:
        note(notes, kind, seed, ended=True)
    show(figures, about, console)
    if asked.json:
        text = json.dumps({"host": about, "figures": [one.to_json() for one in figures]}, indent=1)
        Path(asked.json).write_text(text + "\n")
    return failed


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(f"bench: {error}")
