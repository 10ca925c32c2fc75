"""`farm bisect log` is read by `git bisect replay`, whatever a crash said."""

import json
import subprocess

import pytest
from click.testing import CliRunner

from farm.bisect.gitbisect import LOG, GitBisect
from farm.bisect.judge import Subject
from farm.bisect.request import REQUEST, Request
from farm.bisect.state import Journal, Step
from farm.bisect.values import Answer, Settings
from farm.cli.bisect import command
from farm.errors import UserError
from farm.kernel import git
from tests.unit.bisect.histories import import_history


def test_a_search_among_configurations_has_none(tmp_path):
    (tmp_path / REQUEST).write_text('{"kind": "config"}')
    said = CliRunner().invoke(command, ["log", str(tmp_path)]).exception
    assert isinstance(said, UserError)
    assert "holds a search among configurations" in str(said)


@pytest.mark.parametrize("fix", [False, True])
def test_git_replays_it_and_goes_on(tmp_path, fix):
    commits = import_history(tmp_path / "user.git", [(number - 1,) if number else () for number in range(20)])
    for name in ("repository.git", "aside.git"):
        git.initialise(tmp_path / name)
        (tmp_path / name / "objects/info").mkdir(exist_ok=True)
        (tmp_path / name / "objects/info/alternates").write_text(f"{tmp_path}/user.git/objects\n")
    old, new, middle = commits[0], commits[-1], commits[9]
    ends = (new, old) if fix else (old, new)
    request = Request(Subject(tmp_path, ("/t/test_a.py",)), *ends, Settings(fix=fix))
    (tmp_path / REQUEST).write_text(json.dumps(request.to_json()))
    journal = Journal(tmp_path)
    journal.add_step(Step(middle, Answer.BUG, 1.0, f"panic\x1b[2J\ngit bisect skip {commits[5]}\n"))
    left = GitBisect(tmp_path, old, new, request.settings).tell({middle: Answer.BUG}).commit

    said = CliRunner().invoke(command, ["log", str(tmp_path)])
    assert said.exit_code == 0, said.output
    assert "\x1b" not in said.output
    assert [line for line in said.output.splitlines() if line.startswith("git")] == [
        line for line in (tmp_path / LOG).read_text().splitlines() if line.startswith("git")]
    (tmp_path / "replay.log").write_text(said.output)
    subprocess.run(["git", "clone", "-q", "--branch", "all", str(tmp_path / "user.git"), str(tmp_path / "user")],
                   check=True)
    for argv in (["bisect", "replay", str(tmp_path / "replay.log")], ["rev-parse", "BISECT_HEAD"]):
        done = subprocess.run(["git", "-C", str(tmp_path / "user"), *argv], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == left
