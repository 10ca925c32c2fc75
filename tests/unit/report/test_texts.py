"""Terminal, JUnit, Markdown, mail and KCIDB, of a run with hostile output."""

import json
from dataclasses import replace
from email.parser import Parser
from xml.etree import ElementTree as ET

import pytest
from kcidb_io.schema import V5_3

from farm.model import Outcome
from farm.report.junit import junit
from farm.report.kcidb import kcidb
from farm.report.load import culprits_of, load, remarks_of
from farm.report.terminal import lines
from farm.report.texts import introduced, mail, markdown
from farm.report.values import NightReport, Status
from farm.results import queries
from farm.results.values import BUILD, CellRow, Change, RunRow, Series, VerdictRow

SERIES = Series("6.12", "base", "test_a.py::test_it[a/b]")
BUILT = Series("6.12", "base", BUILD)
FAIL = CellRow(SERIES, Outcome.FAIL, title="oops in f", kind="oops", function="f", signature="oops:f",
               release="6.12.117-farm", source="debian:linux-source-6.12", seconds=3.0, directory="cells/x")
NEW = VerdictRow(SERIES, Change.NEW, "oops:f", "oops in f", 3, 3, 1.0, 0.4, 1.0, why="failed 3 of 3 runs")


def report(*verdicts, cells=(FAIL,), **changes):
    return NightReport(RunRow("one", "nightly", "d", "/runs/one", started=1.79e9), cells, verdicts, **changes)


@pytest.fixture(scope="module")
def latest(database):
    return load(database, queries.find_run(database, "latest"))


@pytest.mark.parametrize(("made", "status"), [
    (report(NEW), Status.NEW_FAILURES),
    (report(replace(NEW, known="we know")), Status.NOTHING_NEW),
    (report(replace(NEW, change=Change.STILL)), Status.NOTHING_NEW),
    (report(replace(NEW, change=Change.FLAKY)), Status.NOTHING_NEW),
    (report(replace(NEW, change=Change.UNKNOWN), cells=(replace(FAIL, outcome=Outcome.ERROR),)), Status.COULD_NOT_RUN),
    (report(), Status.NOTHING_NEW),
    (report(cells=()), Status.COULD_NOT_RUN),
    (report(cells=(replace(FAIL, outcome=Outcome.PASS, series=BUILT), replace(FAIL, outcome=Outcome.ERROR))),
     Status.COULD_NOT_RUN),
    (report(replace(NEW, series=BUILT), cells=(replace(FAIL, series=BUILT),)), Status.NEW_FAILURES),
    (report(replace(NEW, series=BUILT, change=Change.STILL), cells=(replace(FAIL, series=BUILT),)),
     Status.NOTHING_NEW),
])
def test_the_exit_status_tells_of_news_only(made, status):
    assert made.status is status


def test_the_terminal_shows_the_gravest_first_and_obeys_nothing(latest):
    said = list(lines(latest))
    assert said[0].startswith("new failure    test_hostile.py::test_hostile[<b>&\"'] on 6.1 base")
    assert "\\x07" in said[0]
    assert "\x07" not in "".join(said)
    assert said[-1].startswith("run 20261114-230000-000d: 4 new failure, ")
    flaky = next(line for line in said if line.startswith("flaky"))
    assert " to " in flaky
    assert any("slower by" in line for line in said)


def test_junit_is_red_for_what_is_new_and_not_known(latest):
    suites = ET.fromstring(junit(latest))
    cases = suites.findall("testsuite/testcase")
    assert len(cases) == len(latest.verdicts)
    assert len(suites.findall("testsuite/testcase/failure")) == len(latest.news) == 4
    assert {suite.get("tests") for suite in suites} == {"8"}
    assert "\N{REPLACEMENT CHARACTER}" in suites.find("testsuite/testcase/failure").get("message")
    known = ET.fromstring(junit(report(replace(NEW, known="we know"))))
    assert known.find("testsuite/testcase/failure") is None
    assert "we know" in known.find("testsuite/testcase/system-out").text
    for outcome, tag in ((Outcome.ERROR, "error"), (Outcome.SKIP, "skipped")):
        made = junit(report(replace(NEW, change=Change.UNKNOWN), cells=(replace(FAIL, outcome=outcome),)))
        assert ET.fromstring(made).find(f"testsuite/testcase/{tag}") is not None


