"""Random changes of C source: where they are made, and what becomes of them."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.kept import claim
from bench.measure import BenchError
from bench.mutation import Change, Mutation, draw, from_json, judge, mutations
from farm.bisect.values import Build, Run, Seen
from farm.results.reached import Reached

PATH = "drivers/md/dm-crypt.c"
TEXT = """struct crypt_config {
	int a;
};

static int crypt_map(struct dm_target *ti,
		struct bio *bio)
{
	int count = 0;

	/* call(this); if (that) */
	if (unlikely(bio->bi_size <= 4096))
		return -EIO;
	pr_err("no business of ours\\n");
	bio_set_dev(bio, cc->dev->bdev);
	if (first(count) ||
		second(count))
		count = other(GFP_NOIO,
			another(count));
	return count + 1;
}

int crypt_other(void)
{
	call();
}
"""
KNOWN = frozenset({"crypt_map"})


def test_one_line_of_a_known_function_is_changed_at_a_time() -> None:
    made = {(one.line, one.what, one.new.strip()) for one in mutations(PATH, TEXT, KNOWN)}
    assert made == {
        (11, "condition negated", "if (!(unlikely(bio->bi_size <= 4096)))"),
        (11, "other side of a comparison", "if (unlikely(bio->bi_size > 4096))"),
        (12, "error forgotten", "return 0;"),
        (14, "statement left out", ";"),
        (15, "and for or", "if (first(count) &&"),
        (17, "allocation that may do I/O", "count = other(GFP_KERNEL,"),
        (19, "off by one", "return count;"),
    }


def test_the_line_is_the_one_that_it_says() -> None:
    for one in mutations(PATH, TEXT, KNOWN):
        assert TEXT.splitlines()[one.line - 1] == one.old


def test_the_diff_names_the_function_where_git_does() -> None:
    one = next(one for one in mutations(PATH, TEXT, KNOWN) if one.line == 14)
    diff = one.diff(TEXT)
    assert diff.startswith(f"--- a/{PATH}\n+++ b/{PATH}\n@@ -11,7 +11,7 @@ crypt_map()\n")
    assert "\n-\tbio_set_dev(bio, cc->dev->bdev);\n+\t;\n" in diff


def test_what_is_drawn_comes_with_testcases_that_reach_it_and_a_seed_repeats_it() -> None:
    reached = Reached()
    reached.add("test_a.py::test_a", ["crypt_map", "crypt_ctr"], ["data / crypt"], "6.12")
    reached.add("test_b.py::test_b", ["crypt_ctr"], ["data / luks2"], "6.12")
    first, second = (list(draw({PATH: TEXT}, reached, 3, 1)) for _ in range(2))
    assert first == second
    assert {one.testcases for one in first} == {("test_a.py::test_a",)}
    drawn = {(one.mutation.function, one.mutation.what) for one in first}
    assert drawn == {(one.function, one.what) for one in mutations(PATH, TEXT, reached.known)}


def test_each_stack_on_which_a_testcase_reaches_it_has_its_chance() -> None:
    reached = Reached()
    for mode, functions in (("x", ["crypt_map"]), ("y", ["crypt_map", "crypt_ctr"]), ("z", ["crypt_ctr"])):
        reached.add(f"test_a.py::test_a[{mode}]", functions, ["data / crypt"], "6.12")
    reached.add("test_b.py::test_b", ["bio_endio"], ["data"], "6.12")
    chosen = {one for seed in range(9) for some in draw({PATH: TEXT}, reached, seed, 3) for one in some.testcases}
    assert chosen == {"test_a.py::test_a[x]", "test_a.py::test_a[y]"}


def test_everywhere_there_are_functions_that_nobody_is_known_to_reach() -> None:
    reached = Reached()
    reached.add("test_a.py::test_a", ["crypt_map"], ["data / crypt"], "6.12")
    reached.add("test_b.py::test_b", ["zswap_store"], ["swap / swap"], "6.12")
    drawn = list(draw({PATH: TEXT}, reached, 3, 1, everywhere=True))
    assert {one.mutation.function for one in drawn} == {"crypt_map", "crypt_other"}
    assert {one.testcases for one in drawn} == {("test_a.py::test_a",)}


def answers(seen: dict[str, Seen]) -> Callable[[str], Run]:
    return lambda testcase: Run("0001", seen[testcase], f"{testcase} ended")


ONE = Mutation(PATH, "crypt_map", 14, "statement left out", "\tcall();", "\t;")
ASKED = Change("0001", ONE, ("a",))


@pytest.mark.parametrize(("seen", "result", "testcase", "passed"), [
    ({"a": Seen.NO_BUG, "b": Seen.BUG}, "noticed", "b", ("a",)), ({"a": Seen.NO_BOOT}, "noticed", "a", ()),
    ({"a": Seen.NO_BUG, "b": Seen.UNASKED}, "unnoticed", "", ("a",)), ({"a": Seen.UNASKED}, "unasked", "", ()),
])  # fmt: skip
def test_it_counts_as_noticed_by_the_first_testcase_that_fails(
    seen: dict[str, Seen], result: str, testcase: str, passed: tuple[str, ...],
) -> None:
    row = judge(Change("0001", ONE, tuple(seen)), Build("changed"), answers(seen), "unmodified")
    assert (row.result, row.testcase, row.passed) == (result, testcase, passed)
    assert from_json(asdict(row)) == row


def test_what_makes_no_difference_or_does_not_compile_is_not_run() -> None:
    assert judge(ASKED, Build("unmodified"), answers({}), "unmodified").result == "no difference"
    row = judge(ASKED, Build(error="no such thing", seen=Seen.NO_BUILD), answers({}), "unmodified")
    assert (row.result, row.title) == ("no build", "no such thing")


@pytest.mark.parametrize("build", [Build("changed"), Build(error="the disk is full", seen=Seen.HOST)])
def test_a_failure_of_the_host_is_nobodys_miss(build: Build) -> None:
    with pytest.raises(BenchError, match=r"the disk is full|could not be run"):
        judge(ASKED, build, answers({"a": Seen.HOST}), "unmodified")


def test_rows_of_other_options_are_not_counted(tmp_path: Path) -> None:
    for _ in range(2):
        claim(tmp_path / "d", "rows.jsonl", {"seed": 1, "flavor": "base"})
    with pytest.raises(BenchError, match=r"d was begun with --seed 1\. Choose another --dir\."):
        claim(tmp_path / "d", "rows.jsonl", {"seed": 2, "flavor": "base"})
    (tmp_path / "others.jsonl").touch()
    with pytest.raises(BenchError, match="nobody wrote down"):
        claim(tmp_path, "others.jsonl", {"seed": 1})
