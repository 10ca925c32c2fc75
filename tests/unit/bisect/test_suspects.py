"""Whom a failure speaks of."""

import pytest

from farm.bisect import suspects
from farm.bisect.state import Journal
from farm.bisect.suspects import clues, clues_of, guess
from farm.bisect.values import Run, Seen, Settings, Symptom
from farm.kernel.git import Repository
from farm.model import Cell, Finding, Frame, KernelId, Machine, Outcome
from farm.results.directory import RESULT, CellDirectory
from farm.results.reached import Reached
from tests.unit.bisect.histories import PANIC, KnowingJudge, bisect, line
from tests.unit.kernel.conftest import run_git

CRYPT = "static int crypt_convert(struct crypt_config *cc)\n{\n\treturn crypt_map(1);\n}\n"
RECORD = Reached({
    "test_crypt.py::test_a": frozenset({"crypt_convert", "crypt_map", "submit_bio"}),
    "test_crypt.py::test_b": frozenset({"crypt_map", "submit_bio"}),
    "test_pi.py::test_c": frozenset({"submit_bio"}),
    "test_pi.py::test_d": frozenset({"submit_bio"}),
})


def test_what_few_testcases_reach_says_much_and_what_all_do_nothing():
    assert clues([], ["test_crypt.py::test_a"], RECORD) == {"crypt_convert": 3.0, "crypt_map": 1.0}
    assert clues([], ["test_own.py::test_unknown"], RECORD) == {}
    more = Reached({**RECORD.functions, "test_crypt.py::test_d[1]": frozenset({"zs_map", "crypt_map"}),
                    "test_crypt.py::test_d[2]": frozenset({"zs_map", "zs_free"})})
    assert clues([], ["test_crypt.py::test_d[new]"], more) == {"zs_map": 2.0}


def test_a_trace_says_more_and_the_function_that_is_named_most():
    report = Finding("oops", "BUG: in kcryptd_crypt", "kcryptd_crypt", frames=(
        Frame("memcpy", generic=True), Frame("kcryptd_crypt"), Frame("crypt_map"), Frame("process_one_work")))
    found = clues([report], ["test_crypt.py::test_a"], RECORD)
    assert "memcpy" not in found
    assert found["kcryptd_crypt"] > found["crypt_map"] > found["process_one_work"] > found["crypt_convert"]


def test_only_the_bug_of_cells_that_failed_is_read(tmp_path):
    kernel = KernelId("debian:linux-source-6.12", "6.12.117-farm", "base")
    other = Finding("warning", "WARNING in dm_io", "dm_io", (Frame("dm_io"),))
    panic = Finding("panic", "panic in crypt_map", "crypt_map", (Frame("crypt_map"), Frame("dm_submit_bio")))
    for testcase, outcome in (("test_crypt.py::test_b", Outcome.FAIL), ("test_crypt.py::test_a", Outcome.PASS)):
        CellDirectory(tmp_path / "run", testcase).write_result(
            Cell(kernel, Machine(), testcase), outcome, title="it", findings=(other, panic))
    (tmp_path / "run/cut off").mkdir()
    (tmp_path / "run/cut off" / RESULT).write_text('{"cell": ')
    found = clues_of([tmp_path / "run", tmp_path / "pruned"], Symptom("panic", "it", "crypt_map"), RECORD)
    assert found.keys() == {"crypt_map", "dm_submit_bio"}


@pytest.fixture
def commits(tmp_path):
    """A small tree: subject of a commit -> its id."""
    run_git(tmp_path, "init", "-q")
    files = [
        ("base", {"drivers/md/dm-crypt.c": CRYPT, "umlaut-ä.c": "",
                  "mm/slab.c": "int crypt_map(int);\nvoid *kmalloc(int size)\n{\n}\n"}),
        ("docs", {"Documentation/a.rst": "crypt_convert(a)\n"}),
        ("slab", {"umlaut-ä.c": "int i;\n",
                  "mm/slab.c": "int crypt_map(int);\nvoid *kmalloc(int size)\n{\n\tcrypt_convert(0);\n}\n"}),
        ("crypt", {"drivers/md/dm-crypt.c": CRYPT + "\n/* more */\n", "Documentation/a.rst": "b\n"}),
        ("gone", {}),
    ]
    made = {}
    for subject, changes in files:
        for name, text in changes.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if subject == "gone":
            run_git(tmp_path, "rm", "-q", "mm/slab.c")
        run_git(tmp_path, "add", "-A")
        run_git(tmp_path, "commit", "-q", "-m", subject)
        made[subject] = run_git(tmp_path, "rev-parse", "HEAD")
    return made


