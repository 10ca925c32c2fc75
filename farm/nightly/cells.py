"""From what a `farm run` or a `farm build` left behind to the row that is recorded."""

import hashlib
import json
import platform
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from farm.model import Outcome, Verdict
from farm.nightly.matrix import PlannedCell
from farm.results.directory import RESULT
from farm.results.values import BUILD, CellRow, Series, short_signature
from farm.trial import Ended

# Lines and titles longer than this help nobody.
_MOST_TITLE = 2000


def event_testcase(nodeid: str) -> str:
    """The testcase of a pytest node as `Cell.testcase` has it."""
    path, _, function = nodeid.partition("::")
    return f"{Path(path).name}::{function}"


@dataclass(frozen=True)
class Built:
    """A kernel that was built, for the rows of its cells."""

    release: str = ""
    # SHA-256 of the .config, and the compiler that it names.
    config: str = ""
    compiler: str = ""
    source: str = ""
    build: str = ""


def built(answer: Mapping[str, Any]) -> Built:
    """From the answer of `farm build --json`."""
    digest = compiler = ""
    with suppress(OSError, TypeError):
        text = Path(answer["config"]).read_bytes()
        digest = hashlib.sha256(text).hexdigest()
        found = re.search(r'^CONFIG_CC_VERSION_TEXT="(.*)"$', text.decode(errors="replace"), re.MULTILINE)
        compiler = found[1] if found else ""
    return Built(answer.get("release", ""), digest, compiler, answer.get("source", ""), answer.get("build", ""))


def build_row(series: Series, ended: Ended, about: Built | None) -> CellRow:
    """A kernel's build as a cell: a kernel that does not compile is a failure of its own."""
    row = CellRow(series, Outcome.PASS, seconds=round(ended.seconds, 1), host=platform.node(), at=time.time())
    if about is not None:
        return _with(row, about)
    title = (ended.said.splitlines() or [f"farm build ended with status {ended.status}"])[0][:_MOST_TITLE]
    if ended.status == Verdict.BAD:
        return replace(
            row, outcome=Outcome.FAIL, title=title, kind=BUILD, signature=short_signature(f"{BUILD}:{title}"))
    return replace(row, outcome=Outcome.ERROR, title=title)


def row_of(
    planned: PlannedCell, attempt: int, event: Mapping[str, Any], night: Path, about: Built, *, seed: int,
) -> CellRow:
    """A cell as its event and its directory tell of it."""
    row = _with(CellRow(
        planned.series, Outcome(event["outcome"]), planned.repetition, attempt, title=event["title"][:_MOST_TITLE],
        seconds=round(float(event["seconds"]), 1), host=platform.node(), at=time.time(), seed=seed), about)
    directory = Path(event["directory"]) if event["directory"] else None
    if directory is None:
        return row if row.outcome is not Outcome.FAIL else replace(
            row, kind="assertion", signature=short_signature(f"assertion:{row.title}"))
    with suppress(ValueError):
        row = replace(row, directory=str(directory.relative_to(night)))
    try:
        told = json.loads((directory / RESULT).read_bytes())
        return _detailed(row, told)
    except (OSError, ValueError, KeyError, TypeError):  # what it says cannot be read: the event has to do
        return row


def _detailed(row: CellRow, told: Mapping[str, Any]) -> CellRow:
    cell, durations = told["cell"], {name: float(value) for name, value in told["durations"].items()}
    machine, kernel = cell["machine"], cell["kernel"]
    cause = told.get("cause") if row.outcome is not Outcome.PASS else None
    cause = cause or {}
    return replace(
        row, durations=durations, seconds=round(durations["total"] - durations.get("admission", 0.0), 1),
        source=str(kernel["source"]), release=str(kernel["release"]), build=str(kernel["build"]),
        image=str(cell["image"]), accelerator=str(told["accelerator"]), host=str(told["host"]), seed=int(cell["seed"]),
        stacks="; ".join(cell["stacks"]),
        machine=f"{machine['cpus']} CPUs, {machine['memory_mib']} MiB, {len(machine['namespaces'])} namespaces",
        kind=str(cause.get("kind", "")), function=str(cause.get("function", "")),
        signature=short_signature(str(cause.get("signature", ""))))


def _with(row: CellRow, about: Built) -> CellRow:
    return replace(row, release=about.release, config=about.config, compiler=about.compiler, source=about.source,
                   build=about.build)
