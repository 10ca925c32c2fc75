"""What of a bundle becomes a command line, and when a replay counts as the same."""

from dataclasses import replace

import pytest

from farm.cli import group
from farm.errors import UserError
from farm.guest.machinetext import namespace_text, parse_namespace
from farm.host.workdir import data_directory
from farm.model import KernelId, Namespace, Outcome, Verdict
from farm.options import OPTIONS
from farm.repro.archive import unpack
from farm.repro.recorded import find, load, without_paths
from farm.repro.replay import Comparison, arguments, command_line, differences
from farm.verdict import Cause
from tests.unit.repro.conftest import CELL

NOTHING = {option.name: [] if option.multiple else option.default for option in OPTIONS}
OOPS = Cause("oops", "BUG in f", "f")


@pytest.fixture
def opened(make_bundle, tmp_path):
    """Unpacks the bundle of a run."""
    def opened(**changes):
        directory = tmp_path / "u"
        directory.mkdir()
        return unpack(make_bundle(**changes), directory), directory

    return opened


def with_kernel(**changes):
    return replace(CELL, kernel=replace(CELL.kernel, **changes))


def test_the_command_line_is_that_of_the_run(opened):
    manifest, directory = opened()
    argv = arguments(manifest, directory, NOTHING, trust=True)
    assert argv == [
        "run", f"{data_directory('testcases') / 'test_crypt.py'}::test_xfs_on_crypt_on_pi", "--json",
        "--source=debian:linux-source-6.12", f"--patch={directory / 'patches/01.patch'}", "--config=XFS_FS=y",
        "--seed=7", "--duration=4.0", "--machine=cpus=2,memory=512M", "--namespace=data:size=64M",
        "--namespace=swap:size=32M,pi=1,ms=8", "--stack=data / crypt / ext4"]


@pytest.mark.parametrize("command", [["shell"], ["bundle", "--with-kernel"], ["dump"]], ids=" ".join)
def test_an_unpacked_bundle_is_no_run_of_this_host(opened, monkeypatch, tmp_path, command):
    """Its testcase.py would be run here, its patches built, and its build be looked for in the cache."""
    monkeypatch.setenv("FARM_CACHE", str(tmp_path / "cache"))
    _, directory = opened()
    (directory / "evidence").mkdir()
    (directory / "evidence/vmcore").write_bytes(b"")
    with pytest.raises(UserError, match="unpacked bundle"):
        group.main([*command, str(directory)], standalone_mode=False)
    with pytest.raises(UserError, match="unpacked bundle"):
        find(directory.parent / directory.name)


def test_patches_of_strangers_are_not_built_unasked(opened):
    manifest, directory = opened()
    with pytest.raises(UserError, match="--trust"):
        arguments(manifest, directory, NOTHING, trust=False)


@pytest.mark.parametrize("config", ['LOCALVERSION="$(shell touch /tmp/x)"', 'EXTRA_FIRMWARE="passwd"'])
def test_nor_are_configurations_that_name_files_or_functions_of_make(opened, make_run, config):
    manifest, directory = opened()
    told = manifest.model_copy(update={"cell": with_kernel(patches=(), config=(config,))})
    with pytest.raises(UserError, match="--trust"):
        arguments(told, directory, NOTHING, trust=False)


def test_the_command_that_repeats_it_is_one_that_works(opened):
    manifest, directory = opened()
    assert command_line(manifest, "my b.gz") == "farm replay 'my b.gz' --trust"
    assert "farm replay a.farm.tar.gz --trust\n" in (directory / "README.md").read_text()
    with_one = manifest.model_copy(update={"files": {**manifest.files, "bzImage": manifest.files["config"]}})
    assert command_line(with_one, "b") == "farm replay b"
    of_a_tree = manifest.model_copy(update={"cell": with_kernel(source="0" * 40, patches=())})
    assert command_line(of_a_tree, "b") == "farm replay b --tree PATH"
    ready = manifest.model_copy(update={"cell": with_kernel(source="image:" + "0" * 64)})
    assert command_line(ready, "b") == "farm replay b --kernel-image FILE"


def test_a_kernel_without_patches_is_built_unasked(opened):
    manifest, directory = opened()
    files = {name: one for name, one in manifest.files.items() if not name.startswith("patches/")}
    told = manifest.model_copy(update={"cell": with_kernel(patches=()), "files": files})
    assert "--config=XFS_FS=y" in arguments(told, directory, NOTHING, trust=False)


def test_the_kernel_of_the_bundle_needs_no_building(opened):
    manifest, directory = opened()
    told = manifest.model_copy(update={"files": {**manifest.files, "bzImage": manifest.files["config"]}})
    argv = arguments(told, directory, NOTHING, trust=False)
    assert f"--kernel-image={directory / 'bzImage'}" in argv
    assert not [word for word in argv if word.startswith(("--patch", "--config", "--source"))]


