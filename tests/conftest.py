"""What all tests share: their order, and how two workers of pytest-xdist share them."""

from pathlib import PurePath

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Tests with real guests lie here.
E2E = "tests/e2e/"
# Of those, in this order, who builds in the farm's own kernel trees, looks at what the cache holds, or needs the debug
# kernel, which takes longer to build than all others; the rest needs nothing but guests of base.
BUILDERS = ("test_build", "test_bisect", "test_image", "test_nightly", "test_qualify", "test_repro", "test_run",
            "test_solve", "test_debug_reports", "test_evidence")

# How long an example takes says more about the host than about the farm.
settings.register_profile("farm", deadline=None)
settings.load_profile("farm")


def lane(nodeid: str) -> str:
    """The tests of a lane are run by one worker, one after the other: builders do not disturb each other."""
    file = nodeid.partition("::")[0]
    if not file.startswith(E2E):
        return file
    return "kernels" if PurePath(file).stem in BUILDERS else "guests"


def turn(nodeid: str) -> int:
    """Quick tests first, those that build next, and the rest last."""
    stem = PurePath(nodeid.partition("::")[0]).stem
    if not nodeid.startswith(E2E):
        return 0
    return 1 + BUILDERS.index(stem) if stem in BUILDERS else 1 + len(BUILDERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: turn(item.nodeid))


class Lanes(LoadScopeScheduling):
    """Lanes in the order of their first tests."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return lane(nodeid)


@pytest.hookimpl(optionalhook=True)  # `-p no:xdist` is a way to run them, too
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    return Lanes(config, log)
