"""The fixtures that testcases are written with. `pytest --fixtures` shows their docstrings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

from farm.errors import UserError
from farm.image import GuestImage
from farm.kernel import Kernel
from farm.plugin.outcomes import CELL_KEY
from farm.plugin.session import SESSION_KEY, FarmSession
from farm.workload import Background, ChurnRunner, FioRunner, StressRunner
from farm.workload.runner import Runner

if TYPE_CHECKING:
    from farm.expectation import Expectation
    from farm.growth import SlabGrowth
    from farm.guest.disk import Disk
    from farm.plugin.cell import CellRun
    from farm.pressure import Pressure
    from farm.stack import Assembly
    from farm.target import Target


@pytest.fixture(scope="session")
def farm_session(pytestconfig: pytest.Config) -> FarmSession:
    """What all testcases of this process share."""
    return pytestconfig.stash[SESSION_KEY]


@pytest.fixture(scope="session")
def kernel(farm_session: FarmSession) -> Kernel:
    """The kernel under test, built or found in the cache."""
    return farm_session.kernel


@pytest.fixture(scope="session")
def image(farm_session: FarmSession) -> GuestImage:
    """The guest image, built or found in the cache."""
    return farm_session.image


@pytest.fixture
def cell(request: pytest.FixtureRequest, farm_session: FarmSession) -> Iterator[CellRun]:
    """The cell that this testcase is: its run directory, monitor and record."""
    # paramiko, QMP and all else that a guest takes, a third of a second, which sessions without one need not wait for.
    from farm.plugin.cell import CellRun  # noqa: PLC0415

    run = CellRun(farm_session, request.node)
    request.node.stash[CELL_KEY] = run
    yield run
    run.close()


@pytest.fixture
def target(cell: CellRun) -> Target:
    """The machine of the markers, booted and watched: run(argv), put, get, block_device(serial), qmp."""
    return cell.boot()


@pytest.fixture
def stacks(cell: CellRun, target: Target) -> dict[str, Assembly]:
    """All stacks of the markers, built and opened, by the serial of their namespace."""
    if not cell.record.stacks:
        raise UserError("a testcase that uses `stack` or `stacks` needs the marker: @pytest.mark.stack('data / ext4')")
    return cell.assemble(target)


@pytest.fixture
def stack(stacks: dict[str, Assembly]) -> Assembly:
    """The first stack of the markers, built and open.

    device, mountpoint, close(), open(), reopen(); sector_of(byte) and offset_of(file) say where things are,
    corrupt(byte, "data", "tag", "guard", "ref", ...) flips a bit there, also while it is open, restore() flips it back.
    """
    return next(iter(stacks.values()))


@pytest.fixture
def disk(target: Target) -> Disk:
    """The host's side of the disks: flip(serial, block or sector=, area="data" or "metadata"), read, write."""
    return target.disk


@pytest.fixture
def power_cut(cell: CellRun, target: Target) -> Callable[[], None]:
    """`power_cut()`: the machine loses all of its memory, boots again, and has its stacks open again."""
    return lambda: cell.power_cut(target)


# In Linux 6.12 a CPU that goes may leave the timer of its deadline server behind, and then warns whatever the testcase
# is about (kernel/sched/deadline.c, sub_running_bw). Without runtime that server never starts (dl_server_start).
_MAY_GO = """
[ -w /sys/devices/system/cpu/cpu1/online ] || exit 77
for runtime in /sys/kernel/debug/sched/fair_server/*/runtime; do [ ! -e $runtime ] || echo 0 >$runtime || exit 1; done
"""
_CANNOT_GO = 77


@pytest.fixture
def second_cpu(target: Target) -> None:
    """CPU 1 can be taken off line and back, by `/sys/devices/system/cpu/cpu1/online`; skips where it cannot."""
    done = target.run(_MAY_GO, check=False)
    if done.status == _CANNOT_GO:
        pytest.skip("the guest has no second CPU that can be taken off line")
    assert done.status == 0, done.stderr


@pytest.fixture
def expect(cell: CellRun, target: Target) -> Callable[[str], AbstractContextManager[Expectation]]:
    """`with expect("dm-integrity"):` a verification error by this layer, and by no other, must show in the block.

    It has to name a device and a sector at which this layer sees what was changed (`stack.corrupt`, `disk.flip`).
    """
    return cell.expecting


@pytest.fixture
def seed(farm_session: FarmSession) -> int:
    """The seed of this run, for whatever a testcase draws by chance."""
    return farm_session.seed


@pytest.fixture
def duration(cell: CellRun) -> float:
    """Seconds that each workload lasts, on the guest's clock."""
    return cell.record.workload_seconds


@pytest.fixture
def slab_growth(cell: CellRun, target: Target) -> SlabGrowth:
    """`slab_growth(stack.cycle)`: repeat something for --rounds; slab caches that keep growing are suspicious."""
    return cell.slab_growth(target)


def _runner(kind: type[Runner], name: str) -> Callable[..., Runner]:  # type: ignore[type-arg]
    def make(cell: CellRun, target: Target) -> Runner:  # type: ignore[type-arg]
        return kind(target, seed=cell.record.seed, duration=cell.record.workload_seconds, watch=cell.watch,
                    pace=target.pace)

    make.__doc__ = kind.__doc__
    return pytest.fixture(name=name)(make)


fio = _runner(FioRunner, "fio")
stress = _runner(StressRunner, "stress")
churn = _runner(ChurnRunner, "churn")


@pytest.fixture
def pressure(cell: CellRun, target: Target) -> Pressure:
    """`with pressure("keep-free:free=64M"):`, `"balloon:memory=128M"`, or `"fail-slab:within=crypt_map"`: faults."""
    return cell.pressure(target)


@pytest.fixture
def background(target: Target) -> Background:
    """`with background("while :; do ...; done"):` a bash script in the guest, killed at the end of the block."""
    return Background(target, pace=target.pace)
