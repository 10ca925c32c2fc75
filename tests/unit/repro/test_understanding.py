"""What is read out of reports, and which testcases that proposes."""

from pathlib import Path

import pytest

from farm.cli.repro import source_for
from farm.errors import UserError
from farm.repro.ranking import rank
from farm.repro.understanding import understand
from farm.results.reached import Reached, load

REPORTS = Path(__file__).resolve().parents[3].parent / "shared/reports"
OOPS = """\
[   12.345678] BUG: kernel NULL pointer dereference, address: 0000000000000018
[   12.345679] #PF: supervisor read access in kernel mode
[   12.345680] Oops: Oops: 0000 [#1] PREEMPT SMP
[   12.345681] CPU: 1 UID: 0 PID: 22 Comm: kworker/u8:1 Not tainted 6.12.3 #1
[   12.345682] Workqueue: kcryptd/254:0 kcryptd_crypt
[   12.345683] RIP: 0010:crypt_convert+0x1a/0x400
[   12.345684] Call Trace:
[   12.345685]  <TASK>
[   12.345686]  kcryptd_crypt+0x33/0x400
[   12.345687]  process_one_work+0x1e7/0x400
[   12.345688]  worker_thread+0x1e7/0x400
[   12.345689]  </TASK>
[   12.345690] ---[ end trace 0000000000000000 ]---
"""
MEASURED = Reached()
MEASURED.add("a.py::test_crypt[x]", ["crypt_convert", "crypt_map", "bio_endio"], ["data / crypt / xfs"], "6.12")
MEASURED.add("a.py::test_crypt[y]", ["crypt_convert", "crypt_map", "kcryptd_crypt", "bio_endio"],
             ["data / crypt:no_read_workqueue"], "6.12")
MEASURED.add("b.py::test_zswap", ["zswap_store", "bio_endio"], ["swap / swap"], "6.12")
MEASURED.add("c.py::test_plain", ["bio_endio"], ["data"], "6.12")


def test_a_crash_report_is_understood_through_the_quoting_of_mails():
    quoted = "".join(f"> > {line}\n" for line in OOPS.splitlines())
    for text in (OOPS, quoted):
        report = understand(text)
        assert [one.function for one in report.findings] == ["crypt_convert"]
        assert report.versions[0] == "6.12.3"
        assert report.how("crypt_convert") == "where it happened"
        assert report.how("kcryptd_crypt") == "in the trace"
        assert report.functions["crypt_convert"] > report.functions["kcryptd_crypt"]
        assert "process_one_work" not in report.functions or report.functions["process_one_work"] < 3


def test_what_is_named_is_found():
    report = understand(
        "With CONFIG_DM_CRYPT=y on Linux 6.1.55 aes-xts-plain64 over dm-integrity hangs since commit 7c20f11680a4 "
        "(\"bio-integrity: stop\"), regzbot lr#35498d. crypt_map() and bio_endio wait.", frozenset({"bio_endio"}))
    assert (report.versions, report.config, report.ciphers, report.targets, report.commits, report.regressions) == (
        ("6.1.55",), ("CONFIG_DM_CRYPT",), ("aes-xts-plain64",), ("dm-integrity",), ("7c20f11680a4",), ("lr#35498d",))
    assert set(report.functions) == {"crypt_map", "bio_endio"}
    assert report.how("crypt_map") == "mentioned"


@pytest.mark.parametrize(("text", "words"), [
    (OOPS.replace("RIP: 0010:crypt_convert+0x1a/0x400", "pc : crypt_convert+0x1a/0x400\nESR = 0x96000004"), "arm64"),
    (OOPS.replace("RIP: 0010:crypt_convert+0x1a/0x400", "pc : crypt_convert+0x1a/0x400"), "arm64"),
    ("[   12.345683] [   T22] Krnl PSW : 0704c00180000000 0000000000123456 (crypt_convert+0x1a/0x400)", "s390"),
    ("<4>[   12.345683] EIP: crypt_convert+0x1a/0x400", "i386"),
    ("Linux version 9.99.1 crashed in crypt_map()", "Nobody has a Linux 9.99.1"),
    ("crypt_map() hangs", "no crash report"),
    (OOPS.partition("[   12.345683]")[0], "cut off"),
])
def test_what_limits_it_is_said(text, words):
    assert any(words in doubt for doubt in understand(text).doubts), understand(text).doubts


def test_who_reaches_the_rarest_of_the_functions_comes_first():
    proposals = rank(understand(OOPS, MEASURED.known), MEASURED)
    assert [one.testcase for one in proposals] == ["a.py::test_crypt[y]"]
    assert proposals[0].share > 0.9
    assert set(proposals[0].because) >= {"crypt_convert", "kcryptd_crypt"}
    # What everybody reaches speaks for nobody.
    assert rank(understand("bio_endio() crashed"), MEASURED) == []


def test_a_function_that_was_inlined_speaks_for_its_family():
    first = rank(understand("zswap_store_page_somehow() hangs"), Reached(
        {**MEASURED.functions, "b.py::test_zswap": frozenset({"zswap_store_page"})}, MEASURED.stacks, MEASURED.kernels))
    assert first[0].testcase == "b.py::test_zswap"


