"""Mutants: how they are written, and that every one of the farm's own names a testcase that exists."""

from pathlib import Path

import pytest

from farm.cli.run import resolve
from farm.errors import UserError
from farm.host.workdir import data_directory
from farm.kernel.flavors import load
from farm.qualify.mutant import load_mutants, read_mutant

OWN = sorted((data_directory("testcases") / "mutants").glob("*.patch"))
HEADER = """\
Mutant: a bug
Report: 001
Upstream: drivers/md/dm-crypt.c:crypt_map
Kernels: 6.12, 6.1
Testcase: test_crypt.py::test_crypt_on_zones
Kind: kasan,
  oops
Function: crypt_map
"""
DIFF = """
Why.
---
--- a/drivers/md/dm-crypt.c
+++ b/drivers/md/dm-crypt.c
@@ -1,2 +1,2 @@
 a
-b
+c
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "some-bug.patch"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_the_farm_s_own(path: Path) -> None:
    mutant = read_mutant(path)
    assert mutant.flavor in load()
    assert mutant.report in {"000", "001", "002", "003", "004"}
    assert len(list(resolve([mutant.testcase]))) == 1


@pytest.mark.parametrize(("line", "report"), [
    ("", "-"), ("Report: https://lore.kernel.org/r/a@b\n", "https://lore.kernel.org/r/a@b")])
def test_a_mutant_of_ones_own_may_have_any_report(tmp_path: Path, line: str, report: str) -> None:
    assert read_mutant(written(tmp_path, HEADER.replace("Report: 001\n", line) + DIFF)).report == report


def test_a_header(tmp_path: Path) -> None:
    mutant = read_mutant(written(tmp_path, HEADER + DIFF))
    assert (mutant.name, mutant.what, mutant.report, mutant.flavor) == ("some-bug", "a bug", "001", "base")
    assert (mutant.kernels, mutant.kinds, mutant.functions) == (("6.12", "6.1"), ("kasan", "oops"), ("crypt_map",))
    assert mutant.is_for("6.1.170-farm")
    assert not mutant.is_for("6.18.1")


@pytest.mark.parametrize(("old", "new", "said"), [
    ("Report: 001", "Report: one two", "Report"),
    ("Mutant: a bug\n", "", "Mutant: Field required"),
    ("Kernels: 6.12, 6.1", "Kernels: ,", "Kernels"),
    ("Kind: kasan,", "Kind: kasam,", "kasam is none of"),
    ("Function: ", "Funktion: ", "Funktion"),
    ("Report: 001", "Report: 001\nReport: 002", "the key Report twice"),
    ("test_crypt.py::test_crypt_on_zones", "test_crypt.py", "Testcase"),
    (DIFF, "\nWhy.\n", "no diff"),
])
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = HEADER + DIFF
    assert old in text
    path = written(tmp_path, text.replace(old, new))
    with pytest.raises(UserError, match=said) as caught:
        read_mutant(path)
    assert str(path) in str(caught.value)


def test_by_name_or_path(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + DIFF)
    assert [one.name for one in load_mutants((), tmp_path)] == ["some-bug"]
    assert [one.name for one in load_mutants(["some-bug.patch"], tmp_path)] == ["some-bug"]
    assert [one.path for one in load_mutants([str(path)], tmp_path / "none")] == [path]
    with pytest.raises(UserError, match=r"no mutant other.*Known are some-bug"):
        load_mutants(["other"], tmp_path)


def test_two_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + DIFF)
    (tmp_path / "other").mkdir()
    other = written(tmp_path / "other", HEADER + DIFF)
    assert [one.path for one in load_mutants(["some-bug", str(path)], tmp_path)] == [path]
    with pytest.raises(UserError, match=r"Two mutants are called some-bug: .*Rename one"):
        load_mutants([str(path), str(other)], tmp_path / "none")
