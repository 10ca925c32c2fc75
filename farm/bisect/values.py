"""What a bisection asks, and what it hears."""

from dataclasses import dataclass
from enum import Enum

from farm.errors import UserError
from farm.model import Finding
from farm.oops import KINDS
from farm.verdict import OWN_KINDS, Cause

# Who chooses the next revision: the farm, that which tells most when some commits are suspected, or `git bisect` alone.
SUSPECTS = "suspects"
ORDERS = (SUSPECTS, "git")


class Seen(Enum):
    """What one run, or one build, of a revision showed; the first two speak of the bug, no other ever does."""

    BUG = "bug"  # the failure that is searched
    NO_BUG = "no bug"
    OTHER = "another failure"
    NO_BOOT = "no boot"
    NO_BUILD = "no build"
    UNASKED = "nothing judged"  # the testcase skipped itself
    HOST = "host failed"
    STOPPED = "stopped"  # by us: nobody needs it any more


class Answer(Enum):
    """What is told to git of a revision."""

    BUG = "bug"
    NO_BUG = "no bug"
    SKIP = "skip"


# How much of a failure has to be the same for it to be the failure that is searched.
MATCHES = ("function", "kind", "signature", "any")
MATCH_DEFAULT = "function"
# Failures whose sentence tells where the workload happened to be, and nothing of the bug.
_BY_KIND_ALONE = frozenset({"hang", "no-progress", "silence", "boot"})


@dataclass(frozen=True)
class Symptom:
    """The failure that is searched."""

    kind: str
    title: str
    function: str = ""
    signature: str = ""
    # One of MATCHES; `function` is kind and function.
    match: str = MATCH_DEFAULT

    @property
    def compared(self) -> str:
        """The one of MATCHES by which failures are compared.

        A failure that has no function is known by what it says, numbers apart: the kind alone would make one of every
        two assertions, or of every two errors of a compiler.
        """
        if self.match != "function" or self.function:
            return self.match
        return "kind" if self.kind in _BY_KIND_ALONE or not self.signature else "signature"

    def covers(self, seen: Finding | Cause) -> bool:
        """Whether a failure is this one."""
        if self.compared == "any":
            return True
        if self.compared == "signature":
            return seen.signature == self.signature
        return seen.kind == self.kind and (self.compared == "kind" or seen.function == self.function)


def parse_symptom(text: str) -> Symptom:
    """`KIND` or `KIND:FUNCTION`. Raises UserError."""
    kind, _, function = text.partition(":")
    kinds = dict.fromkeys((*KINDS, *OWN_KINDS))
    if kind not in kinds:
        raise UserError(f"--symptom {text!r} names no kind of failure. Write KIND or KIND:FUNCTION, e.g. "
                        f"panic:crypt_map; the kinds are {', '.join(kinds)}.")
    return Symptom(kind, text, function, match="function" if function else "kind")


@dataclass(frozen=True)
class Build:
    """A revision's kernel, or why there is none."""

    # Digest of what boots (bzImage and modules); "" when it was not built.
    digest: str = ""
    # Why it was not built, as the farm says it.
    error: str = ""
    # Wall seconds.
    seconds: float = 0.0
    # NO_BUG stands for a build that succeeded.
    seen: Seen = Seen.NO_BUG
    # The failure, when it does not compile.
    cause: Cause | None = None


@dataclass(frozen=True)
class Run:
    """One run of the testcases on a revision, or its build when that failed."""

    commit: str
    seen: Seen
    # What happened, in a line.
    title: str = ""
    # The failure, when there was one.
    cause: Cause | None = None
    # Digest of the kernel that was run.
    digest: str = ""
    build_seconds: float = 0.0
    run_seconds: float = 0.0
    # Run directory, relative to the bisection's.
    directory: str = ""
    # Taken over from another commit with the same kernel.
    copy: bool = False


@dataclass(frozen=True)
class Settings:
    """How a bisection goes about it."""

    # Search the commit that mended the bug instead of the one that brought it.
    fix: bool = False
    match: str = MATCH_DEFAULT
    # Runs of each revision before it counts as free of the bug; 0: as the reproduction rate wants.
    runs: int = 0
    # Revisions judged at once.
    jobs: int = 1
    # Wanted for the whole answer.
    confidence: float = 0.95
    # The history is limited to commits that touch these.
    paths: tuple[str, ...] = ()
    # One of ORDERS.
    order: str = SUSPECTS
