"""What decides about a build, found out without touching a tree."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from farm.errors import InfrastructureError, UserError
from farm.host.cache import Store
from farm.host.tools import TOOLS
from farm.host.workdir import Workdir
from farm.kernel.build import build, plan, require_tools
from farm.kernel.values import BuildRequest
from tests.unit.kernel.conftest import run_git


@pytest.fixture
def request_(user_tree: Path) -> BuildRequest:
    return BuildRequest(source=str(user_tree), rev="new")


class TestKey:
    def test_it_is_the_same_for_the_same_request(self, request_: BuildRequest, workdir: Workdir) -> None:
        assert plan(request_, workdir).key == plan(request_, workdir).key

    def test_names_of_revisions_jobs_and_flavors_do_not_matter(self, request_: BuildRequest, workdir: Workdir) -> None:
        key = plan(request_, workdir).key
        assert plan(replace(request_, rev="main", jobs=7), workdir).key == key

    def test_everything_that_changes_the_kernel_changes_it(
        self, request_: BuildRequest, workdir: Workdir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, two = tmp_path / "1.patch", tmp_path / "2.patch"
        one.write_text("one")
        two.write_text("two")
        keys = {
            plan(changed, workdir).key for changed in (
                request_, replace(request_, rev="old"), replace(request_, flavor="kasan"),
                replace(request_, overrides=("NR_CPUS=4",)), replace(request_, overrides=("NR_CPUS=5",)),
                replace(request_, patches=(one,)), replace(request_, patches=(two,)),
                replace(request_, patches=(one, two)), replace(request_, patches=(two, one)),
            )
        }
        monkeypatch.setattr(importlib.import_module("farm.kernel.build"), "_compiler", lambda: ("gcc 99", "ld 99"))
        assert len(keys | {plan(request_, workdir).key}) == 10

    def test_nothing_is_written_to_a_tree(self, request_: BuildRequest, workdir: Workdir) -> None:
        assert plan(request_, workdir).key
        assert not (workdir.root / "trees").exists()

    @pytest.mark.parametrize(("flavor", "keeps"), [("debuginfo", True), ("debug", True), ("kasan", False)])
    def test_only_a_flavor_with_debug_information_keeps_vmlinux(
        self, request_: BuildRequest, workdir: Workdir, flavor: str, keeps: bool
    ) -> None:
        assert plan(replace(request_, flavor=flavor), workdir).dwarf == keeps

    def test_a_symbol_of_the_command_line_keeps_vmlinux_too(self, request_: BuildRequest, workdir: Workdir) -> None:
        assert plan(replace(request_, overrides=("DEBUG_INFO_DWARF5=y",)), workdir).dwarf


class TestMistakesLeaveNothing:
    def fails(self, request: BuildRequest, workdir: Workdir) -> str:
        store = Store(workdir.root / "store")
        with pytest.raises((UserError, InfrastructureError)) as caught:
            build(request, workdir, store)
        assert store.entries() == []
        assert not list((store.root / "tmp").glob("*"))
        return str(caught.value)

    def test_a_tree_that_is_no_kernel(self, request_: BuildRequest, workdir: Workdir, user_tree: Path) -> None:
        run_git(user_tree, "rm", "-q", "Makefile")
        run_git(user_tree, "commit", "-q", "-m", "x")
        assert "is not a kernel tree: it has no Makefile" in self.fails(replace(request_, rev="main"), workdir)

    def test_a_disk_without_room(
        self, request_: BuildRequest, workdir: Workdir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("farm.kernel.trees.TREE_MIB", 10**9)
        said = self.fails(request_, workdir)
        assert "Building this kernel needs about 100000" in said
        assert "MiB are free" in said

    def test_a_cache_whose_name_make_cannot_cope_with(self, request_: BuildRequest, tmp_path: Path) -> None:
        assert "space or colon" in self.fails(request_, Workdir(tmp_path / "my cache"))


def test_missing_tools_come_with_the_line_that_installs_them() -> None:
    require_tools()
    table = [replace(tool, name="flex", package="flex-nowhere", files=("no/such/file",)) for tool in TOOLS[:1]]
    with pytest.raises(UserError, match=r"needs flex, which this host lacks. Run `.*apt-get install .*flex-nowhere`"):
        require_tools(table)
