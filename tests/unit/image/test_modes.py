"""Modes of what is made do not depend on the caller's umask, and keys are nobody else's."""

import os
import shutil
import stat

import pytest

from farm.deadline import Deadline
from farm.errors import UserError
from farm.host import process
from farm.host.cache import Store
from farm.host.workdir import Workdir
from farm.image.build import CLIENT_KEY, HOST_KEY, IMAGE, KIND, _finish_tree, build_image, write_keys
from farm.image.plan import mke2fs_argv
from farm.image.recipe import load_recipe
from farm.image.rekey import rekeyed


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_an_overlay_is_roots_whatever_the_umask(tmp_path, umask):
    checkout, tree, folder = tmp_path / "recipe", tmp_path / "tree", tmp_path / "folder"
    shutil.copytree(load_recipe("debian").overlay.parent, checkout)
    for path in (checkout, *checkout.rglob("*")):
        path.chmod(mode(path) & ~umask)
    (checkout / "overlay/etc/link").symlink_to("fstab")
    for path in (tree / "etc/ssh", tree / "usr/sbin", folder):
        path.mkdir(parents=True)
    for path in (tree, tree / "etc", tree / "usr"):
        path.chmod(0o755)
    outside = tmp_path / "of this host"
    outside.write_text("mine")
    (tree / "etc/fstab").symlink_to(outside)
    _finish_tree(load_recipe(str(checkout)), tree, folder)
    assert outside.read_text() == "mine", "a link in the tree is one of the guest's"
    assert [mode(tree / name) for name in ("", "etc", "usr")] == [0o755] * 3
    assert [mode(tree / name) for name in ("etc/fstab", "etc/ssh/sshd_config")] == [0o644] * 2
    assert [mode(tree / name) for name in ("usr/sbin/farm-init", "var/log", "var")] == [0o755] * 3
    assert (tree / "etc/link").readlink().name == "fstab"
    assert not (tree / "etc/fstab").is_symlink()
    assert mode(tree / "etc/ssh/ssh_host_ed25519_key") == mode(folder / CLIENT_KEY) == 0o600


@pytest.mark.parametrize(("more", "overlay"), [
    ('remove = ["/var/run/mine"]', ""), ('directories = ["/var/run/new"]', ""), ("", "var/run/mine"),
    ('directories = ["/var/run"]', "")])
def test_a_link_of_the_guest_does_not_lead_into_this_host(tmp_path, more, overlay):
    """/var/run and the like are absolute links in Debian."""
    recipe, tree, host = tmp_path / "recipe", tmp_path / "tree", tmp_path / "host"
    (recipe / "overlay").mkdir(parents=True)
    (recipe / "recipe.toml").write_text(f'suite = "bookworm"\npackages = ["fio"]\n{more}\n')
    if overlay:
        (recipe / "overlay" / overlay).parent.mkdir(parents=True)
        (recipe / "overlay" / overlay).write_text("the guest's")
    host.mkdir()
    (host / "mine").write_text("mine")
    (tree / "etc/ssh").mkdir(parents=True)
    (tree / "var").mkdir()
    (tree / "var/run").symlink_to(host)
    with pytest.raises(UserError, match="lies behind a link of the guest"):
        _finish_tree(load_recipe(str(recipe)), tree, tmp_path)
    assert [(path.name, path.read_text()) for path in host.iterdir()] == [("mine", "mine")]


def test_the_keys_of_the_cache_are_nobody_elses(tmp_path, umask):
    """Also in an entry that an older farm made."""
    def make(folder):
        (folder / "etc/ssh").mkdir(parents=True)
        write_keys(folder, folder)
        shutil.rmtree(folder / "etc")
        (folder / IMAGE).write_bytes(b"image")
        return {}

    store = Store(tmp_path / "store")
    entry = store.build(KIND, load_recipe("debian").digest, make)
    entry.path.chmod(0o755)
    image = build_image("debian", Workdir(tmp_path / "cache"), store)
    assert mode(image.path.parent) == 0o700
    assert mode(image.key_file) == 0o600


def test_an_image_that_leaves_has_keys_of_its_own_wherever_it_is_made(tmp_path):
    tree, folder = tmp_path / "tree", tmp_path / "with blanks"
    (tree / "etc/ssh").mkdir(parents=True)
    folder.mkdir()
    write_keys(tree, tmp_path)
    process.run(mke2fs_argv(tree, tmp_path / IMAGE, 16), deadline=Deadline(60))
    rekeyed(tmp_path / IMAGE, folder)
    copy, host = (folder / IMAGE).read_bytes(), (folder / HOST_KEY).read_bytes()
    assert host not in ((tmp_path / HOST_KEY).read_bytes(), b"")
    for name in ("etc/ssh/ssh_host_ed25519_key", "etc/ssh/authorized_keys"):
        assert (tree / name).read_bytes() not in copy
    assert mode(folder / IMAGE) == mode(folder / CLIENT_KEY) == 0o600
