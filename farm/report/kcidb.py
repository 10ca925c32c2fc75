"""Reports for KernelCI's database (KCIDB), schema v5.3, validated by kcidb-io."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from farm.errors import UserError
from farm.model import Outcome, json_digest
from farm.report.values import NightReport
from farm.results.values import CellRow

ORIGIN = "farm"
# The host's failures say nothing of the kernel: MISS. A testcase that could not be asked is a SKIP.
_STATUS = {Outcome.PASS: "PASS", Outcome.FAIL: "FAIL", Outcome.ERROR: "MISS", Outcome.SKIP: "SKIP"}
# What a path may not have in it.
_NO_PATH = re.compile(r"(?:\.py)?[^A-Za-z0-9_.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def kcidb(report: NightReport) -> str:
    """JSON with a checkout for each source, a build for each kernel, and a test for each cell.

    Raises UserError without kcidb-io, which has to find it valid.
    """
    data = _data(report)
    try:
        from kcidb_io.schema import V5_3  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise UserError("reports for KCIDB need kcidb-io: pip install 'kernel-farm[kcidb]'.") from error
    V5_3.validate(data)
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def _data(report: NightReport) -> dict[str, Any]:
    checkouts: dict[str, dict[str, Any]] = {}
    builds: dict[str, dict[str, Any]] = {}
    tests = []
    began = _moment(report.run.started)
    for cell in sorted(report.cells, key=lambda one: not one.series.is_build):
        checkout = f"{ORIGIN}:{json_digest([cell.series.kernel, cell.source])[:20]}"
        checkouts.setdefault(checkout, {
            "id": checkout, "origin": ORIGIN, "tree_name": _plain(cell.series.kernel), "start_time": began,
            "valid": True, "comment": _plain(f"{cell.source} {cell.release}".strip()),
            **({"git_commit_hash": cell.source, "patchset_hash": ""} if _COMMIT.fullmatch(cell.source) else {})})
        build = f"{ORIGIN}:{report.run.name}-{json_digest([cell.series.kernel, cell.series.flavor])[:20]}"
        if cell.series.is_build or build not in builds:
            builds[build] = {
                "id": build, "origin": ORIGIN, "checkout_id": checkout, "architecture": "x86_64", "start_time": began,
                "compiler": _plain(cell.compiler), "config_name": _plain(cell.series.flavor),
                "comment": _plain(cell.title if cell.series.is_build else ""),
                **({"duration": cell.seconds} if cell.series.is_build else {}),
                "status": _STATUS[cell.outcome] if cell.series.is_build else "PASS"}
        if not cell.series.is_build:
            tests.append(_test(report, cell, build))
    return {"version": {"major": 5, "minor": 3}, "checkouts": list(checkouts.values()),
            "builds": list(builds.values()), "tests": tests}


def _test(report: NightReport, cell: CellRow, build: str) -> dict[str, Any]:
    return {
        "id": f"{ORIGIN}:{report.run.name}-{'-'.join(map(str, cell.place))}", "origin": ORIGIN, "build_id": build,
        # Dots part the levels of a path.
        "path": ".".join(filter(None, _NO_PATH.sub("_", f"farm.{cell.series.testcase}").split("."))),
        "status": _STATUS[cell.outcome], "duration": cell.seconds, "comment": _plain(cell.series.testcase),
        "environment": {"comment": _plain(f"QEMU on {cell.host}, {cell.accelerator}; {cell.machine}; {cell.stacks}")},
        "misc": {"seed": cell.seed, "signature": _plain(cell.signature), "title": _plain(cell.title),
                 "attempt": cell.attempt, "repetition": cell.repetition}}


def _plain(text: str) -> str:
    return text.replace("\0", "")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
