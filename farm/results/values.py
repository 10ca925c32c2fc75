"""What the results database holds, as values: runs, cells, verdicts. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from farm.model import Outcome, json_digest

# The testcase that a kernel's build is recorded as: one that does not compile is a failure of its own.
BUILD = "build"
# Characters of what is looked up. An index of PostgreSQL takes 2704 bytes (src/include/access/nbtree.h, BTMaxItemSize),
# and a character has up to four.
MOST_INDEXED = 600


def storable(text: str) -> str:
    """What a console printed, or a file was called, without what no database takes as text."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def short_signature(text: str) -> str:
    """A signature as it is kept: that of a failure without a crash report is what was said, at any length."""
    text = storable(text)
    if len(text) <= MOST_INDEXED:
        return text
    digest = json_digest(text)[:12]
    return f"{text[:MOST_INDEXED - len(digest) - 1]}~{digest}"


@dataclass(frozen=True)
class Series:
    """What is compared from night to night: one testcase in one place of the matrix, whatever the revision."""

    # Name of the kernel in the plan, e.g. `6.12`: its revision moves on under it.
    kernel: str
    flavor: str
    # As in `Cell.testcase`, e.g. `test_luks2.py::test_hmac`.
    testcase: str
    # Names of the plan's machine and stack; "" for the testcase's own.
    machine: str = ""
    stack: str = ""

    @cached_property
    def key(self) -> str:
        """A short digest: the same in every night and on every host."""
        return json_digest([self.kernel, self.flavor, self.testcase, self.machine, self.stack])[:20]

    @property
    def is_build(self) -> bool:
        return self.testcase == BUILD

    @property
    def place(self) -> str:
        """Where the testcase runs, in words."""
        return " ".join(filter(None, (self.kernel, self.flavor, self.machine, self.stack)))

    def __str__(self) -> str:
        return f"{self.testcase} on {self.place}"


@dataclass(frozen=True)
class CellRow:
    """One cell that ended, as it is recorded."""

    series: Series
    outcome: Outcome
    # Counts from 1: repetitions that the plan asks for.
    repetition: int = 1
    # Counts from 1: reruns that tell new from flaky, and another try after the host failed.
    attempt: int = 1
    # What happened, in a line; "" for a cell that passed.
    title: str = ""
    # What it failed by, see `farm.verdict.Cause`.
    kind: str = ""
    function: str = ""
    signature: str = ""
    # Git commit, or the source package.
    source: str = ""
    release: str = ""
    # SHA-256 of the final .config; "" when unknown.
    config: str = ""
    # As the kernel's build recorded it.
    compiler: str = ""
    # Key of the build in the cache.
    build: str = ""
    # Digest of the guest image.
    image: str = ""
    accelerator: str = ""
    # The machine as it was, in words; the stacks as text.
    machine: str = ""
    stacks: str = ""
    seed: int = 0
    # Wall seconds of all of it but waiting for the host to have room, and by phase.
    seconds: float = 0.0
    durations: Mapping[str, float] = field(default_factory=dict)
    host: str = ""
    # When it was recorded, in seconds since the epoch, by a clock that may be wrong: for display only.
    at: float = 0.0
    # The cell's directory relative to the run's, "" for none.
    directory: str = ""

    @property
    def judged(self) -> bool:
        """False when it says nothing of the kernel: the host failed, or the testcase was skipped."""
        return self.outcome in (Outcome.PASS, Outcome.FAIL)

    @property
    def place(self) -> tuple[str, int, int]:
        """What tells it from every other cell of its run."""
        return self.series.key, self.repetition, self.attempt

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "outcome": self.outcome.value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "CellRow":
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(**{**value, "series": Series(**value["series"]), "outcome": Outcome(value["outcome"])})


class State(Enum):
    """How far a run got."""

    RUNNING = "running"
    COMPLETE = "complete"
    CUT = "cut"  # the time budget ended it
    BROKEN = "broken"  # it stopped with an error


@dataclass(frozen=True)
class RunRow:
    """One run of a plan."""

    # Name of its directory: unique.
    name: str
    # Name of the plan, and digest of what it says.
    plan: str
    digest: str
    # Run directory.
    directory: str
    host: str = ""
    farm: str = ""
    # Seconds since the epoch, by a clock that may be wrong: for display only; `number` is the order.
    started: float = 0.0
    ended: float | None = None
    state: State = State.RUNNING
    # Given by the database, rising in the order in which runs began; 0 before.
    number: int = 0


class Change(Enum):
    """What a run says of a series, given the runs before it."""

    PASSES = "passes"
    NEW = "new failure"
    STILL = "still failing"
    FIXED = "fixed"
    FLAKY = "flaky"
    NEVER = "never ran"
    UNKNOWN = "not run"  # this time; it was judged before

    @property
    def failing(self) -> bool:
        """Whether the next run begins with a failure that is known."""
        return self in (Change.NEW, Change.STILL)


@dataclass(frozen=True)
class VerdictRow:
    """The verdict of one run on one series."""

    series: Series
    change: Change
    # The failure it speaks of; "" for none.
    signature: str = ""
    title: str = ""
    # Failures with that signature, and all runs that were judged, on which the verdict stands.
    failures: int = 0
    runs: int = 0
    # How often it fails: estimate and 95 % interval, shares of 1.
    rate: float = 0.0
    low: float = 0.0
    high: float = 1.0
    # How much longer than its own history it took, as a factor; 0 when it did not.
    slower: float = 0.0
    # Why, in a sentence.
    why: str = ""
    # The note of the known failure that covers it, or "".
    known: str = ""
