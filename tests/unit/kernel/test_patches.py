"""Patches in every form in which people hand them on, and those that do not apply."""

from pathlib import Path

import pytest

from farm.errors import UserError
from farm.host.workdir import Workdir
from farm.kernel import patches, trees
from farm.kernel.git import Repository
from farm.kernel.sources import resolve
from farm.kernel.values import BuildRequest
from tests.unit.kernel.conftest import run_git


def edit(tree: Path, file: str, old: str, new: str) -> None:
    path = tree / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def series(user_tree: Path) -> Path:
    """The user's tree with two more commits on a branch, `one` and `two`; `main` is checked out."""
    run_git(user_tree, "checkout", "-q", "-b", "topic")
    edit(user_tree, "drivers/a.c", "int line3;", "int grüße;")
    run_git(user_tree, "commit", "-q", "-a", "-m", "one: grüße")
    run_git(user_tree, "tag", "one")
    edit(user_tree, "drivers/a.c", "int line30;", "int thirty;")
    (user_tree / "drivers" / "new.c").write_text("int new;\n")
    run_git(user_tree, "add", "-A")
    run_git(user_tree, "commit", "-q", "-m", "two")
    run_git(user_tree, "tag", "two")
    run_git(user_tree, "checkout", "-q", "main")
    return user_tree


def apply(tree: Path, workdir: Workdir, *files: Path) -> Path:
    """The work tree with the patches on top of `main`."""
    source = resolve(BuildRequest(source=str(tree), rev="main"), workdir)
    with trees.opened(workdir, source.tree) as kept, kept.scratch() as scratch:
        base = source.prepare(kept.repository, scratch)
        read = [patches.read(file) for file in files]
        commit = patches.commit(Repository(kept.repository), base, read, scratch)
        assert commit == patches.commit(Repository(kept.repository), base, read, scratch)
        kept.checkout(commit)
    return kept.work


class TestForms:
    def test_no_patch_is_the_base(self, series: Path, workdir: Workdir) -> None:
        assert "int line3;" in (apply(series, workdir) / "drivers" / "a.c").read_text()

    def test_a_plain_diff(self, series: Path, tmp_path: Path, workdir: Workdir) -> None:
        diff = tmp_path / "x.diff"
        diff.write_text(run_git(series, "diff", "main", "two") + "\n")
        work = apply(series, workdir, diff)
        assert "int thirty;" in (work / "drivers" / "a.c").read_text()
        assert (work / "drivers" / "new.c").read_text() == "int new;\n"

    def test_a_diff_without_git_s_header(self, series: Path, tmp_path: Path, workdir: Workdir) -> None:
        diff = tmp_path / "x.diff"
        lines = run_git(series, "diff", "main", "one").splitlines()
        diff.write_text("\n".join(line for line in lines if not line.startswith(("diff --git", "index "))) + "\n")
        assert "int grüße;" in (apply(series, workdir, diff) / "drivers" / "a.c").read_text()

    def test_a_series_of_format_patch_files(self, series: Path, tmp_path: Path, workdir: Workdir) -> None:
        run_git(series, "format-patch", "-q", "--cover-letter", "-o", str(tmp_path / "out"), "main..two")
        files = sorted((tmp_path / "out").glob("000[12]*"))
        work = apply(series, workdir, *files)
        assert (work / "drivers" / "new.c").exists()
        assert "int grüße;" in (work / "drivers" / "a.c").read_text()

    def test_an_mbox_with_a_cover_letter(self, series: Path, tmp_path: Path, workdir: Workdir) -> None:
        mbox = tmp_path / "series.mbox"
        run_git(series, "format-patch", "-q", "--cover-letter", "-o", str(tmp_path / "out"), "main..two")
        mbox.write_text("".join(file.read_text() for file in sorted((tmp_path / "out").iterdir())))
        work = apply(series, workdir, mbox)
        assert (work / "drivers" / "new.c").exists()
        assert "int thirty;" in (work / "drivers" / "a.c").read_text()

    def test_a_mail_in_base64(self, series: Path, tmp_path: Path, workdir: Workdir) -> None:
        import base64

        diff = run_git(series, "diff", "main", "one") + "\n"
        mail = tmp_path / "mail"
        mail.write_text(
            "From: A <a@example.org>\nSubject: [PATCH] x\nMIME-Version: 1.0\n"
            "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: base64\n\n"
            + base64.encodebytes(f"words\n---\n{diff}".encode()).decode())
        assert "int grüße;" in (apply(series, workdir, mail) / "drivers" / "a.c").read_text()

    def test_the_index_of_the_kept_tree_is_not_used(self, series: Path, tmp_path: Path, workdir: Workdir) -> None:
        diff = tmp_path / "x.diff"
        diff.write_text(run_git(series, "diff", "main", "one") + "\n")
        work = apply(series, workdir)
        before = (work / "drivers" / "b.c").stat().st_mtime_ns
        apply(series, workdir, diff)
        assert (work / "drivers" / "b.c").stat().st_mtime_ns == before


