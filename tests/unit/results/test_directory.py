import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from farm.errors import InfrastructureError
from farm.model import Cell, Finding, KernelId, Machine, Outcome
from farm.results.directory import CellDirectory, new_run_directory, write_atomically

CELL = Cell(KernelId("debian:linux-source-6.12", "6.12.117-farm", "base"), Machine(), "test_pi.py::test_it")


def test_run_directories_sort_by_time_and_are_not_made_before_they_are_needed(tmp_path):
    path = new_run_directory(tmp_path)
    assert path.parent == tmp_path
    assert path.name[:8].isdigit()
    assert not path.exists()


def test_a_cell_is_named_after_its_testcase(tmp_path):
    assert CellDirectory(tmp_path, "testcases/test_luks2.py::test_tag[data-4096]").path.name == \
        "test_luks2.test_tag-data-4096"


def test_repetitions_get_directories_of_their_own_also_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: CellDirectory(tmp_path, "test_a.py::test_b").path, range(24)))
    assert len(set(made)) == 24


def test_hostile_names_stay_inside(tmp_path):
    path = CellDirectory(tmp_path / "run", "test_a.py::test_b[../../../etc/passwd\n]").path
    assert path.parent == tmp_path / "run"


def test_the_last_result_wins_and_is_whole(tmp_path):
    directory = CellDirectory(tmp_path, "test_a.py::test_b")
    directory.write_result(CELL, Outcome.ERROR, title="did not finish")
    finding = Finding("warning", "WARNING in f", function="f", text="WARNING: at f")
    directory.write_result(CELL, Outcome.FAIL, title="WARNING in f", findings=(finding,), durations={"boot": 1.23456})
    result = json.loads((directory.path / "result.json").read_text())
    assert (result["outcome"], result["digest"]) == ("fail", CELL.digest)
    assert result["durations"] == {"boot": 1.235}
    assert result["findings"][0]["function"] == "f"
    assert result["cell"] == json.loads(json.dumps(CELL.to_json()))


def test_reports_are_cut_out_in_order(tmp_path):
    directory = CellDirectory(tmp_path, "test_a.py::test_b")
    directory.write_reports((Finding("warning", "WARNING in f", text="one"), Finding("panic", "panic", text="two")))
    assert sorted(path.name for path in (directory.path / "reports").iterdir()) == ["01-warning.txt", "02-panic.txt"]
    assert (directory.path / "reports/01-warning.txt").read_text() == "WARNING in f\n\none\n"


def test_decoded_reports_stand_beside_the_raw_ones(tmp_path):
    directory = CellDirectory(tmp_path, "test_a.py::test_b")
    directory.write_reports((Finding("warning", "WARNING in f", text=" f+0x1/0x2"),), lambda text: f"{text} (a.c:1)")
    assert (directory.path / "reports/01-warning.txt").read_text() == "WARNING in f\n\n f+0x1/0x2\n"
    assert (directory.path / "reports/01-warning.decoded.txt").read_text() == "WARNING in f\n\n f+0x1/0x2 (a.c:1)\n"


def test_a_failed_write_keeps_the_old_text_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write_atomically(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InfrastructureError, match="No space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_infrastructure(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="cannot make the cell's directory"):
        CellDirectory(tmp_path / "file", "test_a.py::test_b")
