"""Testcases that are about the place that a patch changes."""

from farm.host.workdir import data_directory
from farm.qualify.mutant import load_mutants
from farm.repro.experience import Bug, Experience, bug, experience, read_about
from farm.repro.patchtext import Changes
from farm.repro.ranking import rank
from farm.repro.understanding import understand
from farm.results.reached import Reached, load, without_parameters

STORE = Changes(("mm/zswap.c",), ("zswap_store",))
NEAR = Changes(("mm/zswap.c",), ("zswap_load",))
FIRST = 5


def standing(patch=STORE, about=None, bugs=()):
    return Experience(patch, about or {}, bugs).of("test_zswap.py::test_pool[crypt]")


def test_who_names_the_function_stands_before_who_names_its_file():
    names = standing(about={"test_zswap.py::test_pool": frozenset({"zswap_store", "zswap.c"})})
    file = standing(about={"test_zswap.py::test_pool": frozenset({"zswap.c"})})
    assert names.names == ("zswap_store",)
    assert names.weight > file.weight > standing().weight == 0


def test_who_caught_a_bug_there_stands_before_who_did_nearby():
    there = standing(bugs=[Bug("stale", STORE, "test_zswap.py::test_pool[crypt]")])
    nearby = standing(bugs=[Bug("kept", NEAR, "test_zswap.py::test_pool[crypt]")])
    assert (there.caught, there.nearby) == (("stale",), ())
    assert (nearby.caught, nearby.nearby) == ((), ("kept",))
    assert there.weight > nearby.weight > 0
    assert standing(bugs=[Bug("other", STORE, "test_swap.py::test_pool")]).weight == 0


def test_the_parameters_with_which_it_was_caught_come_first():
    """Also where others reach more, and in the flavor in which it was."""
    caught = Bug("stale", STORE, "test_zswap.py::test_pool[plain]", "debug")
    reached = Reached()
    reached.add("test_zswap.py::test_pool[crypt]", ["zswap_store", "zswap_load"], ["swap / swap"], "6.12")
    reached.add("test_zswap.py::test_pool[plain]", ["zswap_load"], ["swap / crypt / swap"], "6.12")
    report = understand("--- a/mm/zswap.c\n+++ b/mm/zswap.c\n@@ -1 +1 @@ bool zswap_store(int folio)\n-\ta;\n")
    (first,) = rank(report, reached, known=Experience(report.changes, {}, [caught]))
    assert (first.testcase, first.flavor) == ("test_zswap.py::test_pool[plain]", "debug")
    assert first.standing.caught == ("stale",)


def test_a_crash_says_more_than_what_somebody_proposes_to_change():
    patch = "--- a/mm/zswap.c\n+++ b/mm/zswap.c\n@@ -1 +1 @@ bool zswap_store(int folio)\n-\ta;\n"
    crash = "BUG: kernel NULL pointer dereference, address: 0000000000000018\n"
    assert experience(understand(patch)) is not None
    assert experience(understand(crash + patch)) is None
    assert experience(understand("zswap_store() is wrong")) is None


def test_functions_of_one_name_in_other_files_are_others():
    there = Bug("stale", STORE, "test_zswap.py::test_pool[crypt]")
    assert standing(Changes(("mm/other.c",), ("zswap_store",)), bugs=[there]).weight == 0
    assert standing(Changes(("kernel/sched/core.c",)), {
        "test_zswap.py::test_pool": frozenset({"drivers/nvme/host/core.c"})}).weight == 0


def test_what_is_being_written_stops_nobody(tmp_path):
    (tmp_path / "test_broken.py").write_text("def test_one(:\n")
    (tmp_path / "test_latin.py").write_bytes(b"# \xe4\n")
    (tmp_path / "test_good.py").write_text("def test_one():\n    'zswap_store'\n")
    assert set(read_about(tmp_path)) == {"test_good.py::test_one"}


def test_a_testcase_is_about_what_stands_above_and_in_it(tmp_path):
    (tmp_path / "test_two.py").write_text(
        '"""Of zswap."""\n# mm/page_io.c:swap_writepage\nSCRIPT = "echo"\n\ndef test_one():\n    """zero_map"""\n\n'
        '# fs/xattr.c\ndef test_two():\n    pass\n')
    about = read_about(tmp_path)
    assert {"mm/page_io.c", "swap_writepage", "zero_map"} <= about["test_two.py::test_one"]
    assert "fs/xattr.c" in about["test_two.py::test_two"]
    assert "zero_map" not in about["test_two.py::test_two"]


def test_what_notices_mutants_was_measured():
    """`farm reach` and its kernel without kprobes skip the one that counts by those."""
    measured = load().functions
    names = {name for one in measured for name in (one, without_parameters(one))}
    assert {one.testcase for one in load_mutants()} - names <= {"test_bio_integrity.py::test_verified_once[linear]"}


def test_mutants_lead_to_the_testcases_that_notice_them():
    """Each by what is known without it. Many change what half of all testcases reach, so that five are few."""
    reached, about = load(), read_about(data_directory("testcases"))
    diffs = {one: one.path.read_text().partition("\n---\n")[2] for one in load_mutants()}
    bugs = [bug(diff, one) for one, diff in diffs.items()]
    places = []
    for one, diff in diffs.items():
        report = understand(diff, reached.known)
        others = Experience(report.changes, about, [other for other in bugs if other.name != one.name])
        proposed = [without_parameters(each.testcase) for each in rank(report, reached, known=others)[:2 * FIRST]]
        if without_parameters(one.testcase) in proposed:
            places.append(proposed.index(without_parameters(one.testcase)))
    first = sum(place < FIRST for place in places)
    assert first > 0.4 * len(diffs), f"{first} of {len(diffs)}"
    assert len(places) > 0.53 * len(diffs), f"{len(places)} of {len(diffs)}"
