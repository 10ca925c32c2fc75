"""Cells are values: equal cells have one digest, in every process and on every host."""

import dataclasses
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from farm.model import Cell, Finding, Frame, KernelId, Machine, Namespace, Outcome, Verdict, json_digest

CELL = Cell(
    kernel=KernelId("debian:linux-source-6.12", "6.12.117-farm", "base", ("DM_CRYPT=y",)),
    machine=Machine(cpus=2, memory_mib=512, namespaces=(Namespace("data", block=4096, pi=3, ms=8),)),
    testcase="storage/test_pi.py::test_type_3",
    stacks=("data / linear:offset=2056 / xfs",),
    workloads=("fio rw=randwrite",),
    seed=7,
)


def test_a_cell_is_json() -> None:
    assert json.loads(json.dumps(CELL.to_json()))["machine"]["namespaces"][0]["pi"] == 3


def test_the_digest_is_the_same_in_another_process() -> None:
    code = (
        "from tests.unit.test_model import CELL; print(CELL.digest)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": "1"}, capture_output=True, text=True,
        check=True,
    )
    assert printed.stdout.strip() == CELL.digest


@pytest.mark.parametrize("change", [
    {"seed": 8}, {"duration": 11.0}, {"testcase": "x"}, {"stacks": ()}, {"pressure": ("swap",)}, {"image": "a"},
    {"machine": Machine(cpus=1)}, {"kernel": KernelId("image:1", "6.1", "base")},
])
def test_every_field_counts(change: dict[str, Any]) -> None:
    assert dataclasses.replace(CELL, **change).digest != CELL.digest


def test_equal_cells_have_one_digest() -> None:
    assert dataclasses.replace(CELL).digest == CELL.digest


def test_json_digest_ignores_the_order_of_keys() -> None:
    assert json_digest({"a": 1, "b": [2]}) == json_digest({"b": [2], "a": 1})
    assert json_digest([1, 2]) != json_digest([2, 1])


@pytest.mark.parametrize("value", [CELL, CELL.machine, CELL.kernel, Namespace("a"), Finding("oops", "t"), Frame("f")])
def test_values_are_frozen_and_hashable(value: Any) -> None:
    hash(value)
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)


def test_the_raw_text_does_not_make_findings_differ() -> None:
    assert Finding("oops", "title", text="a") == Finding("oops", "title", text="b")
    assert Finding("oops", "title") != Finding("oops", "other")


def test_verdicts_are_what_git_bisect_run_understands() -> None:
    assert {verdict.name: int(verdict) for verdict in Verdict} == {"GOOD": 0, "BAD": 1, "SKIP": 125, "STOP": 128}


def test_outcomes() -> None:
    assert [outcome.value for outcome in Outcome] == ["pass", "fail", "error", "skip"]