@pytest.mark.parametrize(("kernel", "words"), [
    (KernelId("0" * 40, "6.13", "base", patches=CELL.kernel.patches), "--tree"),
    (KernelId("image:" + "0" * 64, "6.13", "image"), "--kernel-image"),
])
def test_a_kernel_that_is_not_here_has_to_be_named(opened, kernel, words):
    manifest, directory = opened()
    told = manifest.model_copy(update={"cell": replace(CELL, kernel=kernel)})
    with pytest.raises(UserError, match=words):
        arguments(told, directory, NOTHING, trust=True)


def test_a_revision_is_looked_for_in_the_users_tree(opened, tmp_path):
    manifest, directory = opened()
    files = {name: one for name, one in manifest.files.items() if not name.startswith("patches/")}
    told = manifest.model_copy(update={"cell": with_kernel(source="0" * 40, patches=()), "files": files})
    argv = arguments(told, directory, {**NOTHING, "tree": tmp_path}, trust=False)
    assert f"--tree={tmp_path}" in argv
    assert f"--rev={'0' * 40}" in argv


def test_a_testcase_out_of_a_bundle_is_never_run(opened):
    manifest, directory = opened(cell=replace(CELL, testcase="test_of_mine.py::test_it"))
    with pytest.raises(UserError, match="not one of the farm's own"):
        arguments(manifest, directory, NOTHING, trust=True)


@pytest.mark.parametrize(("outcome", "cause", "verdict"), [
    (Outcome.FAIL, OOPS, Verdict.GOOD),
    (Outcome.FAIL, Cause("oops", "another title in f", "f"), Verdict.GOOD),
    (Outcome.FAIL, Cause("oops", "BUG in g", "g"), Verdict.BAD),
    (Outcome.FAIL, Cause("warning", "W", "f"), Verdict.BAD),
    (Outcome.PASS, None, Verdict.BAD),
    (Outcome.SKIP, None, Verdict.SKIP),
    (Outcome.ERROR, Cause("infrastructure", "disk full"), Verdict.STOP),
])
def test_the_same_kind_in_the_same_function_is_the_same(opened, outcome, cause, verdict):
    manifest, _ = opened()
    told = manifest.model_copy(update={"cause": OOPS})
    assert Comparison(told, outcome, "", cause, None, ()).verdict is verdict


def test_what_is_not_the_same_is_said(opened, make_run):
    manifest, directory = opened()
    here = make_run(cell=replace(CELL, image="d" * 64))
    (here / "config").write_text("CONFIG_XFS_FS=y\nCONFIG_KASAN=y\n")
    (directory / "testcase.py").write_text("another\n")
    found = " ".join(differences(manifest, directory, here))
    assert "test_crypt.py is another version" in found
    assert "dddddddddddd instead of cccccccccccc" in found
    assert "CONFIG_KASAN=y" in found
    assert "machine" not in found


def test_a_run_stands_for_the_cell_of_it_that_failed(make_run):
    failed = make_run()
    make_run(outcome=Outcome.PASS)
    assert find(failed.parent).directory == failed
    make_run()
    with pytest.raises(UserError, match="2 cells that failed"):
        find(failed.parent)


@pytest.mark.parametrize(("prepare", "words"), [
    (lambda path: (path / "result.json").write_text("{"), "no record"),
    (lambda path: (path / "result.json").write_text('{"cell": {}, "outcome": "pass", "title": ""}'), "no cell"),
    (lambda path: (path / "result.json").unlink(), "nothing in it has"),
    (lambda path: (path / "patches/01.patch").write_text("changed"), "patches"),
])
def test_a_directory_that_is_no_run(make_run, prepare, words):
    path = make_run()
    prepare(path)
    with pytest.raises(UserError, match=words):
        _ = find(path).patches


def test_the_host_is_left_out_of_qemus_arguments(make_run):
    assert without_paths("if=none,file=/a/b.c/d.raw,x=/y") == "if=none,file=d.raw,x=/y"
    assert without_paths("/a/b/bzImage") == "bzImage"


@pytest.mark.parametrize("cpus", [1, 2])
def test_what_every_guest_of_its_shape_gets_is_not_the_runs_own(make_run, cpus):
    run = load(make_run(cell=replace(CELL, machine=replace(CELL.machine, cpus=cpus))))
    assert run.append == ("workqueue.watchdog_thresh=20",)


@pytest.mark.parametrize("namespace", [
    *CELL.machine.namespaces, Namespace("z", 64, block=4096, zone_mib=16),
    Namespace("p", 32, pi=3, ms=16, guard=64, pi_first=True)])
def test_a_namespace_is_said_so_that_it_comes_back(namespace):
    assert parse_namespace(namespace_text(namespace)) == namespace
