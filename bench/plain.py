"""The plain side of `make bench-bisect`: `git bisect run` around make and a script that boots and tests."""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import history
from bench.main import FARM
from bench.measure import BenchError, carry_out, measure
from farm.kernel.git import IDENTITY, environment
from farm.qualify.mutant import Mutant

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


@dataclass(frozen=True)
class Side:
    """How one side did, apart from its time."""

    # The commit that it named, "" for none.
    named: str
    # How many revisions it judged, ends not counted.
    judged: int


def plain_git(where: Path, *arguments: str) -> str:
    """git as a user runs it in a checkout. Raises BenchError."""
    done = carry_out(["git", "-C", str(where), *arguments], environment(IDENTITY))
    if done.returncode != 0:
        raise BenchError(f"git {arguments[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def prepare_plain(plan: Plan) -> tuple[Path, Path]:
    """The plain side's checkout and build directory, with the good end built in it; kept, and not measured.

    What a bisection that goes on has built last stays there.
    """
    work, output = plan.directory / "plain", plan.directory / "plain-build"
    base = plan.planted.commits[0]
    if not work.exists():
        plain_git(plan.linux, "worktree", "add", "--detach", str(work), base)
    if under_way(work, plan):
        return work, output
    plain_git(work, "bisect", "reset", base)
    plain_git(work, "checkout", "-q", "--force", "--detach", base)
    output.mkdir(exist_ok=True)
    config = measure([FARM, "build", "--tree", str(plan.linux), "--rev", base, "--json"]).said["config"]
    (output / ".config").write_text(Path(config).read_text())
    for targets in (["olddefconfig"], [f"-j{os.cpu_count()}", "bzImage"]):
        process_make(work, output, targets)
    return work, output


def under_way(work: Path, plan: Plan) -> bool:
    """Whether git bisects this very history there, since an attempt that was interrupted."""
    done = carry_out(["git", "-C", str(work), "bisect", "log"], environment())
    return done.returncode == 0 and f"'{plan.planted.commits[-1]}'" in done.stdout


def process_make(work: Path, output: Path, targets: Sequence[str]) -> None:
    done = carry_out(["make", "-s", "-C", str(work), f"O={output}", *targets])
    if done.returncode != 0:
        raise BenchError(f"make {targets[-1]} failed: {done.stderr[-500:]}")


def plain(plan: Plan, work: Path, output: Path) -> Side:
    """`git bisect run`, from the start or from where it was interrupted."""
    script = plan.directory / "judge.sh"
    places = {name: shlex.quote(str(plan.directory / name)) for name in ("plain.log", "plain.json", "plain-runs")}
    script.write_text(_SCRIPT.format(
        jobs=os.cpu_count(), output=shlex.quote(str(output)), log=places["plain.log"], farm=shlex.quote(FARM),
        runs=places["plain-runs"], said=places["plain.json"], duration=plan.duration,
        testcase=shlex.quote(plan.mutant.testcase), function=plan.mutant.functions[0]))
    script.chmod(0o755)
    if not under_way(work, plan):
        plain_git(work, "bisect", "start", plan.planted.commits[-1], plan.planted.commits[0])
    said = plain_git(work, "bisect", "run", str(script))
    named = plain_git(work, "rev-parse", "refs/bisect/bad").strip()
    log = plain_git(work, "bisect", "log")
    judged = len(re.findall(r"^git bisect (?:good|bad|skip) ", log, re.MULTILINE))
    return Side(named if "is the first bad commit" in said else "", judged)
