"""`farm repro --run`: the proposals for a report are run, and what shows its failure is made small."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from farm.bisect.progress import duration
from farm.bisect.session import resolve
from farm.cli.run import absolute_testcases, prepare, require_runnable
from farm.cli.telling import announcer
from farm.host.workdir import Workdir
from farm.kernel import DEFAULT_FLAVOR, patches
from farm.model import Verdict, json_digest
from farm.options import OPTIONS, build_request
from farm.repro.attempts import Attempt
from farm.repro.likeness import likeness
from farm.repro.ranking import Proposal
from farm.repro.reproduce import Plan, Reproduction, Result
from farm.repro.shrink import Setup
from farm.repro.understanding import Understanding
from farm.textform import printable

# What stands for several flavors with checks: all of them in one.
_EVERY_CHECK = "debug"
_SENTENCES = {
    Verdict.GOOD: "good: reproduced",
    Verdict.BAD: "bad: every proposal was run, and none showed the failure of the report",
    Verdict.SKIP: "skip: it did not show, and not every proposal could be judged",
}


@dataclass(frozen=True)
class Request:
    """What the user asks."""

    # Name of the report, and its text.
    report: str
    text: str
    understood: Understanding
    proposals: tuple[Proposal, ...]
    # Options of `farm run` by name; the flavor is None when the user named none.
    given: Mapping[str, Any]
    tries: int
    runs: int
    # Seconds.
    budget: float
    directory: Path | None


def reproduce(request: Request, about: Mapping[str, Any] | None) -> Verdict:
    """Run, and tell how it ended: as JSON beside what is known already, or as text. Raises FarmError."""
    say = announcer()
    everything: dict[str, Any] = {option.name: [] if option.multiple else option.default for option in OPTIONS}
    options = {**everything, **request.given, "flavor": request.given["flavor"] or DEFAULT_FLAVOR}
    build_request(options)  # what contradicts itself is told before anything is made
    if options["tree"] is not None:
        options["rev"] = resolve(options["tree"], options["rev"] or "HEAD", Workdir.default())
    digests = [patches.read(path).digest for path in options["patch"]]
    plan = Plan(candidates(request.proposals, request.understood, request.given["flavor"]), options,
                likeness(request.understood), request.tries, request.runs, request.budget)
    require_runnable(absolute_testcases([testcase for testcase, _ in plan.candidates]), options)
    digest = json_digest([request.text, digests])
    directory = request.directory or Path("reproductions") / _name(request.report, plan.request(digest))
    say(f"everything is kept in {directory}")
    say(f"the same failure: {printable(plan.likeness.text)}")
    reproduction = Reproduction(plan, directory, lambda line: say(printable(line)), prepare)
    result = reproduction.carry_out(digest)
    command = _command(reproduction, result)
    if about is not None:
        click.echo(json.dumps({**about, **_as_json(result, directory, plan, command)}))
        return result.verdict
    for line in _told(result, directory, command):
        click.echo(printable(line))
    return result.verdict


def candidates(proposals: Sequence[Proposal], report: Understanding, flavor: str | None) -> tuple[tuple[str, str], ...]:
    """Testcases with their flavors, in the order in which they are tried.

    Where the report has no crash report, its words may ask for checks that cost time: these come after all proposals
    were tried without them.
    """
    if flavor is not None:
        return tuple((one.testcase, flavor) for one in proposals)
    first = [(one.testcase, one.flavor) for one in proposals]
    checks = [one for one in report.flavors if one != DEFAULT_FLAVOR] if not report.findings else []
    after = [(one.testcase, checks[0] if len(checks) == 1 else _EVERY_CHECK) for one in proposals] if checks else []
    return tuple(dict.fromkeys([*first, *after]))


def _name(report: str, asked: Mapping[str, Any]) -> str:
    """Name of the directory: the same request goes on in the same place."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(report).stem if report != "-" else "report").strip("-")
    return f"{stem[:60] or 'report'}-{json_digest(asked)[:8]}"


def _command(reproduction: Reproduction, result: Result) -> list[str]:
    """What repeats the smallest setup; empty without one."""
    if result.smallest is None or result.first is None or result.first.setup is None:
        return []
    return ["farm", *reproduction.arguments(result.smallest.testcase, {
        "flavor": result.first.flavor, **result.smallest.changes(result.first.setup)})]


def _told(result: Result, directory: Path, command: Sequence[str]) -> Iterator[str]:
    yield ""
    for one in result.attempts if result.first is None else ():
        yield f"{one.seen.value:16} {_flavored(one)}" + (f": {one.title}" if one.title else "")
    if result.first is None and result.cut:
        yield "The budget ended the search: the same command with a larger --budget goes on."
    if result.first is not None and result.smallest is not None and result.shown is not None:
        cause, start = result.first.cause, result.first.setup
        assert cause is not None
        assert start is not None
        run = directory / result.shown.directory
        yield f"reproduced     {cause.kind}{f' in {cause.function}' if cause.function else ''}: {cause.title}"
        yield f"by             {_flavored(result.first)}, run {_place(result, result.first)}"
        yield f"smallest       {'; '.join(result.smallest.smaller_than(start)) or 'as the testcase has it'}" + (
            " (the budget ended the search)" if result.cut else "")
        yield f"rate           {result.seen} of {result.runs} runs"
        yield f"time           {len(result.attempts)} runs, {duration(sum(one.seconds for one in result.attempts))}"
        yield f"run directory  {run}"
        yield ""
        yield f"    {shlex.join(command)}"
        yield f"    farm bundle {shlex.quote(str(run))} --with-kernel   # one file that repeats it elsewhere"
        yield f"    farm shell {shlex.quote(str(run))}   # its machine, stack and kernel, to look around"
        yield ""
    yield f"verdict: {_SENTENCES[result.verdict]}"


def _flavored(one: Attempt) -> str:
    return one.testcase + (f" with flavor {one.flavor}" if one.flavor != DEFAULT_FLAVOR else "")


def _place(result: Result, one: Attempt) -> int:
    return result.attempts.index(one) + 1


def _as_json(result: Result, directory: Path, plan: Plan, command: Sequence[str]) -> dict[str, Any]:
    first, setup = result.first, result.smallest
    return {
        "verdict": result.verdict.name.lower(), "status": int(result.verdict), "directory": str(directory),
        "counted": plan.likeness.text, "attempts": [one.to_json() for one in result.attempts],
        "failure": asdict(first.cause) if first and first.cause else None,
        "smallest": _setup(setup, first) if setup and first else None,
        "rate": {"seen": result.seen, "runs": result.runs}, "cut": result.cut,
        "run": str(directory / result.shown.directory) if result.shown else None, "command": list(command)}


def _setup(setup: Setup, first: Attempt) -> dict[str, Any]:
    return {**asdict(setup), "flavor": first.flavor}
