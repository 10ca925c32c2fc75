"""`make bench-bisect`: farm bisect beside `git bisect run` on the same history and test, and the time of one step.

The plain side is `git bisect run` with a short script: `make` in a kept build directory, then a boot with the test. It
is given the farm's configuration, guest and test (`farm run --kernel-image`), a build directory in which the good end
was built before, and the function by which the crash is known; it verifies no end and reverts nothing. The farm does
both.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import history
from bench.histories import tree
from bench.main import FARM, host, show
from bench.measure import BenchError, Figure, measure, pasteable
from farm.errors import FarmError
from farm.kernel.git import IDENTITY, command
from farm.qualify.mutant import Mutant, load_mutants

STEP_SECONDS = 45.0
MOST_OF_PLAIN = 0.5
MUTANT = "dm-crypt-null-callback"
_SCRIPT = """#!/bin/bash
# What `git bisect run` is given: 0 good, 1 bad, 125 skip.
make -s -j{jobs} O={output} bzImage </dev/null >>{log} 2>&1 || exit 125
{farm} run --kernel-image {output}/arch/x86/boot/bzImage --json --runs-dir {runs} --duration {duration:g} \\
    {testcase} >{said} 2>>{log}
status=$?
[ $status != 1 ] || grep -q {function} {said} || exit 125
[ $status -lt 128 ] || exit 255
exit $status
"""


@dataclass(frozen=True)
class Plan:
    """What both sides are given."""

    # Where the repository and the plain side's work tree and build directory are kept.
    directory: Path
    mutant: Mutant
    planted: history.Planted
    duration: float

    @property
    def linux(self) -> Path:
        return self.directory / "linux"


def plain_git(where: Path, *arguments: str) -> str:
    """git as a user runs it in a checkout. Raises BenchError."""
    done = subprocess.run(command("-C", str(where), *arguments, variables=IDENTITY), check=False,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"git {arguments[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def prepare_plain(plan: Plan) -> tuple[Path, Path]:
    """The plain side's checkout and build directory, with the good end built in it; kept, and not measured."""
    work, output = plan.directory / "plain", plan.directory / "plain-build"
    base = plan.planted.commits[0]
    if not work.exists():
        plain_git(plan.linux, "worktree", "add", "--detach", str(work), base)
    plain_git(work, "checkout", "-q", "--force", "--detach", base)
    output.mkdir(exist_ok=True)
    config = measure([FARM, "build", "--tree", str(plan.linux), "--rev", base, "--json"]).said["config"]
    (output / ".config").write_text(Path(config).read_text())
    for targets in (["olddefconfig"], [f"-j{os.cpu_count()}", "bzImage"]):
        process_make(work, output, targets)
    return work, output


def process_make(work: Path, output: Path, targets: Sequence[str]) -> None:
    done = subprocess.run(["make", "-s", "-C", str(work), f"O={output}", *targets], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"make {targets[-1]} failed: {done.stderr[-500:]}")


def plain(plan: Plan, work: Path, output: Path) -> tuple[float, str]:
    """Seconds of `git bisect run`, and the commit that it named."""
    script = plan.directory / "judge.sh"
    places = {name: shlex.quote(str(plan.directory / name)) for name in ("plain.log", "plain.json", "plain-runs")}
    script.write_text(_SCRIPT.format(
        jobs=os.cpu_count(), output=shlex.quote(str(output)), log=places["plain.log"], farm=shlex.quote(FARM),
        runs=places["plain-runs"], said=places["plain.json"], duration=plan.duration,
        testcase=shlex.quote(plan.mutant.testcase), function=plan.mutant.functions[0]))
    script.chmod(0o755)
    began = time.monotonic()
    plain_git(work, "bisect", "start", plan.planted.commits[-1], plan.planted.commits[0])
    try:
        said = plain_git(work, "bisect", "run", str(script))
        named = plain_git(work, "rev-parse", "refs/bisect/bad").strip()
    finally:
        seconds = time.monotonic() - began
        plain_git(work, "bisect", "reset")
    return seconds, named if "is the first bad commit" in said else ""


def by_farm(plan: Plan) -> tuple[float, str]:
    """Seconds of `farm bisect`, ends and revert included, and the commit that it named."""
    argv = farm_argv(plan)
    done = measure(argv)
    named = [one["commit"] for one in done.said["culprits"]]
    return done.seconds, named[0] if len(named) == 1 else ""