def test_commits_that_touch_where_it_failed_are_suspected(tmp_path, commits):
    repository = Repository(tmp_path / ".git")
    members = [commit for subject, commit in commits.items() if subject != "base"]
    made = guess(repository, commits["gone"], members, {"crypt_convert": 7.0, "crypt_map": 3.0})
    # Neither who calls it nor who writes of it.
    assert list(made.suspects) == [commits["crypt"]]
    suspect = made.suspects[commits["crypt"]]
    assert (suspect.file, suspect.function, suspect.weight) == ("drivers/md/dm-crypt.c", "crypt_convert", 8.0)
    assert sum(made.shares.values()) == pytest.approx(1.0)
    assert made.shares[commits["crypt"]] > 4 * made.shares[commits["slab"]]
    assert made.shares[commits["slab"]] > made.shares[commits["docs"]] > 0


def test_nobody_is_suspected_without_a_clue(tmp_path, commits):
    repository = Repository(tmp_path / ".git")
    assert not guess(repository, commits["gone"], list(commits.values()), {}).suspects
    assert not guess(repository, commits["gone"], list(commits.values()), {"nobody_has_this": 9.0}).shares


def test_names_of_files_are_no_patterns(tmp_path, commits):
    repository = Repository(tmp_path / ".git")
    touches = suspects.touched(repository, list(commits.values()))
    assert touches[commits["slab"]] == ("mm/slab.c", "umlaut-ä.c")
    assert suspects.defined(repository, commits["crypt"], [":(top)x.c", "mm/*.c", "drivers/md/dm-crypt.c"],
                            {"crypt_convert", "kmalloc"}) == {"drivers/md/dm-crypt.c": {"crypt_convert"}}


def guessing(suspect: str):
    """Suspects one commit."""
    def of(left):
        if suspect not in left:
            return suspects.Guess()
        found = {suspect: suspects.Suspect(100.0, "drivers/md/dm-crypt.c", "crypt_convert")}
        return suspects.Guess(found, suspects.shares(left, {}, found))
    return of


@pytest.mark.parametrize("fix", [False, True])
def test_a_bisection_asks_about_suspects_first(tmp_path, fix):
    world = line(tmp_path, 65, 20, fix=fix)
    judge = KnowingJudge(world, 1)
    verdict = bisect(world, tmp_path / "b", judge, suspect=guessing(world.culprit))
    assert verdict.culprits == (world.culprit,)
    assert verdict.confidence >= 0.95
    ends = (world.commits[0], world.commits[-1])
    assert {world.commits.index(one) for one in judge.runs if one not in ends} == {19, 20}
    assert "drivers/md/dm-crypt.c: crypt_convert" in (tmp_path / "b" / "said.txt").read_text()


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_wrong_suspicion_does_not_mislead(tmp_path, jobs):
    world = line(tmp_path, 65, 50)
    assert bisect(world, tmp_path / "b", KnowingJudge(world, 1), Settings(jobs=jobs),
                  suspect=guessing(world.commits[10])).culprits == (world.culprit,)


def test_git_chooses_where_that_is_wanted(tmp_path):
    def nobody(left):
        raise AssertionError("asked for suspects")

    world = line(tmp_path, 17, 5)
    judge = KnowingJudge(world, 1)
    assert bisect(world, tmp_path / "b", judge, Settings(order="git"), suspect=nobody).culprits == (world.culprit,)
    assert world.commits[8] in judge.runs


def test_what_was_begun_goes_on_first(tmp_path):
    """Whom to suspect may look otherwise after an interruption: what was half judged must not be forgotten for it."""
    world = line(tmp_path, 65, 20)
    with pytest.raises(KeyboardInterrupt):
        bisect(world, tmp_path / "b", KnowingJudge(world, 1, die_at=5))
    journal = Journal(tmp_path / "b")
    ends = list(journal.steps)
    journal.add_run(Run(world.commits[40], Seen.BUG, PANIC.title, PANIC, "a kernel"))
    verdict = bisect(world, tmp_path / "b", KnowingJudge(world, 1), suspect=guessing(world.culprit))
    assert verdict.culprits == (world.culprit,)
    assert list(Journal(tmp_path / "b").steps)[len(ends)] == world.commits[40]