def test_of_two_that_reach_the_same_the_one_without_layers_of_its_own_comes_first():
    known = MEASURED.functions["a.py::test_crypt[y]"]
    functions = {**MEASURED.functions, "a.py::test_a": known, "b.py::test_b": known}
    stacks = {**MEASURED.stacks, "a.py::test_a": ("data / luks2:integrity=hmac-sha256 / xfs",),
              "b.py::test_b": ("data / luks2",)}
    reached = Reached(functions, stacks, dict.fromkeys(functions, "6.12"))
    order = [one.testcase for one in rank(understand(OOPS, reached.known), reached)]
    assert order.index("b.py::test_b") < order.index("a.py::test_a")
    order = [one.testcase for one in rank(understand(OOPS + "with dm-integrity on XFS", reached.known), reached)]
    assert order.index("a.py::test_a") < order.index("b.py::test_b")


def test_of_parameters_that_fit_alike_those_on_another_stack_are_proposed():
    cells = {f"{place}[{mode}]": (f"data / crypt:{mode}",) for place in ("a.py::test_a", "b.py::test_b")
             for mode in ("same_cpu_crypt", "submit_from_crypt_cpus")}
    functions = {"c.py::test_plain": MEASURED.functions["c.py::test_plain"],
                 **dict.fromkeys(cells, MEASURED.functions["a.py::test_crypt[y]"])}
    reached = Reached(functions, {"c.py::test_plain": ("data",), **cells}, dict.fromkeys(functions, "6.12"))
    assert [one.testcase for one in rank(understand(OOPS, reached.known), reached)] == [
        "a.py::test_a[same_cpu_crypt]", "b.py::test_b[submit_from_crypt_cpus]"]


def test_of_testcases_that_fit_alike_the_one_for_many_stacks_comes_first():
    known = MEASURED.functions["a.py::test_crypt[y]"]
    functions = {"c.py::test_plain": MEASURED.functions["c.py::test_plain"], "a.py::test_one": known,
                 "z.py::test_many[a]": known, "z.py::test_many[b]": known}
    reached = Reached(functions, dict.fromkeys(functions, ("data / crypt",)), dict.fromkeys(functions, "6.12"))
    assert [one.testcase for one in rank(understand(OOPS, reached.known), reached)] == [
        "z.py::test_many[a]", "a.py::test_one"]


def test_of_a_patch_the_function_counts_in_which_it_changes_something():
    patch = "@@ -10 +10 @@ static int zswap_store(struct folio *folio)\n-\tgoto put_pool;\n+\tgoto out;\n"
    assert [one.testcase for one in rank(understand(patch, MEASURED.known), MEASURED)] == ["b.py::test_zswap"]


@pytest.mark.parametrize(("path", "testcase"), [
    ("security/keys/gc.c", "test_keys.py"), ("block/t10-pi.c", "test_verification.py"),
    ("block/blk-zoned.c", "test_crypt_inline.py::test_zones"), ("mm/zsmalloc.c", "test_zswap.py"),
    ("security/integrity/iint.c", "test_evm.py")])
def test_a_patch_without_any_function_is_known_by_its_file(path, testcase):
    """`diff -u` names none in its hunks, and the compiler may have inlined all that git does."""
    reached = load()
    patch = f"--- a/{path}\n+++ b/{path}\n@@ -1,3 +1,3 @@\n \tint error;\n \n-\terror = 0;\n+\terror = 1;\n"
    proposals = rank(understand(patch, reached.known), reached)[:5]
    assert any(one.testcase.startswith(testcase) for one in proposals), [one.testcase for one in proposals]


def test_the_words_of_a_stack_tell_what_functions_cannot():
    proposals = rank(understand("DM_CRYPT_FORCE_INLINE makes crypt_convert() fail"), MEASURED)
    assert proposals[0].testcase == "a.py::test_crypt[y]"


@pytest.mark.parametrize(("versions", "package"), [
    ((), "6.12"), (("6.12.3",), "6.12"), (("6.13-rc1", "6.1"), "6.12"), (("4.12",), "6.1"), (("6.3.0",), "6.1"),
    (("7.0",), "6.12")])
def test_the_nearest_source_package_is_proposed(versions, package):
    assert source_for(versions) == f"debian:linux-source-{package}"


@pytest.mark.parametrize(("text", "flavor"), [
    ("BUG: KASAN: slab-use-after-free in crypt_convert+0x1/0x2\nRead of size 8 at addr ffff888 by task x/1\n", "kasan"),
    (OOPS, "base"), ("deadlock in crypt_map()", "base")])
def test_the_flavor_is_the_one_that_made_the_report(text, flavor):
    assert understand(text).flavors[0] == flavor


def test_the_record_comes_back_as_it_was_written(tmp_path):
    MEASURED.write(tmp_path / "reach.json")
    assert load(tmp_path / "reach.json") == MEASURED


@pytest.mark.parametrize("text", ["", "{}", '{"testcases": [], "functions": {"a": "7"}}', '{"testcases": 1}'])
def test_a_record_that_is_none_is_told_with_the_way_out(tmp_path, text):
    (tmp_path / "reach.json").write_text(text)
    with pytest.raises(UserError, match="farm reach"):
        load(tmp_path / "reach.json")


@pytest.mark.parametrize(("number", "system"), [
    ("000", "test_crypt_reclaim.py"), ("001", "test_crypt_inline.py"), ("002", "test_bio_integrity.py"),
    ("003", "test_evm.py"), ("004", "test_zswap.py"),
])
def test_the_right_system_is_among_the_first_three(number, system):
    found = sorted(REPORTS.glob(f"{number}_*.txt"))
    if not found:
        pytest.skip(f"the reports are not at {REPORTS}")
    reached = load()
    proposals = rank(understand(found[0].read_text(errors="replace"), reached.known), reached)[:3]
    assert system in [one.testcase.partition("::")[0] for one in proposals]
