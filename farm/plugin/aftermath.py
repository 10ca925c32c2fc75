"""After a testcase: what it left running or leaked when it passed, and the evidence when it did not."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from farm.deadline import Deadline
from farm.errors import FarmError, HangError
from farm.evidence import TOTAL_SECONDS, Places, collect, decode, memory, stacks
from farm.evidence.collect import write
from farm.evidence.stacks import FILE, digest
from farm.kernel import Kernel
from farm.leaks import KIND as LEAK
from farm.leaks import LeakDetector
from farm.lingering import lingering
from farm.model import Suspicion
from farm.monitor import Monitor
from farm.oops.tasks import Stuck
from farm.results.directory import CellDirectory
from farm.stack import Assembly, StackError
from farm.target import Target

log = logging.getLogger(__name__)


def look_for_lingering(target: Target, monitor: Monitor) -> FarmError | None:
    """What the testcase killed and what does not end; None when all has ended."""
    try:
        left = lingering(target, target.pace)
    except FarmError as error:
        monitor.trip(error)
    else:
        if left:
            monitor.trip(HangError("; ".join(f"{one} was killed and does not end" for one in left) + "."))
    return monitor.failure()


def look_for_leaks(
    detector: LeakDetector, monitor: Monitor, stacks: Iterable[Assembly], suspect: Callable[[Suspicion], None]
) -> FarmError | None:
    """What the testcase leaked, the tear-down of its stacks included, or why nobody knows; None when nothing did.

    What had leaked before the testcase began is a suspicion.
    """
    try:
        with monitor.hushed(LEAK):
            # Corrupted stacks would only report the corruption again.
            remove(() if monitor.findings else stacks, suspect)
            found = detector.search()
    except FarmError as error:
        monitor.trip(error)
    else:
        for leak in found.old:
            suspect(Suspicion(LEAK, f"{leak.title}, allocated before the testcase began", leak.text))
        monitor.report(*found.new)
    return monitor.failure()


def remove(stacks: Iterable[Assembly], suspect: Callable[[Suspicion], None]) -> None:
    """Take stacks down, the last one built first, for what leaks on that way."""
    for assembly in reversed(tuple(stacks)):
        try:
            assembly.remove()
        except StackError as error:
            suspect(Suspicion("close", str(error).partition("\n")[0], str(error)))


@dataclass(frozen=True)
class Evidence:
    """What the evidence of a failure says in short."""

    # Where tasks stood when the guest was asked.
    stuck: tuple[Stuck, ...] = ()
    # Where the functions of the crash reports are in the sources; None for a kernel without debug information.
    places: Places | None = None


def collect_evidence(
    target: Target, monitor: Monitor, directory: CellDirectory, kernel: Kernel, *, dump_memory: bool
) -> Evidence:
    """Ask the guest what it still answers, then read what it left. Never fails: what cannot be had is not there."""
    total = Deadline(TOTAL_SECONDS)
    with _apart("the guest's answers"):
        collect(target.patient, directory.evidence, directory.console, total)
    if dump_memory:
        with _apart("the guest's memory"):
            memory(target.patient, directory.evidence, target.machine.memory_mib, kernel.vmlinux, total)
    stuck: tuple[Stuck, ...] = ()
    places, shown = None, "the answers of the guest could not be read\n"
    with _apart("where tasks stand"):
        stuck = stacks(directory.evidence)
        shown = digest(stuck)
    if kernel.vmlinux is not None:
        with _apart("the places in the sources"):
            reports = [finding.text for finding in monitor.findings]
            places = decode([*reports, shown], kernel.vmlinux, kernel.decoder, total)
    with _apart(FILE):
        write(directory.evidence / FILE, places.text(shown) if places else shown)
    return Evidence(stuck, places)


@contextmanager
def _apart(piece: str) -> Iterator[None]:
    """A piece of the evidence that costs, whatever becomes of it, neither another one nor the verdict."""
    try:
        yield
    except Exception:  # a bug of the farm's too
        log.exception("The evidence lacks %s.", piece)
