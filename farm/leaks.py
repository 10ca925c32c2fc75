"""Memory leaks as the kernel's own detector sees them (mm/kmemleak.c), in kernels that have it.

The detector looks for pointers to every object that was allocated. One without any is reported when it is older than
5 s and was the same in two scans; so the first scan runs while the object ages, and the second one decides.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from farm.deadline import Pace
from farm.errors import InfrastructureError
from farm.guest.shell import Shell, visible
from farm.model import Finding
from farm.oops import classify

KIND = "memory-leak"
# What the kernel says at boot when it has the detector, whether that works or not (kmemleak_late_init).
_HAS = b"kmemleak: Kernel memory leak detector "
# Base seconds for all scans of a testcase together, beside the 5 s: one takes a second for 100,000 objects.
SCAN_SECONDS = 30.0
# Exit status of the script when the detector is off.
_OFF = 3

# The moment, as boot and jiffies; what the detector does by itself would come in between.
_BEGIN = """\
echo scan=off >/sys/kernel/debug/kmemleak 2>/dev/null
echo "$(cat /proc/sys/kernel/random/boot_id) $(sed -n '/^jiffies: /{s///p;q}' /proc/timer_list)"
"""
# MSECS_MIN_AGE and a tick. A third scan, when there is something to report, lets those go that were only on their way
# from one place to another. A leak in a loop must not fill the host: 1 MB of reports tells enough.
_SCAN = f"""\
leaks=/sys/kernel/debug/kmemleak
sleep 5.1 &
echo scan >$leaks || exit {_OFF}
wait
echo scan >$leaks || exit {_OFF}
[ -z "$(head -c 1 $leaks)" ] || echo scan >$leaks || exit {_OFF}
cat /proc/sys/kernel/random/boot_id
head -c 1000000 $leaks
"""
_ALLOCATED = re.compile(r"^[ \t]*comm .*, jiffies (\d{1,19})", re.MULTILINE)


@dataclass(frozen=True)
class Leaks:
    """What one search found: a finding for each trace that led to an allocation."""

    # Allocated since the detector was made.
    new: tuple[Finding, ...]
    # Allocated earlier, and lost at boot or since.
    old: tuple[Finding, ...]


class LeakDetector:
    """Asks one guest; made when the testcase begins."""

    @staticmethod
    def of(console: Path, shell: Shell, pace: Pace) -> "LeakDetector | None":
        """The detector of a guest that has booted, or None; a kernel without one is not even asked."""
        return LeakDetector(shell, pace) if _HAS in console.read_bytes() else None

    def __init__(self, shell: Shell, pace: Pace) -> None:
        self._shell = shell
        self._pace = pace
        said = shell.run(_BEGIN, deadline=pace.deadline(SCAN_SECONDS)).stdout.split()
        self._boot = said[0] if said else ""
        self._began = int(said[1]) if len(said) > 1 and said[1].isdecimal() and len(said[1]) < 20 else 0

    def search(self) -> Leaks:
        """Scan until what leaked before this call is known; some 10 s of guest time.

        Raises InfrastructureError when the detector is off: nothing was measured then.
        """
        answer = self._shell.run(_SCAN, deadline=self._pace.deadline(SCAN_SECONDS), check=False)
        if answer.status:
            why = ("the detector is off; the console says why (`kmemleak: ...`)" if answer.status == _OFF
                   else visible(answer.stderr))
            raise InfrastructureError(
                f"Nobody looked for memory leaks: {why}. When its memory ran out, a kernel with --config "
                "DEBUG_KMEMLEAK_MEM_POOL_SIZE=200000 has more; --flavor base does not look for leaks at all.")
        boot, _, text = answer.stdout.partition("\n")
        began = self._began if boot == self._boot else 0
        found = [finding for finding in classify(text.encode()) if finding.kind == KIND]
        new = [finding for finding in found if allocated(finding) >= began]
        return Leaks(merged(new), merged(finding for finding in found if allocated(finding) < began))


def allocated(finding: Finding) -> int:
    """When the object was allocated, in jiffies; as late as can be when the report does not say."""
    match = _ALLOCATED.search(finding.text)
    return int(match[1]) if match else 1 << 64


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding for each trace, with the number of its objects below the first of them."""
    alike: dict[str, list[Finding]] = {}
    for finding in findings:
        alike.setdefault(finding.signature, []).append(finding)
    # The offsets are those of another text than the console's; the second of a kind is suppressed on a console.
    return tuple(
        replace(same[0], start=0, end=0, suppressed=False, text=f"{same[0].text}\n\n{len(same)} such objects")
        for same in alike.values())