class TestMistakes:
    def fails(self, tree: Path, workdir: Workdir, *files: Path) -> str:
        with pytest.raises(UserError) as caught:
            apply(tree, workdir, *files)
        return str(caught.value)

    def test_a_hunk_that_does_not_match_is_named(self, series: Path, tmp_path: Path, workdir: Workdir) -> None:
        diff = tmp_path / "x.diff"
        text = run_git(series, "diff", "main", "two", "--", "drivers/a.c") + "\n"
        diff.write_text(text.replace(" int line29;", " int never29;"))
        said = self.fails(series, workdir, diff)
        assert f"--patch {diff} does not apply: drivers/a.c:28 (hunk 2, @@ -28,7 +28,7 @@" in said
        assert "int line30;" in (apply(series, workdir) / "drivers" / "a.c").read_text()

    def test_a_mail_in_the_middle_is_numbered(self, series: Path, tmp_path: Path, workdir: Workdir) -> None:
        mbox = tmp_path / "m"
        text = run_git(series, "format-patch", "--stdout", "main..two") + "\n"
        mbox.write_text(text.replace(" int line29;", " int x;"))
        assert f"--patch {mbox}, mail 2, does not apply: drivers/a.c:28" in self.fails(series, workdir, mbox)

    def test_a_patch_that_is_already_in(self, series: Path, tmp_path: Path, workdir: Workdir) -> None:
        diff = tmp_path / "x.diff"
        diff.write_text(run_git(series, "diff", "old", "new") + "\n")
        assert self.fails(series, workdir, diff).endswith("It is already in the source.")

    def test_a_file_that_the_source_does_not_have(self, series: Path, tmp_path: Path, workdir: Workdir) -> None:
        diff = tmp_path / "x.diff"
        diff.write_text(run_git(series, "diff", "main", "one").replace("drivers/a.c", "drivers/gone.c") + "\n")
        assert "drivers/gone.c does not exist in the source" in self.fails(series, workdir, diff)

    @pytest.mark.parametrize(("content", "message"), [
        ("", "is empty"),
        ("just words\n", "No valid patches"),
        ("From: a\nSubject: b\n\nonly words\n", "none of its 1 mails has a diff"),
        ("--- a/drivers/b.c\n+++ b/drivers/b.c\n@@ -1,1 +1,2 @@\n int b = 2;\n", "corrupt patch at line"),
    ])
    def test_files_that_are_no_patches(
        self, series: Path, tmp_path: Path, workdir: Workdir, content: str, message: str
    ) -> None:
        file = tmp_path / "x.patch"
        file.write_text(content)
        assert message in self.fails(series, workdir, file)

    def test_a_patch_cannot_reach_outside_of_the_tree(self, series: Path, tmp_path: Path, workdir: Workdir) -> None:
        diff = tmp_path / "x.diff"
        diff.write_text("--- /dev/null\n+++ b/../../evil\n@@ -0,0 +1 @@\n+x\n")
        assert "invalid path" in self.fails(series, workdir, diff)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="No such file"):
            patches.read(tmp_path / "gone.patch")


def test_a_failing_repository_is_not_the_patch_s_fault() -> None:
    assert patches.explain("error: unable to write file .git/objects/aa: No space left on device\n", "") is None
    assert patches.explain("fatal: unable to read tree\n", "") is None
