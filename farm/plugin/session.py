"""What all cells of one pytest process share: kernel, guest image, accelerator, run directory."""

import random
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path

import pytest

from farm.host.accel import Acceleration
from farm.host.cache import Store
from farm.host.workdir import Workdir
from farm.image import GuestImage, build_image
from farm.kernel import Kernel, build, ready_image
from farm.options import build_request
from farm.progress import Display
from farm.results.directory import new_run_directory

# What the controller of pytest-xdist hands to its workers.
WORKER_KEYS = ("farm_run_directory", "farm_seed")

SESSION_KEY = pytest.StashKey["FarmSession"]()


class FarmSession:
    """Made once in each process, workers of pytest-xdist included; everything in it is made when first needed.

    Builds and images are shared between processes by the store, which builds each of them once.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        handed = getattr(config, "workerinput", {})
        option = config.option
        self.run_directory = Path(
            handed.get("farm_run_directory") or new_run_directory(Path(option.runs_dir)))
        chosen = option.seed if option.seed is not None else random.SystemRandom().getrandbits(31)
        self.seed: int = handed.get("farm_seed", chosen)
        self.workdir = Workdir.default()

    def hand_over(self, workerinput: dict[str, object]) -> None:
        """Give a worker what must be the same in all of them."""
        workerinput.update(zip(WORKER_KEYS, (str(self.run_directory), self.seed), strict=True))

    @cached_property
    def store(self) -> Store:
        return Store(self.workdir.directory("store"))

    @cached_property
    def kernel(self) -> Kernel:
        option = self._config.option
        if option.kernel_image:
            return ready_image(Path(option.kernel_image))
        with self.shown(), Display() as display:
            return build(build_request(vars(option)), self.workdir, self.store, display)

    @cached_property
    def image(self) -> GuestImage:
        with self.shown():
            return build_image(self._config.option.image_recipe, self.workdir, self.store)

    def shown(self) -> AbstractContextManager[None]:
        """Let progress through to the terminal while pytest captures what testcases print."""
        capture = self._config.pluginmanager.getplugin("capturemanager")
        return capture.global_and_fixture_disabled() if capture else nullcontext()

    @cached_property
    def acceleration(self) -> Acceleration:
        from farm.probe import acceleration  # noqa: PLC0415 - it boots a guest, with all that this takes

        return acceleration(self._config.option.accel, self.kernel.image, self.image, self.workdir)
