"""What the tests with real guests share: a kernel, an image and an accelerator, through the cache."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.enter import FILE
from farm.host.accel import Acceleration
from farm.host.cache import Store
from farm.host.workdir import Workdir
from farm.image import GuestImage, build_image
from farm.kernel import BuildRequest, Kernel, build
from farm.kernel.values import ignore
from farm.model import Machine
from farm.probe import acceleration
from farm.target import Target

# The smallest machine that every test is happy with.
BOOTS = Machine(cpus=2, memory_mib=512)
PATCHES = Path(__file__).parent / "patches"
# One kernel with all checks for all who need one; its crash test and its dm-linear have more bugs than Linux has.
DEBUG = ("--flavor=debug", *(f"--patch={PATCHES / name}.patch" for name in ("lkdtm-more", "dm-linear-leak")))


@pytest.fixture(scope="session")
def farm_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, dict[str, Any]]]:
    """Runs the testcases of a text by `farm run` and returns each one's result.json, with its `directory`, by name.

    With --keep-on-failure, `visit` is called with the cell whose guest is kept, and has to let it go.
    """
    def farm_run(text: str, *options: str, status: int = 1,
                 visit: Callable[[Path], None] | None = None) -> dict[str, dict[str, Any]]:
        directory = tmp_path_factory.mktemp("inner")
        (directory / "test_in.py").write_text(text)
        with (directory / "said").open("w+") as said:
            child = subprocess.Popen(
                [sys.executable, "-m", "farm", "run", "test_in.py", "--runs-dir", "runs", *options],
                cwd=directory, stdout=said, stderr=subprocess.STDOUT)
            try:
                while visit is not None and child.poll() is None:
                    if kept := list(directory.glob(f"runs/*/*/{FILE}")):
                        visit(kept[0].parent)
                        break
                    time.sleep(0.2)
                child.wait(3600)
            finally:
                child.kill()
                child.wait()
            said.seek(0)
            print(said.read()[-10000:])
        assert child.returncode == status
        return {path.parent.name.partition(".")[2]: {**json.loads(path.read_text()), "directory": path.parent}
                for path in directory.glob("runs/*/*/result.json")}

    return farm_run


@pytest.fixture(scope="session")
def workdir() -> Workdir:
    return Workdir.default()


@pytest.fixture(scope="session")
def store(workdir: Workdir) -> Store:
    return Store(workdir.directory("store"))


@pytest.fixture(scope="session")
def base_kernel(workdir: Workdir, store: Store) -> Kernel:
    """The base flavor of the farm's default kernel; a fixture of its own because its cache entry lives as long."""
    return build(BuildRequest(), workdir, store, ignore)


@pytest.fixture(scope="session")
def bzimage(base_kernel: Kernel) -> Path:
    return base_kernel.image


@pytest.fixture(scope="session")
def guest_image(workdir: Workdir, store: Store) -> GuestImage:
    return build_image("debian", workdir, store)


@pytest.fixture(scope="session")
def accelerated(bzimage: Path, guest_image: GuestImage, workdir: Workdir) -> Acceleration:
    """The accelerator that works here."""
    return acceleration("auto", bzimage, guest_image, workdir)


@pytest.fixture
def make(
    bzimage: Path, guest_image: GuestImage, accelerated: Acceleration, tmp_path: Path
) -> Iterator[Callable[..., Target]]:
    """Makes targets; they are off after the test whatever happened."""
    made: list[Target] = []

    def make(machine: Machine = BOOTS, **changes: Any) -> Target:
        directory = tmp_path / f"cell{len(made)}"
        directory.mkdir()
        values = {"kernel": bzimage, "image": guest_image, "acceleration": accelerated, "directory": directory}
        made.append(Target(machine=machine, **{**values, **changes}))
        return made[-1]

    yield make
    for target in made:
        target.close()


@pytest.fixture
def boot(make: Callable[..., Target]) -> Callable[..., Target]:
    """Makes targets and boots them."""
    def boot(*args: Any, **changes: Any) -> Target:
        target = make(*args, **changes)
        target.start()
        return target

    return boot
