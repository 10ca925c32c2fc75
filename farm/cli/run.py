"""`farm run`: the thin front of the pytest plugin."""

import ast
import io
import json
import logging
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import options
from farm.cli.telling import complain
from farm.errors import BuildError, InfrastructureError, UserError
from farm.guest.argv import check_machine
from farm.guest.machinetext import mebibytes, parse_machine, parse_namespace
from farm.host.cache import Store
from farm.host.workdir import Workdir, data_directory
from farm.image import build_image
from farm.kernel import build, ready_image
from farm.model import Machine, Verdict
from farm.options import OPTIONS, Option, as_arguments, build_request
from farm.progress import Display
from farm.stack import check_stack, parse_stack

if TYPE_CHECKING:
    from farm.plugin.events import Listing

# What pytest is always told.
QUIET = ("--no-header", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
# The mark of testcases that say in a few minutes whether a kernel is worth more.
SMOKE = "smoke"
SENTENCES = {
    Verdict.GOOD: "good: every testcase that ran passed",
    Verdict.BAD: "bad: a testcase failed",
    Verdict.SKIP: "skip: nothing could be judged",
    Verdict.STOP: "stop: the host or the request failed, the kernel was not judged",
}


def _workers(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None and value != "auto" and not (value.isascii() and value.isdigit() and int(value) > 0):
        raise click.BadParameter(f"{value!r} is neither auto nor a number of cells.")
    return value


@click.command()
@click.argument("testcases", nargs=-1, metavar="[TESTCASE]...")
@options(OPTIONS)
@click.option("-n", "workers", metavar="N", callback=_workers,
              help="Run N cells at a time; `auto`: as many as this host has CPUs.")
@click.option("-m", "marks", metavar="MARKS", help="Only testcases with these marks, e.g. `smoke` or `not smoke` "
              "(default: smoke when no TESTCASE is named, else all).")
@click.option("-x", "--exitfirst", is_flag=True, help="Stop at the first failure.")
@click.option("--list", "only_list", is_flag=True, help="Print the testcases that would run, and run none.")
@click.option("--events", type=Path, metavar="FILE",
              help="Append a line of JSON to FILE whenever a testcase starts or ends.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; everything else goes to stderr.")
def command(
    testcases: Sequence[str], workers: str | None, marks: str | None, *, exitfirst: bool, as_json: bool,
    only_list: bool, events: Path | None, **given: Any,
) -> int:
    """Run testcases against a kernel and tell whether it is good.

    TESTCASE is a file, FILE::FUNCTION, or the name of one that comes with the farm; without any, the smoke plan
    runs, and with -m any choice of those that come with the farm. The exit status is 0 for good, 1 for bad, 125
    when nothing could be judged (the kernel does not compile, everything was skipped), 128 and above when the host
    or the request is to blame.

    \b
    Example: farm run test_luks2.py --patch fix.patch --flavor lockdep
    """
    logging.basicConfig(format="farm: %(message)s", level=logging.INFO, stream=sys.stderr)
    places = list(resolve(testcases))
    arguments = [*places, *QUIET, *as_arguments(given), *selected(marks, testcases)]
    found = collect(arguments)
    if only_list:
        click.echo(json.dumps(found.items) if as_json else "\n".join(one["testcase"] for one in found.items))
        return 0
    require_possible(found)
    require_places(given["runs_dir"], events)
    try:
        prepare(given)
    except BuildError as error:
        complain(error)
        return Verdict.SKIP
    # A free worker gets the next cell, and no more: the order in which they are given is the one in which they begin.
    argv = [*arguments, "-v", *(["-n", workers, "--maxschedchunk=1"] if workers else []),
            *(["-x"] if exitfirst else [])]
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        return judge(argv, as_json=as_json, events=events)


def collect(argv: Sequence[str]) -> "Listing":
    """The testcases that pytest would run. Raises UserError when a file cannot be loaded or has none."""
    import pytest  # noqa: PLC0415

    from farm.plugin.events import Listing  # noqa: PLC0415

    listing = Listing()
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(said):
        status = pytest.main([*argv, "--collect-only", "-qq"], plugins=[listing])
    if status == pytest.ExitCode.USAGE_ERROR:
        _require_parameters(argv)
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        click.echo(said.getvalue(), err=True)
        raise UserError("the testcases could not be loaded; what pytest says of them is above.")
    if not listing.items and not listing.deselected:
        raise UserError(f"{argv[0]} holds no testcase. A file of them is Python, with functions named test_…; a "
                        "directory is searched for files named test_*.py.")
    return listing


def _require_parameters(argv: Sequence[str]) -> None:
    """Raises UserError for a testcase whose function has no such parameters, of which pytest says no word."""
    for place in (one for one in argv if "::" in one and one.endswith("]")):
        function, _, asked = place.removesuffix("]").partition("[")
        known = [one["testcase"].removesuffix("]").partition("[")[2] for one in collect([function, *QUIET]).items]
        if asked not in known:
            raise UserError(f"{function} has no parameters [{asked}]. It has " + (
                ", ".join(f"[{one}]" for one in known if one) or "none") + ".")


def require_possible(found: "Listing") -> None:
    """Raises UserError when there is none whose machine and stacks can be: no minutes of building for nothing.

    One among others is an error of its own, and costs them nothing.
    """
    if found.objections and len(found.objections) == len(found.items):
        raise UserError(found.objections[0])


def require_runnable(places: Sequence[str], given: Mapping[str, Any], table: Sequence[Option] = OPTIONS) -> None:
    """Raises UserError when what others run by `farm run` has no testcase, or none that can be, with these options."""
    require_possible(collect([*places, *QUIET, *as_arguments(given, table)]))


def require_places(runs_dir: Path, events: Path | None = None) -> None:
    """Raises UserError when no directory of runs, or file of events, can be made there; leaves no directory behind."""
    there = runs_dir.absolute()
    while not there.exists():
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
        if events is not None:
            events.open("a").close()
    except OSError as error:
        where = events if events and error.filename == str(events) else runs_dir
        raise UserError(f"{where} cannot be made or written to: {error.strerror}.") from error


def selected(marks: str | None, testcases: Sequence[str]) -> list[str]:
    """What pytest is told about marks: the smoke plan is what runs when nothing was chosen."""
    chosen = marks if marks is not None else "" if testcases else SMOKE
    return ["-m", chosen] if chosen else []


def prepare(given: Mapping[str, Any]) -> None:
    """Build what the cells need before the first of them, where progress can be shown."""
    from farm.image.recipe import load_recipe  # noqa: PLC0415 - pydantic is for those that run cells

    workdir = Workdir.default()
    store = Store(workdir.root / "store")
    # Before minutes of building: the names may be wrong.
    load_recipe(given["image_recipe"])
    values = parse_machine(given["machine"] or "")
    namespaces = [parse_namespace(text) for text in given["namespace"]]
    check_machine(Machine(int(values.get("cpus", 1)), mebibytes(values.get("memory", "1G")), tuple(namespaces)))
    for stack in map(parse_stack, given["stack"]):
        if namespaces:
            check_stack(stack, namespaces)
    if given["kernel_image"]:
        kernel = ready_image(given["kernel_image"])
    else:
        with Display() as display:
            kernel = build(build_request(given), workdir, store, display)
    _say("kernel", f"{kernel.id.release} {kernel.id.flavor}", kernel.cached)
    image = build_image(given["image_recipe"], workdir, store, lambda phase: click.echo(f"image    {phase}", err=True))
    _say("image", f"{given['image_recipe']} {image.digest[:12]}", image.cached)


def _say(what: str, which: str, cached: bool) -> None:
    click.echo(f"{what:8} {which} ({'cached' if cached else 'built now'})", err=True)


def judge(
    argv: Sequence[str], *, as_json: bool, events: Path | None = None, sentences: Mapping[Verdict, str] = SENTENCES,
) -> int:
    """Run pytest, and turn what it saw into a verdict; what happens meanwhile is appended to the file `events`."""
    import pytest  # noqa: PLC0415 - half a second that bad arguments need not wait for

    from farm.plugin.events import Events  # noqa: PLC0415
    from farm.plugin.outcomes import Outcomes  # noqa: PLC0415

    outcomes = Outcomes()
    status = pytest.main(list(argv), plugins=[outcomes, *([Events(events, outcomes)] if events else [])])
    if outcomes.interrupted:
        raise KeyboardInterrupt
    if status in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR):
        raise UserError("the testcases could not be loaded; what pytest says of them is above.")
    if status == pytest.ExitCode.INTERNAL_ERROR:
        raise InfrastructureError("pytest failed; what it says is above")
    verdict = outcomes.verdict
    click.echo(f"verdict: {sentences[verdict]}", err=as_json)
    if as_json:
        cells = [{**asdict(row), "outcome": row.outcome.value} for row in outcomes.rows.values()]
        sys.__stdout__.write(json.dumps({  # type: ignore[union-attr]
            "verdict": verdict.name.lower(), "status": int(verdict), "run": str(outcomes.run_directory),
            "cells": cells}) + "\n")
    return verdict


def resolve(testcases: Sequence[str]) -> Iterator[str]:
    """Testcases as pytest takes them.

    Raises UserError, with the names that exist, for an unknown one: here, and not after minutes of building.
    """
    shipped = data_directory("testcases")
    if not testcases:
        yield str(shipped)
    for testcase in testcases:
        path, separator, function = testcase.partition("::")
        places = [Path(path), shipped / path, shipped / f"{path}.py", shipped.parent / path]
        found = next((place for place in places if place.exists()), None)
        if found is None:
            files = ", ".join(sorted(file.name for file in shipped.glob("test_*.py")))
            raise UserError(f"there is no testcase {testcase}. The farm's own are {files}; "
                            "the path of a file of your own works too.")
        names = [] if found.is_dir() else defined(found)
        if function and re.split(r"::|\[", function)[0] not in names:
            raise UserError(f"{found} has no testcase {function}. It has {', '.join(names) or 'none'}.")
        yield f"{found}{separator}{function}"


def absolute_testcases(testcases: Sequence[str]) -> tuple[str, ...]:
    """The same, each with the absolute path of its file. Raises UserError."""
    places = [place.partition("::") for place in resolve(testcases)]
    return tuple(f"{Path(path).absolute()}{mark}{function}" for path, mark, function in places)


def defined(path: Path) -> list[str]:
    """Names of the testcases in a file. Raises UserError when it is no Python."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, OSError) as error:
        raise UserError(f"{path} cannot be loaded: {error}.") from error
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and node.name.lower().startswith("test")]
