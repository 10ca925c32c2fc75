"""The values that flow through the farm. All frozen, all JSON-able; none names a path of this host."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from enum import Enum, IntEnum
from typing import Any


class Outcome(Enum):
    """How a testcase ended."""

    PASS = "pass"
    FAIL = "fail"  # the kernel is to blame
    ERROR = "error"  # the host is to blame; says nothing about the kernel
    SKIP = "skip"  # could not be asked, for a printed reason


class Verdict(IntEnum):
    """What a run says of a revision; the values are the exit codes that `git bisect run` understands."""

    GOOD = 0
    BAD = 1
    SKIP = 125
    STOP = 128


# Exit status of a command whose request cannot be carried out: the user's fault, where STOP is the host's.
REQUEST_REFUSED = Verdict.STOP + 1
# Key of what `farm build --json` prints of a request that is refused for this revision alone.
UNFIT = "unfit"


@dataclass(frozen=True)
class Namespace:
    """One emulated NVMe namespace, on a controller of its own."""

    # Serial number of its controller: how the guest finds it (names change from boot to boot).
    serial: str
    # Capacity in MiB, metadata not counted.
    size_mib: int = 256
    # Logical block size in bytes: 512 or 4096.
    block: int = 512
    # Protection information type: 0 (none), 1, 2 or 3.
    pi: int = 0
    # Metadata bytes per block: 0, 8, 16 or 64.
    ms: int = 0
    # True when protection information comes first in the metadata rather than last (NVMe `pil`).
    pi_first: bool = False
    # Guard width in bits: 16 (T10 CRC) or 64 (NVMe CRC64, needs 16 bytes of metadata).
    guard: int = 16
    # Zone size in MiB, 0 for a conventional namespace.
    zone_mib: int = 0


@dataclass(frozen=True)
class Machine:
    """The emulated machine."""

    cpus: int = 2
    # Guest memory in MiB.
    memory_mib: int = 1024
    namespaces: tuple[Namespace, ...] = ()
    # Added to the kernel's command line.
    append: tuple[str, ...] = ()


@dataclass(frozen=True)
class KernelId:
    """Which kernel: enough to build the same one elsewhere."""

    # `debian:linux-source-6.12`, a git revision's full id, or `image:` and the digest of a ready image.
    source: str
    # The version the kernel itself reports, e.g. `6.12.117-farm`.
    release: str
    # Name of the flavor.
    flavor: str
    # `SYMBOL=value` overrides.
    config: tuple[str, ...] = ()
    # SHA-256 of each applied patch, in order.
    patches: tuple[str, ...] = ()
    # Key of the build in the cache.
    build: str = ""


@dataclass(frozen=True)
class Cell:
    """One point of the matrix: what is run, written down so that it can be run again anywhere."""

    kernel: KernelId
    machine: Machine
    # Testcase as a pytest node id relative to the testcase directory.
    testcase: str
    # Stacks as text, bottom layer first, e.g. `data / linear:offset=2056 / xfs`.
    stacks: tuple[str, ...] = ()
    # Pressures as text.
    pressure: tuple[str, ...] = ()
    # Workloads as text, as they were started.
    workloads: tuple[str, ...] = ()
    seed: int = 0
    # Base duration of each workload in seconds of guest time, before the pace is applied.
    duration: float = 10.0
    # Guest image digest.
    image: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def digest(self) -> str:
        return json_digest(self.to_json())


@dataclass(frozen=True)
class Finding:
    """One crash report as parsed from a console; see `farm classify --json`."""

    # One of `farm.oops.KINDS`.
    kind: str
    # The line that names it, without addresses and numbers that change between runs.
    title: str
    # The function where the bug is, or "".
    function: str = ""
    # Frames, innermost first.
    frames: tuple["Frame", ...] = ()
    # Stable across addresses, CPUs, process ids and timings.
    signature: str = ""
    # Other titles the same bug may be known by.
    alt_titles: tuple[str, ...] = ()
    # Process name, e.g. `kworker/u4:2`.
    process: str = ""
    # Workqueue and work function, e.g. `kcryptd/253:0 kcryptd_crypt`.
    workqueue: str = ""
    # Taint flags as printed, e.g. `G        W`.
    taint: str = ""
    # Kernel release from the report.
    kernel: str = ""
    # True when the report is cut short or mixed up so that function or title may be wrong.
    corrupted: bool = False
    # True for a report that only follows from an earlier one, or that is known noise.
    suppressed: bool = False
    # For kind `verification` and the I/O kinds: which layer reported (`pi-guard`, `pi-ref`, `pi-app`, `nvme-status`,
    # `dm-integrity`, `dm-crypt-aead`, `fs-checksum`, `fio-verify`), on which device, from which 512-byte sector on
    # (-1: not said), and how many (0: not said).
    layer: str = ""
    device: str = ""
    sector: int = -1
    sectors: int = 0
    # The same as NVMe says it: in logical blocks, of which only the device knows the size.
    lba: int = -1
    blocks: int = 0
    # Byte offsets of the report in the log.
    start: int = 0
    end: int = 0
    # The raw text of the report, one line each, without console prefixes.
    text: str = field(default="", compare=False, repr=False)

    def in_sectors(self, block: int) -> "Finding":
        """The same with its place in sectors, for a device with logical blocks of so many bytes (0: not known)."""
        if self.lba < 0 or self.sector >= 0 or not block:
            return self
        return replace(self, sector=self.lba * block // 512, sectors=self.blocks * block // 512)


@dataclass(frozen=True)
class Extent:
    """A range of sectors, and who says so when what lies there is wrong."""

    # As messages name it: `nvme0n1`, `dm-0`, `farm-data-1-crypt`, a path of the guest.
    device: str
    # First 512-byte sector, and how many; 0 for somewhere on the device.
    sector: int = 0
    sectors: int = 0
    # Words of `Finding.layer`.
    layers: frozenset[str] = frozenset()

    def meets(self, finding: Finding) -> bool:
        """True when a report can be about this place: what it does not say does not speak against it."""
        if finding.device not in ("", self.device) and not finding.device.startswith(f"{self.device}/"):
            return False
        apart = finding.sector + max(1, finding.sectors) <= self.sector or self.sector + self.sectors <= finding.sector
        return finding.sector < 0 or not self.sectors or not apart

    def __str__(self) -> str:
        if not self.sectors:
            return self.device
        last = self.sector + self.sectors - 1
        return f"{self.device}, sector{'s' * (last > self.sector)} {self.sector}{f' to {last}' * (last > self.sector)}"


@dataclass(frozen=True)
class Suspicion:
    """Something odd about the kernel that does not fail a testcase."""

    # `slab-growth`, `memory-leak` or `close`.
    kind: str
    # What it is, in a line.
    title: str
    # What it is based on.
    text: str = ""


@dataclass(frozen=True)
class Frame:
    """One line of a call trace."""

    function: str
    # Offset into the function as printed, e.g. `0x1a/0x40`, or "" for an inlined frame.
    offset: str = ""
    # `file:line` where the kernel or the decoder gave one.
    place: str = ""
    # Module name, or "".
    module: str = ""
    # Inlined into the next frame.
    inlined: bool = False
    # Machinery (allocator, lock, scheduler, report printer): never where a bug is.
    generic: bool = False


def json_digest(value: Any) -> str:
    """SHA-256 over the canonical JSON of a value, as hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
