"""The guest image, built by the `farm` command as a user runs it."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from farm.image import build_image
from tests.e2e.leftovers import bearers, mounts
from tests.unit.host.owners import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

FARM = [sys.executable, "-m", "farm", "image"]


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


@pytest.fixture
def start(tmp_path, scratch):
    """Starts `farm image` with a cache of its own; it is ended after the test whatever happened."""
    started = []

    def start(*arguments, **environment):
        started.append(subprocess.Popen(
            [*FARM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "FARM_CACHE": str(tmp_path / "cache"), "FARM_TMPDIR": str(scratch), **environment}))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.communicate()


def entries(tmp_path):
    return list((tmp_path / "cache" / "store").glob("image/*"))


def test_the_image_belongs_to_this_cache(guest_image):
    assert stat.S_IMODE(guest_image.key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(guest_image.path.stat().st_mode) == 0o444
    assert stat.S_IMODE(guest_image.path.parent.stat().st_mode) == 0o700
    assert guest_image.host_key.startswith("ssh-ed25519 ")


def test_an_image_is_built_once(guest_image, workdir, store):
    again = build_image("debian", workdir, store, lambda phase: pytest.fail(f"built again: {phase}"))
    assert again.cached
    assert again == guest_image


@pytest.mark.parametrize(("number", "file"), [(signal.SIGKILL, "usr/bin/dpkg"), (signal.SIGINT, "etc/apt")])
def test_an_interrupted_build_leaves_nothing(start, scratch, tmp_path, number, file):
    child = start()
    assert eventually(lambda: list(scratch.glob(f"farm-*/image-*/mmdebstrap.*/{file}")), 300)
    child.send_signal(number)
    child.communicate(timeout=60)
    assert child.returncode == (-9 if number == signal.SIGKILL else 130)
    assert eventually(lambda: not bearers(scratch))
    assert eventually(lambda: not list(scratch.iterdir()))
    assert not mounts(tmp_path)
    assert not entries(tmp_path)
    assert not list((tmp_path / "cache" / "store").glob("tmp/*/image.ext4"))


@pytest.mark.parametrize(("arguments", "said"), [
    (["--recipe", "nosuch"], "no such recipe. Known are: debian"),
    (["--recipe", "./bad"], "bad/recipe.toml: packages: Field required"),
])
def test_a_bad_recipe_is_one_sentence(start, tmp_path, monkeypatch, arguments, said):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "recipe.toml").write_text('suite = "bookworm"\n')
    monkeypatch.chdir(tmp_path)
    child = start(*arguments)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 129
    assert said in errors
    assert "Traceback" not in errors
    assert not entries(tmp_path)


def test_a_package_that_does_not_exist(start, tmp_path, scratch):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "recipe.toml").write_text('suite = "bookworm"\npackages = ["no-such-package"]\n')
    child = start("--recipe", f"{tmp_path}/bad")
    _, errors = child.communicate(timeout=600)
    assert child.returncode == 128
    assert "Unable to locate package no-such-package" in errors
    assert "The whole log: " in errors
    assert Path(errors.rpartition("The whole log: ")[2].strip()).is_file()
    assert not list(scratch.iterdir())
    assert not entries(tmp_path)