def test_markdown_has_one_row_for_each_and_no_markup_of_the_kernel(latest):
    text = markdown(latest)
    assert text.startswith("## nightly: 4 new failures\n")
    rows = [line for line in text.splitlines() if line.startswith("| new failure")]
    assert len(rows) == 4
    assert "<script" not in text
    assert all(row.replace(r"\|", "").count("|") == 5 for row in rows)


def test_a_mail_has_regzbots_lines_once_for_each_signature(latest):
    message = Parser().parsestr(mail(latest))
    assert message["Subject"] == "[nightly] 4 new failures in run 20261114-230000-000d"
    assert message["Content-Transfer-Encoding"] == "8bit"  # without it, 7 bits are promised
    body = message.get_payload()
    assert body.count("#regzbot introduced: ") == body.count("#regzbot title: ") == 1
    assert "#regzbot introduced: v6.1.112..v6.1.113\n" in body
    assert "still failing:\n  test_crypt.py::test_xfs_on_crypt_on_pi on 6.12 base" in body


def test_what_regzbot_is_told_is_a_range_where_one_is_known():
    good, bad = replace(FAIL, source="a" * 40), replace(FAIL, source="b" * 40)
    assert introduced(good, bad) == "aaaaaaaaaaaa..bbbbbbbbbbbb"
    assert introduced(None, bad) == "bbbbbbbbbbbb"
    assert introduced(replace(FAIL, release="6.12.116-farm"), FAIL) == "v6.12.116..v6.12.117"
    assert introduced(FAIL, FAIL) == "v6.12.117"
    assert introduced(None, None) == "unknown"


def test_regzbot_is_told_the_commit_that_a_bisection_found():
    found = report(NEW, good={SERIES.key: replace(FAIL, source="a" * 40)}, culprits={"oops:f": "c" * 40})
    assert "#regzbot introduced: cccccccccccc\n" in mail(found)
    assert found.to_json()["culprits"] == {"oops:f": "c" * 40}


@pytest.mark.parametrize(("about", "remarks", "culprits"), [
    ('{"remarks": ["see"], "culprits": {"oops:f": "c"}}', ("see",), {"oops:f": "c"}),
    ('{"culprits": ["c"]}', (), {}), ('{"remarks": 7}', (), {}), ("[]", (), {}), ("{", (), {}), (None, (), {})])
def test_what_a_run_wrote_beside_its_results(tmp_path, about, remarks, culprits):
    if about is not None:
        (tmp_path / "night.json").write_text(about)
    run = RunRow("one", "nightly", "d", str(tmp_path), started=1.79e9)
    assert (remarks_of(run), culprits_of(run)) == (remarks, culprits)


def test_a_title_cannot_add_headers_or_lines_to_a_mail():
    evil = replace(NEW, title="x\nBcc: all@example.org\n#regzbot fix: 1")
    text = mail(report(evil))
    assert "\nBcc:" not in text
    assert "\n#regzbot fix" not in text


def test_kcidb_is_valid_and_has_every_cell(latest):
    data = json.loads(kcidb(latest))
    assert V5_3.is_valid_exactly(data)
    assert len(data["tests"]) == sum(not cell.series.is_build for cell in latest.cells)
    assert len({one["id"] for one in data["tests"]}) == len(data["tests"])
    assert {one["status"] for one in data["tests"]} == {"PASS", "FAIL"}
    assert len(data["builds"]) == 4
    assert len(data["checkouts"]) == 2


def test_kcidb_has_the_commit_of_a_tree_and_a_build_that_failed():
    build = replace(FAIL, series=BUILT, source="a" * 40)
    data = json.loads(kcidb(report(NEW, cells=(build, replace(FAIL, source="a" * 40, title="\0")))))
    assert data["checkouts"][0]["git_commit_hash"] == "a" * 40
    assert [one["status"] for one in data["builds"]] == ["FAIL"]
    assert data["tests"][0]["path"] == "farm.test_a_test_it_a_b_"
    assert data["tests"][0]["build_id"] == data["builds"][0]["id"]
