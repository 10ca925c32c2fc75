"""After a testcase: what it left running or leaked when it passed, and the evidence when it did not."""

from collections.abc import Callable, Iterable
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
    """Ask the guest what it still answers, then read what it left."""
    total = Deadline(TOTAL_SECONDS)
    collect(target.patient, directory.evidence, directory.console, total)
    if dump_memory:
        memory(target.patient, directory.evidence, target.machine.memory_mib, kernel.vmlinux, total)
    stuck = stacks(directory.evidence)
    shown, places = digest(stuck), None
    if kernel.vmlinux is not None:
        reports = [finding.text for finding in monitor.findings]
        places = decode([*reports, shown], kernel.vmlinux, kernel.decoder, total)
    write(directory.evidence / FILE, places.text(shown) if places else shown)
    return Evidence(stuck, places)
