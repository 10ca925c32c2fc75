"""From a setup that shows a failure to the smallest that still does. Pure: runs in, the next setup to run out.

Greedy, one dimension after the other: each is halved, or taken apart, as long as the failure still shows. A setup that
showed it is taken; one that did not in as many runs as the rate seen so far wants is given up. What was decided follows
from the runs alone, so that whoever goes on after an interruption decides the same.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from farm.bisect.statistics import Rate
from farm.errors import UserError
from farm.guest.machinetext import machine_text, namespace_text, parse_namespace
from farm.model import Machine
from farm.repro.recorded import Recorded
from farm.stack import Stack, check_stack, parse_stack

# Nothing is made smaller than this: seconds of a workload, and MiB of memory (fio cannot map its libraries in 128).
LEAST_SECONDS, LEAST_MIB = 1.0, 192
# Testcases that run on any stack, by how many workloads they have (testcases/test_any_stack.py).
_PLAIN = {1: "test_any_stack.py::test_random_writes_are_read_back", 2: "test_any_stack.py::test_data_survives_a_reopen"}


@dataclass(frozen=True)
class Setup:
    """What of a cell can be made smaller."""

    # Testcase as `farm run` takes it.
    testcase: str
    # Seconds of each workload.
    duration: float
    # Repetitions; 0 for a testcase that repeats nothing.
    rounds: int
    cpus: int
    memory_mib: int
    # As `--namespace` and `--stack` take them.
    namespaces: tuple[str, ...]
    stacks: tuple[str, ...]
    # Workloads and pressures that were at work when it failed.
    loads: int

    def changes(self, start: "Setup") -> dict[str, Any]:
        """Options of `farm run` by name that make this setup of another one."""
        every = self.testcase != start.testcase
        options: dict[str, tuple[Any, Any, Any]] = {
            "duration": (self.duration, start.duration, self.duration),
            "rounds": (self.rounds, start.rounds, self.rounds),
            "machine": ((self.cpus, self.memory_mib), (start.cpus, start.memory_mib),
                        machine_text(Machine(self.cpus, self.memory_mib))),
            "namespace": (self.namespaces, start.namespaces, self.namespaces),
            "stack": (self.stacks, start.stacks, self.stacks)}
        return {name: value for name, (mine, other, value) in options.items() if value and (every or mine != other)}

    def smaller_than(self, start: "Setup") -> list[str]:
        """What is smaller than in another setup, a few words each."""
        rows = (("testcase", self.testcase, start.testcase),
                ("duration", f"{self.duration:g} s", f"{start.duration:g} s"),
                ("rounds", self.rounds, start.rounds), ("CPUs", self.cpus, start.cpus),
                ("memory", f"{self.memory_mib} MiB", f"{start.memory_mib} MiB"),
                ("namespaces", "; ".join(self.namespaces), "; ".join(start.namespaces)),
                ("stacks", "; ".join(self.stacks), "; ".join(start.stacks)))
        return [f"{what} {mine} instead of {other}" for what, mine, other in rows if mine != other]


def setup_of(run: Recorded, testcase: str) -> Setup:
    """The setup of a recorded cell; `testcase` is how `farm run` was told of it."""
    cell, machine = run.cell, run.cell.machine
    return Setup(
        testcase, cell.duration, int(run.facts.get("rounds", 0)) if run.facts.get("repeats") else 0, machine.cpus,
        machine.memory_mib, tuple(map(namespace_text, machine.namespaces)), cell.stacks,
        len(cell.workloads) + len(cell.pressure))


@dataclass(frozen=True)
class Tally:
    """The runs of one setup."""

    seen: int = 0
    missed: int = 0
    # Those made for the rate at the end, not counted above.
    rated_seen: int = 0
    rated: int = 0
    # It cannot be run: the farm or the kernel refuses it.
    refused: bool = False


def smallest(start: Setup, tallies: Mapping[Setup, Tally], rated: int) -> tuple[Setup, Setup | None]:
    """The smallest setup that showed it so far, and the one to run next; None when there is none left.

    A setup that then does not show it in any of `rated` further runs was luck, and is given up again.
    """
    current, rate = start, Rate(tallies[start].seen, tallies[start].missed)
    for dimension in DIMENSIONS:
        step: Setup | None = current
        while step is not None:
            step, waiting = _step(dimension(current), tallies, rate, rated)
            if waiting:
                return current, step
            if step is not None:
                current = step
                rate = Rate(rate.seen + tallies[step].seen, rate.missed + tallies[step].missed)
    return current, None


def _step(candidates: Iterator[Setup], tallies: Mapping[Setup, Tally], rate: Rate, rated: int) -> tuple[
        Setup | None, bool]:
    """The first candidate that stands, or that still has to be run (True); none when all were given up."""
    for candidate in candidates:
        tally = tallies.get(candidate, Tally())
        if tally.seen and (tally.rated < rated or tally.rated_seen):
            return candidate, False
        if not tally.seen and not tally.refused and tally.missed < rate.runs():
            return candidate, True
    return None, False


def _duration(setup: Setup) -> Iterator[Setup]:
    if setup.loads and setup.duration > LEAST_SECONDS:
        yield replace(setup, duration=max(LEAST_SECONDS, setup.duration / 2))


def _workload(setup: Setup) -> Iterator[Setup]:
    """A testcase's workloads are its own: what can be tried is one with fewer of them, on the same stacks."""
    for loads, testcase in _PLAIN.items():
        if loads < setup.loads and setup.stacks:
            yield replace(setup, testcase=testcase, loads=loads, rounds=0)


def _layers(setup: Setup) -> Iterator[Setup]:
    """Without one of the stacks, and the namespace that only it lies on; else without one layer."""
    stacks = [parse_stack(text) for text in setup.stacks]
    if len(stacks) > 1:
        for place, gone in enumerate(stacks):
            left = [*stacks[:place], *stacks[place + 1:]]
            kept = tuple(text for text in setup.namespaces
                         if parse_namespace(text).serial != gone.serial or gone.serial in {one.serial for one in left})
            yield replace(setup, stacks=tuple(map(str, left)), namespaces=kept)
    for place, stack in enumerate(stacks):
        for layer in range(len(stack.layers)):
            less = Stack(stack.serial, (*stack.layers[:layer], *stack.layers[layer + 1:]))
            if _possible(less, setup):
                yield replace(setup, stacks=tuple(map(str, [*stacks[:place], less, *stacks[place + 1:]])))


def _possible(stack: Stack, setup: Setup) -> bool:
    try:
        check_stack(stack, [parse_namespace(text) for text in setup.namespaces])
    except UserError:
        return False
    return True


def _memory(setup: Setup) -> Iterator[Setup]:
    if setup.memory_mib > LEAST_MIB:
        yield replace(setup, memory_mib=max(LEAST_MIB, setup.memory_mib // 2))


def _cpus(setup: Setup) -> Iterator[Setup]:
    if setup.cpus > 1:
        yield replace(setup, cpus=setup.cpus // 2)


def _rounds(setup: Setup) -> Iterator[Setup]:
    if setup.rounds > 1:
        yield replace(setup, rounds=setup.rounds // 2)


# In the order in which they are tried: what makes the runs after it shorter comes first.
DIMENSIONS: tuple[Callable[[Setup], Iterator[Setup]], ...] = (_duration, _workload, _layers, _memory, _cpus, _rounds)
