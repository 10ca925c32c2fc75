"""What surrounds the search: its ends, its revert, its report; on small trees that look like a kernel's."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from farm.bisect import report
from farm.bisect.driver import Verdict
from farm.bisect.history import Evidence, History, read
from farm.bisect.inputs import digests
from farm.bisect.judge import Subject
from farm.bisect.proof import Proof, Prover, revert_patch
from farm.bisect.request import Request, from_json, load
from farm.bisect.session import Session, resolve, uncommitted
from farm.bisect.state import Journal, Step
from farm.bisect.values import Answer, Build, Run, Seen, Settings, Symptom
from farm.cli.bisect import _within
from farm.errors import InfrastructureError, UserError
from farm.host.workdir import Workdir
from farm.kernel.git import Repository
from farm.verdict import Cause
from tests.unit.kernel.conftest import run_git, user_tree, workdir

__all__ = ["user_tree", "workdir"]


def session(tree: Path, workdir: Workdir, tmp_path: Path, good: str, bad: str, **settings: object) -> Session:
    request = Request(Subject(tree, ("/t/test_a.py",)), resolve(tree, good, workdir), resolve(tree, bad, workdir),
                      Settings(**settings))
    return Session(request, tmp_path / "bisection", workdir, lambda _: None)


@pytest.mark.parametrize(("ends", "settings", "words"), [
    (("old", "old"), {}, ["same commit"]),
    (("new", "old"), {}, ["not an ancestor", "Swap them", "--fix"]),
    (("old", "new"), {"fix": True}, ["--bad", "not an ancestor of --good", "leave --fix out"]),
    (("side", "new"), {}, ["--good", "not an ancestor of --bad", "They parted at", "try it as --good"]),
    (("alone", "new"), {}, ["no commit in common"]),
    (("old", "new"), {"paths": ("nowhere",)}, ["no commit between the ends touches nowhere"]),
    (("docs", "new"), {}, ["is not a kernel tree"]),
])
def test_ends_that_make_no_sense_get_a_sentence(user_tree, workdir, tmp_path, *, ends, settings, words):
    for name, start in (("side", ["-b", "side", "old"]), ("alone", ["--orphan", "alone"])):
        run_git(user_tree, "checkout", "-q", *start)
        run_git(user_tree, "commit", "-q", "--allow-empty", "-m", name)
    run_git(user_tree, "checkout", "-q", "--orphan", "docs")
    run_git(user_tree, "rm", "-q", "-r", "--cached", "scripts")
    run_git(user_tree, "commit", "-q", "-m", "docs")
    with pytest.raises(UserError) as error:
        session(user_tree, workdir, tmp_path, *ends, **settings).run()
    for word in words:
        assert word in str(error.value)


def test_a_subject_may_hold_what_python_takes_for_the_end_of_a_line(user_tree):
    run_git(user_tree, "commit", "-q", "--allow-empty", "-m", "b: form\x0cfeed and \u2028")
    old, new = (run_git(user_tree, "rev-parse", one) for one in ("old", "HEAD"))
    assert read(Repository(user_tree / ".git"), old, new, ()).subjects[new] == "b: form\x0cfeed and \u2028"


def test_what_a_killed_git_left_does_not_stop_it(user_tree, workdir, tmp_path):
    one = session(user_tree, workdir, tmp_path, "old", "old")
    for path in ("import.git/config.lock", "repository.git/HEAD.lock"):
        (one.directory / path).parent.mkdir(parents=True)
        (one.directory / path).touch()
    (one.directory / "request.json").write_text(json.dumps(one.request.to_json()))
    with pytest.raises(UserError, match="same commit"):  # the first that is said once git has done its part
        one.run()
    assert not list(one.directory.rglob("*.lock"))


def test_a_dirty_tree_gets_a_sentence_and_its_index_stays(user_tree, tmp_path):
    assert uncommitted(user_tree) == ""
    (user_tree / "untracked").touch()
    assert uncommitted(user_tree) == ""
    (user_tree / "drivers/b.c").write_text("int b = 3;\n")
    before = (user_tree / ".git/index").read_bytes()
    assert "has uncommitted changes (1 file)" in uncommitted(user_tree)
    assert "--patch" in uncommitted(user_tree)
    assert (user_tree / ".git/index").read_bytes() == before
    run_git(tmp_path, "clone", "-q", "--no-checkout", str(user_tree), "bare")
    assert uncommitted(tmp_path / "bare") == ""


def test_ends_that_a_shallow_clone_does_not_hold_together(user_tree, workdir, tmp_path):
    run_git(tmp_path, "clone", "-q", "--depth=1", "--branch=new", f"file://{user_tree}", "shallow")
    run_git(tmp_path / "shallow", "fetch", "-q", "--depth=1", "origin", "tag", "old")
    with pytest.raises(UserError, match=r"as far as a shallow clone can tell.*fetch --unshallow"):
        session(tmp_path / "shallow", workdir, tmp_path, "old", "new").run()


def test_another_request_does_not_go_on_in_the_same_directory(user_tree, workdir, tmp_path):
    one = session(user_tree, workdir, tmp_path, "old", "new")
    one.directory.mkdir()
    (one.directory / "request.json").write_text(json.dumps(one.request.to_json()))
    with pytest.raises(UserError, match="holds another bisection"):
        session(user_tree, workdir, tmp_path, "old", "new", runs=3).run()


def test_what_is_refused_leaves_nothing_behind(user_tree, workdir, tmp_path):
    one = session(user_tree, workdir, tmp_path, "new", "old")
    with pytest.raises(UserError, match="not an ancestor"):
        one.run()
    assert [path.name for path in one.directory.iterdir()] == ["lock"]


def test_the_directory_of_somebody_else_stays_as_it_is(user_tree, workdir, tmp_path):
    one = session(user_tree, workdir, tmp_path, "old", "new")
    theirs = one.directory / "repository.git/config"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    with pytest.raises(UserError, match=r"no bisection's, and not empty: it has repository\.git\. Choose another"):
        one.run()
    assert theirs.exists()


def test_a_patch_that_was_edited_does_not_go_on(user_tree, workdir, tmp_path):
    patch = tmp_path / "a.patch"
    patch.write_text("one")
    one = session(user_tree, workdir, tmp_path, "new", "old")
    one.request = replace(one.request, inputs=digests([patch]))
    patch.write_text("two")
    with pytest.raises(UserError, match=r"a\.patch has changed since this bisection began"):
        one.run()
    assert replace(one.request, inputs=digests([patch])).name != one.request.name
    patch.unlink()
    with pytest.raises(UserError, match=r"a\.patch: No such file"):
        one.run()


@pytest.mark.parametrize("path", [":(bogus)x", "../elsewhere"])
def test_a_path_that_git_does_not_take_gets_a_sentence(user_tree, workdir, tmp_path, path):
    with pytest.raises(UserError, match="git does not understand --path"):
        session(user_tree, workdir, tmp_path, "old", "new", paths=(path,)).run()


def test_a_git_that_fails_beside_a_path_is_not_blamed_on_the_path(user_tree, workdir, tmp_path, monkeypatch):
    run = Repository.run

    def broken(self, *arguments, **how):
        if arguments[0] == "log":
            (self.directory / "objects/info/alternates").unlink(missing_ok=True)
            for pack in self.directory.glob("objects/pack/*.pack"):
                pack.unlink()
        return run(self, *arguments, **how)

    monkeypatch.setattr(Repository, "run", broken)
    with pytest.raises(InfrastructureError):
        session(user_tree, workdir, tmp_path, "old", "new", paths=("drivers",)).run()


def test_a_path_is_one_of_the_tree(tmp_path):
    assert _within(tmp_path, str(tmp_path / "drivers/md")) == _within(tmp_path, "drivers/md") == "drivers/md"
    for path in ("", "/elsewhere"):
        with pytest.raises(UserError, match="is no path in"):
            _within(tmp_path, path)


def test_a_request_comes_back_and_names_its_directory(user_tree, workdir, tmp_path):
    request = session(user_tree, workdir, tmp_path, "old", "new", paths=("drivers",), fix=True).request
    request = replace(request, inputs=(("/t/test_a.py", "digest"),))
    assert from_json(json.loads(json.dumps(request.to_json()))) == request
    assert request.name.startswith("test_a-")
    assert (request.old, request.new) == (request.bad, request.good)
    with pytest.raises(UserError, match="holds no bisection"):
        load(tmp_path)


def test_the_revert_is_a_patch_for_the_other_end(user_tree, tmp_path):
    culprit = run_git(user_tree, "rev-parse", "new")
    lines = (user_tree / "drivers/a.c").read_text().splitlines()
    (user_tree / "drivers/a.c").write_text("\n".join(["// moved", *lines]) + "\n")
    run_git(user_tree, "commit", "-qam", "later")
    onto = run_git(user_tree, "rev-parse", "HEAD")
    patch = revert_patch(Repository(user_tree / ".git"), culprit, onto, tmp_path)
    run_git(user_tree, "apply", "--index", str(patch))
    assert (user_tree / "drivers/b.c").read_text() == "int b;\n"
    assert (user_tree / "drivers/a.c").read_text().startswith("// moved")
    assert not (tmp_path / "revert.index").exists()


def test_the_revert_keeps_bytes_that_are_no_text(user_tree, tmp_path):
    file = user_tree / "drivers/a.c"
    before = b"/* M\xfcller */\nint a;\n"
    for content in (before, before + b"/* \xe9 */\n"):
        file.write_bytes(content)
        run_git(user_tree, "commit", "-qam", "bytes")
    culprit = run_git(user_tree, "rev-parse", "HEAD")
    patch = revert_patch(Repository(user_tree / ".git"), culprit, culprit, tmp_path)
    run_git(user_tree, "apply", "--index", str(patch))
    assert file.read_bytes() == before


def test_what_cannot_be_reverted_makes_no_patch(user_tree, tmp_path):
    culprit = run_git(user_tree, "rev-parse", "new")
    (user_tree / "drivers/b.c").write_text("int b = 3;\n")
    run_git(user_tree, "commit", "-qam", "later")
    repository = Repository(user_tree / ".git")
    (tmp_path / "revert.patch").write_text("of an earlier culprit\n")
    assert revert_patch(repository, culprit, run_git(user_tree, "rev-parse", "HEAD"), tmp_path) is None
    assert not (tmp_path / "revert.patch").exists()
    # A merge has no one parent to go back to, and what was reverted already cannot be once more.
    run_git(user_tree, "checkout", "-q", "-b", "side", "old")
    run_git(user_tree, "commit", "-q", "--allow-empty", "-m", "side")
    run_git(user_tree, "merge", "-q", "-s", "ours", "-m", "merge", "new")
    merge = run_git(user_tree, "rev-parse", "HEAD")
    assert revert_patch(repository, merge, merge, tmp_path) is None
    assert revert_patch(repository, culprit, run_git(user_tree, "rev-parse", "old"), tmp_path) is None


class Scripted:
    """A judge whose runs show one thing after the other."""

    at_once = 1

    def __init__(self, *seen: Seen) -> None:
        self._seen, self.builds = iter(seen), 0

    def build(self, commit: str, *, ahead: bool) -> Build:
        self.builds += 1
        return Build("digest")

    def run(self, commit: str, build: Build, symptom: Symptom | None) -> Run:
        return Run(commit, next(self._seen), "no room")

    def close(self) -> None:
        pass


def test_a_host_that_fails_once_does_not_end_the_test_of_the_answer(tmp_path):
    evidence = Evidence(History("c0", "c2", {"c2": ("c1",), "c1": ()}), ())
    prover = Prover(Journal(tmp_path), evidence, Settings(runs=1), lambda _: None)
    judge = Scripted(Seen.HOST, Seen.HOST, Seen.NO_BUG)
    assert prover.prove(judge, "c1").confirmed is True
    assert judge.builds == 3  # each attempt begins anew
    with pytest.raises(InfrastructureError, match="could not be tested: no room"):
        prover.prove(Scripted(Seen.HOST, Seen.HOST, Seen.HOST), "c2")


HOSTILE = "<script>alert(1)</script> \x1b[2J"


def a_report(culprits: int, confirmed: bool | None) -> report.Report:
    commits = tuple(report.Commit(f"{number:040x}", HOSTILE, "2026-01-01", HOSTILE) for number in range(culprits))
    row = report.Row("f" * 40, HOSTILE, "no bug", 0.96, HOSTILE, HOSTILE, 61.0, ("runs/1",))
    return report.Report(
        culprits=commits, fix=False, confidence=0.97, symptom=Symptom("panic", HOSTILE, "f", "s"), seen=3, runs=10,
        proof=Proof(confirmed, "With it reverted, the bug is gone."), steps=(row,), good="a" * 40, bad="b" * 40,
        reproduce=("farm run test_a.py",), regzbot=("#regzbot introduced: abc",), crash="Call Trace:",
        directory="/b")


@pytest.mark.parametrize(("culprits", "confirmed"), [(1, True), (1, False), (3, None)])
def test_reports_are_whole_and_harmless(culprits, confirmed):
    texts = report.render(a_report(culprits, confirmed))
    assert set(texts) == {"report.html", "report.txt", "report.json"}
    assert "<script>" not in texts["report.html"]
    assert "\x1b" not in texts["report.txt"]
    for text in texts.values():
        assert "#regzbot introduced: abc" in text
        assert "farm run test_a.py" in text
    data = json.loads(texts["report.json"])
    assert (len(data["culprits"]), data["confidence"], data["proof"]["confirmed"]) == (culprits, 0.97, confirmed)
    assert "97.0%" in texts["report.txt"]
    assert "Call Trace:" in texts["report.html"]


@pytest.mark.parametrize(("fix", "culprits", "revisions"), [
    (False, ["c2"], ["c2", "c1"]), (True, ["c2"], ["c2", "c1"]),
    # Where the answer is several commits, the end that has the bug shows it for certain.
    (False, ["c2", "c1"], ["c3"]), (True, ["c2", "c1"], ["c0"])])
def test_the_commands_that_reproduce_it_name_revisions_that_do(tmp_path, fix, culprits, revisions):
    history = History("c0", "c3", {"c3": ("c2",), "c2": ("c1",), "c1": ()})
    good, bad = ("c3", "c0") if fix else ("c0", "c3")
    request = Request(Subject(Path("/linux"), ("/t/test_a.py",)), good, bad, Settings(fix=fix))
    journal = Journal(tmp_path)
    journal.add_symptom(Symptom("panic", "panic in f"))
    made = report.make(
        request, tmp_path, tuple(report.Commit(one, "a", "2026-01-01", "s") for one in culprits),
        Verdict(tuple(culprits), 0.97, Proof(None, "")), evidence=Evidence(history, (), fix), journal=journal)
    assert [command.partition("--rev ")[2] for command in made.reproduce] == revisions


def test_the_crash_report_is_the_one_of_the_bug(tmp_path):
    place = tmp_path / "runs/1/test_a.test_b/reports"
    place.mkdir(parents=True)
    for name, title in (("01-warning", "WARNING in g"), ("02-panic", "kernel panic in f")):
        (place / f"{name}.txt").write_text(f"{title}\n\nCall Trace: raw\n")
        (place / f"{name}.decoded.txt").write_text(f"{title}\n\nCall Trace: decoded\n")
    run = Run("c", Seen.BUG, "WARNING in g", Cause("panic", "kernel panic in f", "f", "s"), directory="runs/1")
    assert report.crash_of(tmp_path, [run], ["c"]) == "kernel panic in f\n\nCall Trace: decoded"


def test_other_failures_are_listed_by_their_titles(tmp_path):
    journal = Journal(tmp_path)
    for seen, title in ((Seen.OTHER, "WARNING in g"), (Seen.NO_BUG, ""), (Seen.NO_BUG, "")):
        journal.add_run(Run("c", seen, title))
    journal.add_step(Step("c", Answer.NO_BUG, 0.9, "2 runs without the bug"))
    assert report.row(journal, "c", "", "no bug").seen == (
        "1 of 3 runs: another failure (WARNING in g), 2 of 3 runs: no bug")


def test_lines_for_regzbot_are_lines(tmp_path, user_tree, workdir):
    request = session(user_tree, workdir, tmp_path, "old", "new").request
    commits, symptom = (report.Commit("c" * 40, "a", "d", "s"),), Symptom("panic", "one\n#regzbot two")
    confirmed, refuted = (Verdict(("c" * 40,), 0.99, Proof(value, "")) for value in (True, False))
    assert report._regzbot(request, commits, symptom, refuted) == ()
    lines = report._regzbot(request, commits, symptom, confirmed)
    assert lines == (f"#regzbot introduced: {'c' * 40}", "#regzbot title: one #regzbot two")
