"""What all tests share: their order, and how two workers of pytest-xdist share them."""

import gc
import os
import signal
import sys
from pathlib import PurePath

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Tests with real guests lie here.
E2E = "tests/e2e/"
# Of those, in this order, who builds in the farm's own kernel trees, looks at what the cache holds, or needs the debug
# kernel, which takes longer to build than all others: files, or the tests of a file that do. The rest needs nothing but
# guests of base.
BUILDERS = (
    "test_build", "test_bisect",
    "test_nightly::test_a_mutant_of_the_second_night_is_new_and_fixed_in_the_third",
    "test_qualify::test_three_mutants_are_caught_and_a_killed_qualification_goes_on",
    "test_repro", "test_run::test_a_panic_in_dm_crypt_is_named", "test_solve", "test_debug_reports", "test_evidence",
)

# A shell starts what it puts into the background with SIGINT ignored, and children inherit that: they would not notice
# the Ctrl-C that tests send them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where the environment forbids bytecode, as images of containers do, each of the hundreds of farms that the tests start
# would compile all modules anew, and so would each worker those of the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long an example takes says more about the host than about the farm.
settings.register_profile("farm", deadline=None)
settings.load_profile("farm")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """The quick tests go on all CPUs unless `-n` says otherwise; no guest or build would be beside another."""
    option = config.option
    is_worker = hasattr(config, "workerinput")
    is_asked = getattr(option, "numprocesses", 0) is not None  # `-p no:xdist` is a way to run them, too
    if option.markexpr == "not e2e" and not (is_worker or is_asked or option.collectonly or option.usepdb):
        option.numprocesses = "auto"


def builder(nodeid: str) -> int | None:
    """The place of a test among the builders; None when it is none of them."""
    file, _, name = nodeid.partition("::")
    stem = PurePath(file).stem
    places = (BUILDERS.index(one) for one in (stem, f"{stem}::{name}") if one in BUILDERS)
    return next(places, None) if file.startswith(E2E) else None


def lane(nodeid: str) -> str:
    """The tests of a lane are run by one worker, one after the other: builders do not disturb each other."""
    if builder(nodeid) is not None:
        return "kernels"
    return "guests" if nodeid.startswith(E2E) else nodeid.partition("::")[0]


def turn(nodeid: str) -> int:
    """Quick tests first, those that build next, and the rest last."""
    if not nodeid.startswith(E2E):
        return 0
    place = builder(nodeid)
    return 1 + (len(BUILDERS) if place is None else place)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: turn(item.nodeid))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was collected stays until the end: no collection of garbage looks through it again.

    pytest collects all garbage after each of the sessions that tests of plugins have.
    """
    gc.collect()
    gc.freeze()


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
