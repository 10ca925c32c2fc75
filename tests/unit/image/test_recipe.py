"""Recipes and the commands that follow from them."""

import stat
from pathlib import Path

import pytest

from farm.errors import UserError
from farm.image.plan import apt_options, bootstrap_argv, isolation_argv, mke2fs_argv, sources_lines
from farm.image.recipe import folder_digest, load_recipe

GOOD = 'suite = "bookworm"\npackages = ["fio"]\n'


@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe and returns the name to load it by."""
    def write(text):
        (tmp_path / "recipe.toml").write_text(text)
        return str(tmp_path)
    return write


def test_the_farms_own_recipe():
    found = load_recipe("debian")
    assert found.name == "debian"
    assert (found.overlay / "usr/sbin/farm-init").stat().st_mode & stat.S_IXUSR
    assert {"fio", "cryptsetup-bin", "xfsprogs", "openssh-server"} <= set(found.file.packages)


@pytest.mark.parametrize(("text", "said"), [
    ("suite = ", "is not TOML"),
    (GOOD + "package = []", "package: Extra inputs"),
    ('packages = ["fio"]', "suite: Field required"),
    ('suite = "bookworm"\npackages = ["fio", "no such"]', r"packages\.1: String should match"),
    (GOOD + 'remove = ["boot"]', r"remove\.0: String should match"),
    (GOOD + 'remove = ["/usr/../../etc"]', "remove: /usr/../../etc leads out"),
    (GOOD + "free_mib = 1", "free_mib: Input should be greater"),
])
def test_a_bad_recipe_is_refused_by_place(recipe, text, said):
    with pytest.raises(UserError, match=said):
        load_recipe(recipe(text))


def test_a_folder_needs_no_slash(recipe, monkeypatch):
    folder = Path(recipe(GOOD))
    monkeypatch.chdir(folder.parent)
    assert load_recipe(folder.name).name == folder.name


def test_an_unknown_recipe_names_the_known():
    with pytest.raises(UserError, match=r"no such recipe\. Known are: debian"):
        load_recipe("nosuch")


def test_digest_covers_names_contents_and_modes(tmp_path):
    (tmp_path / "overlay").mkdir()
    file = tmp_path / "overlay" / "init"
    seen = [folder_digest(tmp_path)]
    file.write_text("one")
    seen.append(folder_digest(tmp_path))
    file.write_text("two")
    seen.append(folder_digest(tmp_path))
    file.chmod(0o755)
    seen.append(folder_digest(tmp_path))
    file.rename(tmp_path / "overlay" / "other")
    seen.append(folder_digest(tmp_path))
    (tmp_path / "overlay" / "link").symlink_to("other")
    seen.append(folder_digest(tmp_path))
    assert len(set(seen)) == len(seen)
    assert folder_digest(tmp_path) == seen[-1]


def test_sources_are_the_hosts_own():
    said = ("http://m/debian/ bookworm main\nhttp://m/debian/ bookworm contrib\nhttp://m/debian/ bookworm main\n"
            "http://m/debian/ bookworm-updates main\nhttp://s/ bookworm-security main\nhttp://other/ nodistro main\n")
    assert sources_lines(said, "bookworm") == [
        "deb http://m/debian/ bookworm main contrib", "deb http://m/debian/ bookworm-updates main",
        "deb http://s/ bookworm-security main"]


@pytest.mark.parametrize("said", ["", "http://m/ trixie main\n", "http://m/ bookworm-security main\n"])
def test_without_sources_of_the_release_mmdebstrap_decides(said):
    assert sources_lines(said, "bookworm") == []


def test_settings_that_reach_the_mirror_are_passed_on():
    config = ('Acquire "";\nAcquire::http::Proxy "http://p:3142";\nAcquire::https::Proxy "";\n'
              'APT::Install-Recommends "1";\nAcquire::Check-Valid-Until "false";\nDir::Cache "var/cache/apt";\n')
    assert apt_options(config) == ['Acquire::http::Proxy "http://p:3142"', 'Acquire::Check-Valid-Until "false"']


def test_bootstrap_command(recipe, tmp_path):
    loaded = load_recipe(recipe(GOOD + 'exclude = ["/usr/share/man/*"]'))
    argv = bootstrap_argv(loaded, tmp_path / "tree.tar", options=['A "b"'], sources=["deb http://m/ bookworm main"])
    assert argv[0] == "mmdebstrap"
    assert {"--include=fio", "--dpkgopt=path-exclude=/usr/share/man/*", '--aptopt=A "b"'} <= set(argv)
    assert argv[-3:] == ["bookworm", str(tmp_path / "tree.tar"), "deb http://m/ bookworm main"]


@pytest.mark.parametrize("root", [True, False])
def test_mounts_and_processes_die_with_the_farm(root):
    argv = isolation_argv(root=root)
    assert {"--mount", "--pid", "--kill-child=KILL"} <= set(argv)
    assert ("--map-auto" in argv) == (not root)


def test_file_system_command(tmp_path):
    argv = mke2fs_argv(tmp_path / "tree", tmp_path / "image", 300)
    assert argv[-3:] == [str(tmp_path / "tree"), str(tmp_path / "image"), "300M"]
    assert "^has_journal" in argv[argv.index("-O") + 1]
