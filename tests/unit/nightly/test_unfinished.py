"""Which of several unfinished runs is gone on with."""

import json
from pathlib import Path

import pytest
from filelock import FileLock

from farm.errors import UserError
from farm.nightly.plan import Plan
from farm.nightly.unfinished import Unfinished, choose, unfinished

CELL = json.dumps({"cell": {}, "elapsed": 1.0}) + "\n"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan.model_validate({
        "name": "nightly", "runs_dir": tmp_path, "testcases": [{"marks": "smoke"}],
        "kernels": [{"name": "6.12", "source": "debian:linux-source-6.12"}]})


def run(plan: Plan, name: str, started: float, /, *, cells: int = 0, **about: object) -> Path:
    directory = plan.runs_dir / name
    directory.mkdir()
    said = {"plan": {"name": plan.name}, "digest": plan.digest, "started": started, **about}
    (directory / "night.json").write_text(json.dumps(said))
    (directory / "journal.jsonl").write_text('{"batch": 1, "cells": [], "elapsed": 0.0}\n' + CELL * cells)
    return directory


def test_the_newest_by_when_it_began(plan: Plan) -> None:
    """The clock was set back over the second one's name."""
    run(plan, "20261121-0", 100.0, cells=3)
    newest = run(plan, "20261120-9", 200.0, cells=2)
    run(plan, "20261122-0", 300.0, ended=400.0)
    run(plan, "20261123-0", 300.0, plan={"name": "another"})
    chosen, others = choose(unfinished(plan), plan)
    assert (chosen.directory, chosen.cells) == (newest, 2)
    assert [one.directory.name for one in others] == ["20261121-0"]
    assert str(others[0]).endswith(", 3 cells recorded")


def test_what_another_process_is_at_is_left_to_it(plan: Plan) -> None:
    older, newest = run(plan, "1", 100.0), run(plan, "2", 200.0)
    with FileLock(newest / "lock"):
        chosen, others = choose(unfinished(plan), plan)
        assert (chosen.directory, others) == (older, ())
    assert choose(unfinished(plan), plan)[0].directory == newest


def test_one_by_its_name_or_its_directory(plan: Plan) -> None:
    older = run(plan, "1", 100.0)
    run(plan, "2", 200.0)
    for name in ("1", str(older), f"{older}/"):
        assert choose(unfinished(plan), plan, name)[0].directory == older
    with pytest.raises(UserError, match=r"no run 3 of the plan nightly .* is unfinished. These are:\n  2  .*\n  1  "):
        choose(unfinished(plan), plan, "3")


def test_a_run_of_another_text_of_the_plan(plan: Plan) -> None:
    run(plan, "1", 100.0, digest="of-old")
    with pytest.raises(UserError, match=r"no unfinished run of this plan(.|\n)*1  .*by another text of the plan"):
        choose(unfinished(plan), plan)
    with pytest.raises(UserError, match="has changed since 1 began"):
        choose(unfinished(plan), plan, "1")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"plan": {}, "digest": "x"}', '{"plan": 7}'])
def test_what_is_no_record_of_a_run(plan: Plan, text: str) -> None:
    (run(plan, "1", 100.0) / "night.json").write_text(text)
    assert unfinished(plan) == ()
    with pytest.raises(UserError, match="no unfinished run of this plan"):
        choose((), plan)


def test_what_runs_now_is_told(plan: Plan) -> None:
    assert "running now" in str(Unfinished(Path("/runs/1"), 0.0, running=True))
