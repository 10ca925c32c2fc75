"""Consoles of real guests of this farm, and what is found in them.

`NAME.log` is a console, its boot cut short; `NAME.json` the findings. `clean/` holds consoles without any: boots and
workloads on which nothing went wrong.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from farm.cli.classify import to_json
from farm.model import Finding
from farm.oops import classify

HERE = Path(__file__).parent
LOGS = sorted(HERE.glob("*.log"))
CLEAN = sorted((HERE / "clean").glob("*.log"))


def readable(finding: Finding) -> dict[str, Any]:
    """A finding as `farm classify --json` prints it, each frame on a line of its own."""
    fields = to_json("", finding)
    del fields["file"]
    fields["frames"] = [_frame(frame) for frame in fields["frames"]]
    return dict(json.loads(json.dumps(fields)))


def _frame(frame: dict[str, Any]) -> str:
    marks = [mark for mark in ("inlined", "generic") if frame[mark]]
    parts = (frame["function"], frame["offset"], frame["place"], frame["module"], *marks)
    return " ".join(part for part in parts if part)


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_findings(log: Path, update: bool) -> None:
    found = [readable(finding) for finding in classify(log.read_bytes())]
    golden = log.with_suffix(".json")
    if update:
        golden.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(golden.read_text())


@pytest.mark.parametrize("log", CLEAN, ids=lambda log: log.stem)
def test_clean(log: Path) -> None:
    assert [finding.title for finding in classify(log.read_bytes())] == []


def test_there_are_enough() -> None:
    assert len(LOGS) >= 20
    assert len(CLEAN) >= 20
    assert {log.stem for log in LOGS} == {golden.stem for golden in HERE.glob("*.json")}
