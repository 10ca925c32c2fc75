"""Reading the output of the kernel's make: how far it is, and what went wrong first. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# `  CC      fs/xfs/xfs_log.o`, `  CC [M]  drivers/md/dm-flakey.o`, `  LD      vmlinux`.
_STEP = re.compile(r"^  (?P<tool>[A-Z][A-Z0-9_-]*)(?: \[\w\])? +(?P<file>\S+)$")
_OBJECTS = {"CC", "AS", "HOSTCC", "HOSTLD", "AR", "LD", "VDSO", "OBJCOPY", "HOSTCXX", "CPP", "LDS"}

_COMPILER = re.compile(r"^(?P<file>[^\s:][^:]*):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<message>.*)$")
_LINKER = re.compile(
    r"^(?:\S*ld(?:\.bfd)?: )?(?P<place>\S+?): (?P<message>(?:undefined reference to|multiple definition of) .*)$")
_MODPOST = re.compile(r"^ERROR: modpost: (?P<message>.*)$")
_OBJTOOL = re.compile(r"^(?P<place>\S+): error: objtool: (?P<message>.*)$")
_TOOL = re.compile(r"^(?P<place>\S*\b(?:ld|ld\.bfd|as|cc1|gcc|objcopy|FAILED)): (?P<message>.*)$")
_NO_RULE = re.compile(r"^make(?:\[\d+\])?: \*\*\* (?P<message>No rule to make target .*?)\.(?:  Stop\.)?$")
_MAKEFILE = re.compile(r"^(?P<file>[^\s:]+):(?P<line>\d+): \*\*\* (?P<message>.*?)\.(?:  Stop\.)?$")
_MAKE = re.compile(r"^make(?:\[\d+\])?: \*\*\* \[(?P<place>[^\]]+)\] (?P<message>Error \d+.*)$")
_DISK = re.compile(r"No space left on device|Disk quota exceeded")
_MEMORY = re.compile(
    r"Killed signal terminated program|virtual memory exhausted|out of memory allocating|Cannot allocate memory")
# A line of the source as the compiler quotes it: may say anything.
_QUOTED = re.compile(r"^ *\d* \|")

# In the order of what they tell: the first pattern with a match anywhere in the log wins.
_ERRORS = (_COMPILER, _OBJTOOL, _LINKER, _MODPOST, _NO_RULE, _MAKEFILE, _TOOL, _MAKE)


@dataclass(frozen=True)
class Step:
    """One command of the build."""

    # Kbuild's name for it, e.g. `CC`.
    tool: str
    # What it makes, relative to the O= directory.
    file: str

    @property
    def is_object(self) -> bool:
        """Whether it counts for the share of objects done."""
        return self.tool in _OBJECTS


def step(line: str) -> Step | None:
    """The build step that a line announces, or None."""
    match = _STEP.match(line)
    return Step(match["tool"], match["file"]) if match else None


def first_error(lines: Iterable[str], prefixes: Iterable[str] = ()) -> str:
    """`file:line: message` of the first error that explains the failure, "" when none is recognized.

    `prefixes` are removed from the front of file names, so that they are relative to the tree.
    """
    text = list(lines)
    for pattern in _ERRORS:
        for line in text:
            if match := pattern.match(line):
                return _say(match, tuple(prefixes))
    return ""


def _say(match: "re.Match[str]", prefixes: tuple[str, ...]) -> str:
    found = match.groupdict()
    place = found.get("place") or found.get("file") or ""
    for prefix in prefixes:
        place = place.removeprefix(prefix)
    if found.get("line"):
        place += f":{found['line']}"
    return f"{place}: {found['message']}" if place else found["message"]


def host_failure(lines: Iterable[str]) -> str:
    """`disk` or `memory` when the build failed because the host ran out of it, else ""."""
    for line in lines:
        if _QUOTED.match(line):
            continue
        if _DISK.search(line):
            return "disk"
        if _MEMORY.search(line):
            return "memory"
    return ""
