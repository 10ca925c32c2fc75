"""`farm bisect-config`: from a good and a bad .config to the options that make the difference."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from farm.bisect.config.candidates import read
from farm.bisect.config.report import ConfigReport, render, to_json
from farm.bisect.config.request import ConfigRequest
from farm.bisect.config.session import ConfigSession
from farm.bisect.inputs import digests, of_testcases
from farm.bisect.session import resolve
from farm.bisect.values import MATCH_DEFAULT, MATCHES, Settings
from farm.cli.judge import RUN, absolute
from farm.cli.options import options
from farm.cli.run import absolute_testcases, require_runnable
from farm.cli.telling import announcer, echo
from farm.host.workdir import Workdir
from farm.options import BUILD_OPTIONS, as_arguments, build_request, without

_BUILD = without(BUILD_OPTIONS, "--flavor", "--config", "--config-dir")
# Options of every bisection, be it of revisions or of configurations.
MATCH = click.option(
    "--match", type=click.Choice(MATCHES), default=MATCH_DEFAULT,
    help="What makes another failure the same bug: kind and function, kind alone, the whole signature, or nothing: any "
    "failure is the bug.  [default: function]")
CONFIDENCE = click.option(
    "--confidence", type=click.FloatRange(0.5, 0.999), default=0.95, metavar="SHARE",
    help="Wanted for the whole answer.  [default: 0.95]")
AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print the report as JSON; progress goes to stderr.")


@click.command(name="bisect-config")
@click.argument("testcases", nargs=-1, required=True, metavar="TESTCASE...")
@click.option("--good-config", type=Path, required=True, metavar="FILE", help="A .config without the bug.")
@click.option("--bad-config", type=Path, required=True, metavar="FILE", help="A .config with the bug.")
@MATCH
@click.option("--runs", type=click.IntRange(min=0), default=0, metavar="N",
              help="Runs of each configuration.  [default: as many as the reproduction rate wants]")
@CONFIDENCE
@click.option("--dir", "directory", type=Path, metavar="DIR",
              help="Directory of the search.  [default: one below `bisections`, named after what is asked]")
@AS_JSON
@options((*_BUILD, *RUN))
def command(
    testcases: Sequence[str], good_config: Path, bad_config: Path, *, match: str, runs: int, confidence: float,
    directory: Path | None, as_json: bool, **given: Any,
) -> int:
    """Find the smallest set of options of the bad .config that makes the test fail when the good one gets them.

    The kernel's own tools mind the dependencies. Good .configs to begin with are the files `config` in run
    directories: a guest needs what is in them. The same command, given again after an interruption, goes on where it
    was; so does `farm bisect resume DIR`.

    \b
    Example: farm bisect-config --good-config good.config --bad-config bad.config test_crypt.py
    """
    places = absolute_testcases(testcases)
    fixed = {name: absolute(value) for name, value in given.items()}
    require_runnable(places, fixed, RUN)
    for path in (good_config, bad_config):
        read(path)
    build = build_request({**fixed, "flavor": "", "config": (), "config_dir": ()})
    workdir = Workdir.default()
    rev = resolve(Path(build.source), build.rev or "HEAD", workdir) if given["tree"] else None
    good, bad = (path.read_text(encoding="utf-8") for path in (good_config, bad_config))
    request = ConfigRequest(
        testcases=places, run_options=tuple(as_arguments(fixed, RUN)), source=build.source, rev=rev,
        patches=build.patches, good=good, bad=bad, settings=Settings(match=match, runs=runs, confidence=confidence),
        inputs=digests([*build.patches, *of_testcases(places)]))
    return run(request, directory or Path("bisections") / request.name, as_json=as_json)


def run(request: ConfigRequest, directory: Path, *, as_json: bool) -> int:
    """Search in a directory and print the report."""
    report: ConfigReport = ConfigSession(request, directory, Workdir.default(), announcer()).run()
    echo(to_json(report), render(report)["report.txt"], as_json=as_json)
    return 0
