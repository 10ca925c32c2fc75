"""`farm nightly` as far as that needs no kernel."""

import pytest
from click.testing import CliRunner
from filelock import Timeout

from farm.cli import nightly
from farm.errors import UserError
from farm.nightly.session import Session
from farm.report.values import Status
from farm.results import queries
from farm.results.alone import alone_in
from farm.results.database import Database

PLAN = """
name = "nightly"
{more}
[[kernels]]
name = "6.12"
source = "debian:linux-source-6.12"
[[kernels]]
name = "6.1"
source = "debian:linux-source-6.1"
[[stacks]]
name = "inline"
text = "data / integrity:mode=inline"
namespaces = ["data:size=256M,block=4096,ms=8"]
[[testcases]]
select = ["{select}"]
[[testcases]]
select = ["test_any_stack.py"]
stacks = ["inline"]
priority = -1
"""


@pytest.fixture
def ask(tmp_path, monkeypatch):
    monkeypatch.setenv("FARM_DATA", str(tmp_path / "data"))
    # For its summary it imports all of Hypothesis, which only the farm's own tests have.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    (tmp_path / "test_own.py").write_text(
        "import pytest\n\ndef test_one(): pass\n\n@pytest.mark.flavor('debug')\ndef test_two(): pass\n")

    def ask(*options, more="", select="test_own.py", text=None):
        path = tmp_path / "plan.toml"
        path.write_text(text if text is not None else PLAN.format(more=more, select=select))
        done = CliRunner().invoke(nightly.command, [str(path), *options], catch_exceptions=False, standalone_mode=False)
        return done.return_value, done
    return ask


@pytest.mark.parametrize(("changes", "said"), [
    ({"more": "known_failures = 'gone.toml'"}, "gone.toml"),
    ({"text": PLAN.format(more="", select="test_own.py").replace("-6.12", "-0.1")},
     "kernels.0: The source debian:linux-source-0.1 needs"),
    ({"text": PLAN.format(more="", select="test_own.py").replace('source = "debian:linux-source-6.1"', 'tree = "."')},
     "is not a git repository"),
])
@pytest.mark.parametrize("options", [["--dry-run"], []])
def test_a_mistake_in_a_plan_is_told_before_anything_runs(ask, tmp_path, options, *, changes, said):
    status, done = ask(*options, **changes)
    assert status == Status.COULD_NOT_RUN
    assert said in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_prints_cells_builds_and_the_duration(ask, tmp_path):
    status, done = ask("--dry-run")
    assert status == 0
    said = done.stdout.splitlines()
    assert said[0] == "6.12 base: 3 cells"
    assert "    test_any_stack.py::test_random_writes_are_read_back on inline" in said
    assert any(line.startswith("left out: test_own.py::test_two on 6.1 base: made for flavor debug") for line in said)
    assert any("breaks the rule inline-kernel" in line for line in said)
    assert said[-1] == "4 cells, 2 builds, about 24 min with 1 at a time"
    assert not (tmp_path / "runs").exists()
    with Database() as database:
        assert database.url.database == str(tmp_path / "data" / "results.db")
        assert queries.runs(database) == ()


@pytest.mark.parametrize(("changes", "words"), [
    ({"select": "test_nothing.py"}, "testcases.0: there is no testcase test_nothing.py"),
    ({"more": "colour = 1"}, "colour: there is no such key"),
    ({"more": 'known_failures = "none.toml"'}, "none.toml cannot be read"),
    ({"text": "name = "}, "is no TOML"),
])
def test_a_mistake_is_told_and_leaves_no_run(ask, tmp_path, changes, words):
    status, done = ask(**changes)
    assert status == 2
    assert words in done.stderr
    assert not (tmp_path / "runs").exists()


def test_nothing_to_resume_is_told(ask):
    status, done = ask("--resume")
    assert status == 2
    assert "there is no unfinished run of this plan" in done.stderr


def test_the_password_of_a_database_stays_out_of_the_run_directory(ask, tmp_path):
    url = "postgresql://farm:secret@host/x"
    ask("--dry-run", more=f"database = '{url}'")
    session = Session(tmp_path / "plan.toml", "", str, resume=False)
    assert session.plan.database == url
    session.directory.mkdir(parents=True)
    session._about()
    text = (session.directory / "night.json").read_text()
    assert '"postgresql://farm:***@host/x"' in text
    assert "secret" not in text


def test_a_run_that_waited_in_vain_for_a_lock_does_not_speak_of_another_one(tmp_path, monkeypatch):
    def wait(*_):
        raise Timeout("another lock")

    (tmp_path / "plan.toml").write_text(PLAN.format(more="", select="test_own.py"))
    session = Session(tmp_path / "plan.toml", f"sqlite:///{tmp_path}/results.db", str, resume=False)
    session.directory = tmp_path / "run"
    monkeypatch.setattr("farm.nightly.session.matrix_of", lambda *_: None)
    monkeypatch.setattr(session, "_run", wait)
    with pytest.raises(Timeout):
        session.run()
    with alone_in(session.directory, "runs"), pytest.raises(UserError, match="another process runs in"):
        session.run()


@pytest.mark.parametrize("name", ["x" * 700, "a\\u0301\\u2028b"])
def test_a_testcase_whose_name_cannot_be_kept_is_refused(ask, tmp_path, name):
    (tmp_path / "test_long.py").write_text(
        f"import pytest\n\n@pytest.mark.parametrize('a', [pytest.param(1, id='{name}')])\ndef test_one(a): pass\n")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\ndisable_test_id_escaping_and_forfeit_all_rights_to_community_support = true\n")
    status, done = ask("--dry-run", select="test_long.py")
    assert status == 2
    assert "testcases.0: results cannot be kept under 'test_long.py::test_one[" in done.stderr
    assert "600 at most" in done.stderr


def test_a_database_that_does_not_answer_is_told_before_anything_runs(ask, tmp_path):
    (tmp_path / "broken.db").write_text("nothing of the kind\n" * 100)
    status, done = ask("--database", f"sqlite:///{tmp_path}/broken.db")
    assert status == 2
    assert "file is not a database" in done.stderr
