"""Finding sources, and getting at them without touching the user's repository."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from farm.errors import InfrastructureError, UserError
from farm.host.workdir import Workdir
from farm.kernel import sources, trees
from farm.kernel.git import Repository
from farm.kernel.sources import resolve
from farm.kernel.values import BuildRequest
from tests.unit.kernel.conftest import run_git


def snapshot(directory: Path) -> dict[str, tuple[int, int]]:
    """Time and size of every file below, .git included."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in sorted(directory.rglob("*"))
    }


def checked_out(tree: Path, rev: str, workdir: Workdir) -> trees.Tree:
    source = resolve(BuildRequest(source=str(tree), rev=rev), workdir)
    with trees.opened(workdir, source.tree) as kept, kept.scratch() as scratch:
        kept.checkout(source.prepare(kept.repository, scratch))
    return kept


class TestGit:
    def test_a_revision_is_resolved_to_a_full_id(self, user_tree: Path, workdir: Workdir) -> None:
        source = resolve(BuildRequest(source=str(user_tree), rev="old"), workdir)
        assert source.name == run_git(user_tree, "rev-parse", "old")
        assert source.identity == f"commit:{source.name}"

    def test_head_is_the_default(self, user_tree: Path, workdir: Workdir) -> None:
        assert resolve(BuildRequest(source=str(user_tree)), workdir).name == run_git(user_tree, "rev-parse", "new")

    def test_the_user_s_repository_and_dirty_tree_stay_as_they_are(self, user_tree: Path, workdir: Workdir) -> None:
        (user_tree / "drivers" / "a.c").write_text("dirty\n")
        (user_tree / "untracked").write_text("x")
        before = snapshot(user_tree)
        tree = checked_out(user_tree, "old", workdir)
        checked_out(user_tree, "new", workdir)
        assert snapshot(user_tree) == before
        assert (tree.work / "drivers" / "a.c").read_text().startswith("int line0;")
        assert not (tree.work / "untracked").exists()

    def test_only_files_that_differ_are_written(self, user_tree: Path, workdir: Workdir) -> None:
        tree = checked_out(user_tree, "old", workdir)
        before = snapshot(tree.work)
        checked_out(user_tree, "new", workdir)
        after = snapshot(tree.work)
        changed = {Path(path).name for path in after if after[path] != before.get(path) and Path(path).is_file()}
        assert changed == {"b.c"}

    def test_what_was_changed_or_added_in_the_work_tree_is_undone(self, user_tree: Path, workdir: Workdir) -> None:
        tree = checked_out(user_tree, "new", workdir)
        (tree.work / "drivers" / "a.c").write_text("edited\n")
        (tree.work / "drivers" / "left.o").write_text("x")
        (tree.work / "Kconfig").unlink()
        (tree.repository / "index.lock").touch()
        checked_out(user_tree, "new", workdir)
        assert (tree.work / "drivers" / "a.c").read_text().startswith("int line0;")
        assert not (tree.work / "drivers" / "left.o").exists()
        assert (tree.work / "Kconfig").exists()

    def test_a_linked_worktree_a_shallow_clone_and_a_clone_that_borrows(
        self, user_tree: Path, tmp_path: Path, workdir: Workdir
    ) -> None:
        run_git(user_tree, "worktree", "add", "-q", str(tmp_path / "linked"), "old")
        run_git(tmp_path, "clone", "-q", "--depth=1", f"file://{user_tree}", "shallow")
        run_git(tmp_path, "clone", "-q", "--shared", str(user_tree), "shared")
        worktrees = snapshot(user_tree / ".git" / "worktrees")
        for name, content in (("linked", "int b;\n"), ("shallow", "int b = 2;\n"), ("shared", "int b = 2;\n")):
            tree = checked_out(tmp_path / name, "HEAD", workdir)
            assert (tree.work / "drivers" / "b.c").read_text() == content
        assert snapshot(user_tree / ".git" / "worktrees") == worktrees

    def test_a_partial_clone_is_not_made_to_fetch(self, user_tree: Path, tmp_path: Path, workdir: Workdir) -> None:
        run_git(user_tree, "config", "uploadpack.allowFilter", "true")
        run_git(tmp_path, "clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{user_tree}", "partial")
        before = snapshot(tmp_path / "partial")
        with pytest.raises(UserError, match="is a partial clone that lacks 5 objects") as caught:
            checked_out(tmp_path / "partial", "HEAD", workdir)
        assert snapshot(tmp_path / "partial") == before
        way_out = str(caught.value).partition("`")[2].partition("`")[0]
        subprocess.run(way_out, shell=True, check=True)
        assert (checked_out(tmp_path / "partial", "HEAD", workdir).work / "Makefile").exists()

    def test_worktrees_of_one_repository_share_a_kept_tree(
        self, user_tree: Path, tmp_path: Path, workdir: Workdir
    ) -> None:
        run_git(user_tree, "worktree", "add", "-q", str(tmp_path / "linked"), "old")
        names = {resolve(BuildRequest(source=str(path)), workdir).tree for path in (user_tree, tmp_path / "linked")}
        assert len(names) == 1

    def test_variables_of_a_git_hook_do_not_redirect(
        self, user_tree: Path, tmp_path: Path, workdir: Workdir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
            monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
        assert (checked_out(user_tree, "old", workdir).work / "Makefile").exists()
        assert not (tmp_path / "elsewhere").exists()

    def test_unknown_revision(self, user_tree: Path, workdir: Workdir) -> None:
        with pytest.raises(UserError, match=r"has no revision v9\.9"):
            resolve(BuildRequest(source=str(user_tree), rev="v9.9"), workdir)

    def test_a_revision_that_looks_like_an_option(self, user_tree: Path, workdir: Workdir) -> None:
        with pytest.raises(UserError, match="has no revision --all"):
            resolve(BuildRequest(source=str(user_tree), rev="--all"), workdir)

    def test_no_git_repository(self, tmp_path: Path, workdir: Workdir) -> None:
        with pytest.raises(UserError, match="is not a git repository"):
            resolve(BuildRequest(source=str(tmp_path)), workdir)
        with pytest.raises(UserError, match="no such directory"):
            resolve(BuildRequest(source=str(tmp_path / "gone")), workdir)

    def test_not_a_kernel_tree(self, user_tree: Path, workdir: Workdir) -> None:
        run_git(user_tree, "rm", "-q", "Kconfig")
        run_git(user_tree, "commit", "-q", "-m", "no kernel")
        with pytest.raises(UserError, match="is not a kernel tree: it has no Kconfig"):
            checked_out(user_tree, "HEAD", workdir)


@pytest.fixture
def package(user_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tarball as Debian's linux-source packages have it, with an executable, a link and an ignored file."""
    (user_tree / "scripts" / "run.sh").write_text("#!/bin/sh\n")
    (user_tree / "scripts" / "run.sh").chmod(0o755)
    (user_tree / "link").symlink_to("drivers/a.c")
    (user_tree / ".gitignore").write_text("*.dts\n")
    (user_tree / "kept.dts").write_text("ignored by git, needed by the build\n")
    shutil.rmtree(user_tree / ".git")
    monkeypatch.setattr(sources, "DEBIAN_DIRECTORY", tmp_path)
    tarball = tmp_path / "linux-source-9.9.tar.xz"
    with tarfile.open(tarball, "w:xz") as tar:
        tar.add(user_tree, arcname="linux-source-9.9")
    return tarball


class TestDebian:
    REQUEST = BuildRequest(source="debian:linux-source-9.9")

    def test_the_tarball_becomes_a_work_tree_with_the_same_files(
        self, package: Path, user_tree: Path, workdir: Workdir
    ) -> None:
        source = resolve(self.REQUEST, workdir)
        with trees.opened(workdir, source.tree) as tree, tree.scratch() as scratch:
            tree.checkout(source.prepare(tree.repository, scratch))
        assert subprocess.run(["diff", "-r", "--no-dereference", user_tree, tree.work], check=False).returncode == 0
        assert os.access(tree.work / "scripts" / "run.sh", os.X_OK)
        assert not (tree.directory / "tmp").exists()

    def test_a_tree_made_of_it_stands_on_its_own(self, package: Path, tmp_path: Path, workdir: Workdir) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        sources.import_tree(self.REQUEST.source, first, workdir, checkout=True)
        run_git(first, "commit", "-q", "--allow-empty", "-m", "mine")
        checked_out(first, "HEAD", workdir)  # the farm now reads the objects of the first from there
        commit = sources.import_tree(self.REQUEST.source, second, workdir, checkout=True)
        shutil.rmtree(first)
        shutil.rmtree(workdir.root)
        assert run_git(second, "rev-parse", "HEAD") == commit
        assert run_git(second, "fsck", "--full", "--no-dangling") == ""
        assert not (second / ".git/objects/info/alternates").exists()
        assert (second / "kept.dts").exists()

    def test_a_directory_is_no_option_of_git(
        self, package: Path, tmp_path: Path, workdir: Workdir, monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        commit = sources.import_tree(self.REQUEST.source, Path("--bare"), workdir, checkout=True)
        assert run_git(tmp_path / "--bare", "rev-parse", "HEAD") == commit

    def test_the_commit_depends_on_nothing_but_the_content(self, package: Path, tmp_path: Path) -> None:
        commits = set()
        for name in ("one", "two"):
            workdir = Workdir(tmp_path / name)
            source = resolve(self.REQUEST, workdir)
            with trees.opened(workdir, source.tree) as tree, tree.scratch() as scratch:
                commits.add(source.prepare(tree.repository, scratch))
                assert source.prepare(tree.repository, scratch) in commits
        assert len(commits) == 1

    def test_the_digest_is_remembered_until_the_file_changes(
        self, package: Path, workdir: Workdir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = resolve(self.REQUEST, workdir)
        with monkeypatch.context() as patched:
            patched.setattr("hashlib.file_digest", lambda *_: pytest.fail("hashed again"))
            assert resolve(self.REQUEST, workdir) == first
        package.write_bytes(package.read_bytes() + b"\0")
        assert resolve(self.REQUEST, workdir).identity != first.identity

    def test_a_broken_tarball_leaves_no_repository(self, package: Path, workdir: Workdir) -> None:
        package.write_bytes(package.read_bytes()[:300])
        source = resolve(self.REQUEST, workdir)
        with trees.opened(workdir, source.tree) as tree:
            with tree.scratch() as scratch, pytest.raises(InfrastructureError, match="cannot be unpacked"):
                source.prepare(tree.repository, scratch)
            assert not tree.repository.exists()

    def test_a_name_that_git_would_take_for_a_command_is_left_out(self, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name in ("top/good.c", "top/evil\nM 100644 inline x", 'top/"quoted'):
                tar.addfile(tarfile.TarInfo(name))
        buffer.seek(0)
        with tarfile.open(fileobj=buffer, mode="r|") as tar:
            assert [path for path, _, _ in sources._members(tar)] == ["good.c"]

    @pytest.mark.parametrize("name", ["linux-source-0.1", "", "../etc/x"])
    def test_a_missing_package_names_the_way_out(self, name: str, workdir: Workdir) -> None:
        with pytest.raises(UserError, match=f"apt-get install {name}"):
            resolve(BuildRequest(source=f"debian:{name}"), workdir)

    def test_a_tarball_has_no_revisions(self, package: Path, workdir: Workdir) -> None:
        with pytest.raises(UserError, match="--rev v1 needs --tree"):
            resolve(BuildRequest(source=self.REQUEST.source, rev="v1"), workdir)


def test_the_farm_s_repository_has_no_hooks_and_collects_no_garbage(user_tree: Path, workdir: Workdir) -> None:
    tree = checked_out(user_tree, "old", workdir)
    assert not (tree.repository / "hooks").exists()
    assert Repository(tree.repository).run("config", "gc.auto").stdout.strip() == "0"


def test_a_repository_made_from_a_package_is_built_where_the_package_is(user_tree: Path, workdir: Workdir) -> None:
    request = BuildRequest(source=str(user_tree))
    own = resolve(request, workdir).tree
    assert own.startswith("git-")
    run_git(user_tree, "config", "farm.package", "linux-source-1-abc")
    assert resolve(request, workdir).tree == own  # nothing of it is kept here
    with trees.opened(workdir, "linux-source-1-abc") as tree, tree.scratch() as scratch:
        subprocess.run(["git", "init", "-q", "--bare", "--template=", str(tree.repository)], check=True)
        source = resolve(request, workdir)
        assert source.tree == "linux-source-1-abc"
        tree.checkout(source.prepare(tree.repository, scratch))
        assert (tree.work / "drivers" / "b.c").read_text() == "int b = 2;\n"
    run_git(user_tree, "config", "farm.package", "../../etc")
    assert resolve(request, workdir).tree == own
