"""`farm history`, `compare`, `report` and `prune` on a database with a month of nights."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from farm.cli import compare, history, prune, report
from farm.errors import UserError
from farm.results.database import Database
from tests.unit.report import nights


@pytest.fixture
def ask(directory, database):
    def ask(module, *arguments):
        done = CliRunner().invoke(
            module.command, [*arguments, "--database", str(database.url)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output
    return ask


def test_history_without_a_word_lists_the_runs(ask):
    rows = json.loads(ask(history, "--json", "-n", "3"))
    assert [row["number"] for row in rows] == [14, 13, 12]
    assert "20261114-230000-000d  nightly  complete" in ask(history).splitlines()[0]


def test_history_of_a_testcase_is_newest_first_in_every_place(ask):
    rows = json.loads(ask(history, "test_slow.py::test_slow", "-n", "2", "--json"))
    assert [row["run"][:8] for row in rows] == ["20261114", "20261113"] * 4
    text = ask(history, "test_slow", "-n", "2")
    assert text.count("test_slow.py::test_slow on ") == 4
    assert "20261114-230000-000d  pass " in text


def test_history_of_a_signature_has_its_cells_alone(ask):
    rows = json.loads(ask(history, "panic:zswap_store", "--json"))
    assert {row["signature"] for row in rows} == {"panic:zswap_store"}
    assert "[panic:zswap_store]" in ask(history, "zswap_store")


@pytest.mark.parametrize(("module", "arguments", "words"), [
    (history, ["no-such-thing"], "knows no testcase and no signature 'no-such-thing'"),
    (report, ["yesterday"], "there is no run yesterday in .*The latest are 20261114"),
    (compare, ["1", "99"], "there is no run 99"),
])
def test_what_is_not_there_is_one_sentence(database, module, arguments, words):
    with pytest.raises(UserError, match=words):
        CliRunner().invoke(module.command, [*arguments, "--database", str(database.url)], catch_exceptions=False)


def test_compare_shows_what_changed_and_no_more(ask):
    found = json.loads(ask(compare, "12", "latest", "--json"))
    by_name = {(one["series"]["testcase"], one["series"]["kernel"], one["series"]["flavor"]): one for one in found}
    crypt = by_name["test_crypt.py::test_xfs_on_crypt_on_pi", "6.12", "base"]
    assert (crypt["old"]["failures"], crypt["new"]["failures"] > 0) == (0, True)
    assert ("test_crypt.py::test_xfs_on_crypt_on_pi", "6.1", "base") not in by_name
    assert "passed -> failed (kernel panic: dm-crypt: cannot write today in crypt_map)" in ask(compare, "12", "latest")
    assert ask(compare, "14", "14") == \
        "0 differences between 20261114-230000-000d and 20261114-230000-000d\n"


def test_report_has_all_forms_and_writes_files(ask, tmp_path):
    assert json.loads(ask(report, "--json"))["status"] == 1
    assert ask(report, "13").splitlines()[-1].startswith("run 20261113-230000-000c: ")
    ask(report, "latest", "--format", "junit", "--output", str(tmp_path / "new" / "junit.xml"))
    assert ET.parse(tmp_path / "new" / "junit.xml").getroot().tag == "testsuites"
    assert ask(report, "--format", "markdown").startswith("## nightly: 4 new failures")
    page = ask(report, "--site", str(tmp_path / "site"), "--nights", "2").strip()
    assert Path(page).read_text().count('scope="col"') == 3


def test_prune_keeps_what_failed_and_what_is_new(tmp_path):
    with Database(f"sqlite:///{tmp_path}/r.db") as database:
        nights.make(database, tmp_path, nights=4)
        cells = tmp_path / "cells"
        bulk = list(cells.glob("*/console.log"))
        # What passed has a directory too, outside of made-up nights.
        row = nights.PLACES[0]
        for night in (1, 4):
            passed = cells / f"passed-{night}"
            (passed / "evidence").mkdir(parents=True)
            for name in ("result.json", "command", "console.log", "evidence/dmesg"):
                (passed / name).write_text("x" * 5000)
            database.record(night, [nights.CellRow(row, nights.Outcome.PASS, repetition=9,
                                                   directory=f"cells/passed-{night}")])
        asked = ["--keep", "2", "--json", "--database", str(database.url)]

        def ask(*more):
            done = CliRunner().invoke(prune.command, [*asked, *more], catch_exceptions=False)
            return json.loads(done.output)

        would = ask("--dry-run")
        assert would["cells"] == [str(cells / "passed-1")]
        assert would["bytes"] >= 10_000
        assert (cells / "passed-1/console.log").exists()
        assert ask() == {**would, "dry_run": False}
        assert sorted(path.name for path in (cells / "passed-1").iterdir()) == ["command", "result.json"]
        assert (cells / "passed-4/console.log").exists()
        assert all(path.exists() for path in bulk)
        assert ask()["cells"] == []
