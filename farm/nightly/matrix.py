"""From a plan to its cells. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from farm.nightly.plan import Plan, Testcases
from farm.results.values import Series


@dataclass(frozen=True)
class Listed:
    """A testcase that the plan chose, see `farm run --list`."""

    # As in `Cell.testcase`.
    testcase: str
    # As `farm run` takes it.
    place: str
    # The only flavors in which it makes sense; empty: in all.
    flavors: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedCell:
    """One cell that the plan asks for."""

    series: Series
    place: str
    repetition: int = 1
    priority: int = 0
    # Length of each workload in seconds of the guest; None: the testcase's own.
    duration: float | None = None


@dataclass(frozen=True)
class Matrix:
    """The cells of a plan, and what of its matrix makes no sense."""

    cells: tuple[PlannedCell, ...]
    # Series that are left out, with the reason in a sentence.
    left_out: tuple[tuple[Series, str], ...]


def expand(plan: Plan, listings: Sequence[Sequence[Listed]]) -> Matrix:
    """All cells; `listings` has the testcases of each of the plan's entries.

    A series that several entries ask for runs as often as one of them wants, with the highest priority.
    """
    cells: dict[tuple[Series, int], PlannedCell] = {}
    left_out: dict[Series, str] = {}
    for entry, listed in zip(plan.testcases, listings, strict=True):
        for series, testcase in _points(plan, entry, listed):
            if reason := _objection(plan, series, testcase):
                left_out[series] = reason
                continue
            for repetition in range(1, entry.repetitions + 1):
                known = cells.get((series, repetition))
                if known is None or known.priority < entry.priority:
                    cells[series, repetition] = PlannedCell(
                        series, testcase.place, repetition, entry.priority, entry.duration)
    return Matrix(tuple(cells.values()), tuple(left_out.items()))


def _points(plan: Plan, entry: Testcases, listed: Sequence[Listed]) -> list[tuple[Series, Listed]]:
    kernels = entry.kernels or tuple(one.name for one in plan.kernels)
    flavors = entry.flavors or plan.flavors
    return [(Series(kernel, flavor, testcase.testcase, machine, stack), testcase)
            for kernel, flavor, machine, stack, testcase in product(
                kernels, flavors, entry.machines or ("",), entry.stacks or ("",), listed)]


def _objection(plan: Plan, series: Series, testcase: Listed) -> str:
    if testcase.flavors and series.flavor not in testcase.flavors:
        return f"made for flavor {' or '.join(testcase.flavors)}"
    stack = next((one for one in plan.stacks if one.name == series.stack), None)
    return stack.objection(plan.kernel(series.kernel).release) if stack else ""


@dataclass(frozen=True)
class Expectation:
    """What is known of a series before it runs."""

    # Wall seconds of a run.
    seconds: float
    # It failed when it last said anything.
    failed: bool = False
    # It never said anything.
    new: bool = False


def rank(cell: PlannedCell, expected: Mapping[str, Expectation]) -> tuple[int, bool, bool, float]:
    """Sorts first what comes first: by priority, then failed last night, new, long."""
    known = expected[cell.series.key]
    return -cell.priority, not known.failed, not known.new, -known.seconds


@dataclass(frozen=True)
class Schedule:
    """What runs, in order, and what the time does not suffice for."""

    cells: tuple[PlannedCell, ...]
    cut: tuple[PlannedCell, ...]
    # Expected wall seconds of what runs, builds included.
    seconds: float


def schedule(
    cells: Sequence[PlannedCell], expected: Mapping[str, Expectation], builds: Mapping[tuple[str, str], float], *,
    parallel: int, budget: float | None, done: Collection[tuple[str, int]] = (),
) -> Schedule:
    """Order the cells, and cut the last ones when they do not fit; first repetitions come before second ones.

    `builds` are the expected wall seconds of each kernel and flavor, `budget` are wall seconds, None for no limit.
    `done` are keys and repetitions of cells that a resumed run has behind it: they take no time and are never cut.
    """
    ordered = sorted(cells, key=lambda cell: (-cell.priority, cell.repetition, rank(cell, expected)))
    runs, cut, built = [], [], set()
    whole = 0.0
    for cell in ordered:
        if (cell.series.key, cell.repetition) in done:
            runs.append(cell)
            continue
        build = (cell.series.kernel, cell.series.flavor)
        cost = expected[cell.series.key].seconds / parallel + (0.0 if build in built else builds[build])
        # What fits is run though something longer before it did not: the time is there.
        if budget is not None and whole + cost > budget:
            cut.append(cell)
            continue
        built.add(build)
        whole += cost
        runs.append(cell)
    return Schedule(tuple(runs), tuple(cut), whole)


@dataclass(frozen=True)
class Batch:
    """Cells that one `farm run` carries out: of one kernel, flavor, machine, stack, length and repetition."""

    cells: tuple[PlannedCell, ...]

    @property
    def series(self) -> Series:
        """Any of them: they differ only in the testcase."""
        return self.cells[0].series


def batches(cells: Sequence[PlannedCell]) -> tuple[Batch, ...]:
    """In the order of their first cells, a kernel's builds together as far as priorities let them."""
    groups: dict[tuple[object, ...], list[PlannedCell]] = {}
    builds: dict[tuple[object, ...], int] = {}
    for cell in cells:
        series = cell.series
        build = (-cell.priority, cell.repetition, series.kernel, series.flavor)
        builds.setdefault(build, len(builds))
        groups.setdefault((*build, series.machine, series.stack, cell.duration), []).append(cell)
    ordered = sorted(groups.items(), key=lambda group: (group[0][0], group[0][1], builds[group[0][:4]]))
    return tuple(Batch(tuple(listed)) for _, listed in ordered)