def farm_argv(plan: Plan) -> list[str]:
    last = plan.planted.commits[-1]
    return [FARM, "bisect", "--tree", str(plan.linux), "--good", plan.planted.commits[0], "--bad", last, "--dir",
            str(plan.directory / f"bisection-{last[:12]}"), "--duration", f"{plan.duration:g}", "--json",
            plan.mutant.testcase]


def side_by_side(plan: Plan) -> Iterator[Figure]:
    """Both, one after the other."""
    work, output = prepare_plain(plan)
    planted = plan.planted.commits[plan.planted.place]
    shown = pasteable(farm_argv(plan), {})
    measured: dict[str, float] = {}
    sides: dict[str, Callable[[], tuple[float, str]]] = {
        "farm bisect": lambda: by_farm(plan), "git bisect run": lambda: plain(plan, work, output)}
    for name, run in sides.items():
        measured[name], named = run()
        verdict = "the right commit" if named == planted else f"{named[:12] or 'no commit'}, which is WRONG"
        print(f"{name}: {measured[name]:.0f} s, {verdict}", file=sys.stderr)
        if name == "farm bisect" and named != planted:
            raise BenchError("farm bisect named the wrong commit: its time is worth nothing")
        yield Figure(f"{name}, {len(plan.planted.commits) - 1} commits", "s", (measured[name],), None, shown)
    yield Figure("farm bisect, of git bisect run", "times", (measured["farm bisect"] / measured["git bisect run"],),
                 MOST_OF_PLAIN, shown)


def one_step(plan: Plan, repeats: int) -> Iterator[Figure]:
    """Judge revisions that differ from what was built last in one .c file, by a test of --duration seconds."""
    repository = history.Repository(plan.linux)
    base, seconds, argv = plan.planted.commits[0], [], [""]
    measure([FARM, "build", "--tree", str(plan.linux), "--rev", base, "--json"])
    for number in range(repeats):
        repository.begin(base)
        path = history.SOURCES[number % len(history.SOURCES)]
        note = f"bench_step_{int(time.time())}_{number}"
        added = f"\nstatic int __used {note}(void)\n{{\n\treturn {number};\n}}\n"
        repository.write(path, repository.text(path) + added)
        commit = repository.commit(base, f"bench: {path}")
        argv = [FARM, "judge", "--tree", str(plan.linux), "--rev", commit, "--runs-dir",
                str(plan.directory / "step-runs"), "--duration", f"{plan.duration:g}", plan.mutant.testcase]
        began = time.monotonic()
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        seconds.append(time.monotonic() - began)
        if done.returncode != 0:
            raise BenchError(f"a step did not come out good: {(done.stdout + done.stderr)[-500:]}")
    yield Figure(f"one step: one .c file, a test of {plan.duration:g} s", "s", tuple(seconds), STEP_SECONDS,
                 pasteable(argv, {}))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only the single step, not whole bisections")
    parser.add_argument("--commits", type=int, default=64, metavar="N", help="length of the history (default: 64)")
    parser.add_argument("--seed", type=int, default=int(time.time()), metavar="N",
                        help="of the history (default: a new one, so that no cache has its kernels)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="single steps (default: 3)")
    parser.add_argument("--duration", type=float, default=10.0, metavar="S", help="of the test (default: 10)")
    parser.add_argument("--dir", type=Path, default=Path("bench-bisect"), metavar="DIR",
                        help="where both sides keep trees and builds (default: bench-bisect)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as JSON")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    directory: Path = asked.dir.absolute()
    path, base = tree(directory)
    (mutant,) = load_mutants([MUTANT])
    planted = history.make(history.Repository(path), base, mutant, seed=asked.seed, commits=asked.commits,
                           branch=f"bench/{asked.seed}")
    plan = Plan(directory, mutant, planted, asked.duration)
    console, about, figures, failed = Console(), host(), list[Figure](), 0
    parts: list[Callable[[], Iterator[Figure]]] = [
        lambda: one_step(plan, asked.repeats), *([] if asked.quick else [lambda: side_by_side(plan)])]
    for part in parts:
        try:
            figures += list(part())
        except (BenchError, FarmError) as error:
            console.print(f"bench: {error}", style="red", markup=False, soft_wrap=True)
            failed = 1
    show(figures, about, console)
    if asked.json:
        text = json.dumps({"host": about, "figures": [one.to_json() for one in figures]}, indent=1)
        Path(asked.json).write_text(text + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
