"""Addresses of a crash report to file:line, by the kernel's own scripts/decode_stacktrace.sh.

The script puts the names that it reads into an awk program and an arithmetic expansion (parse_symbol), so a line of
a hostile console would run commands on this host. It is given nothing but symbols of a strict form, one a line; what
it says of each is put into the report here.
"""

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import FarmError
from farm.host import process
from farm.model import Finding, Frame
from farm.oops.frames import base_name

# What decoding may take, in wall seconds; each function costs the script a run of nm and one of addr2line.
SECONDS = 25.0
# Functions that are decoded, those of the first report first.
MOST_SYMBOLS = 120
# What the script runs.
_PROGRAMS = ("bash", "awk", "nm", "addr2line")
# As `%pS` prints it: function, offset and size; built-in code only, because modules are kept without debug information.
_SYMBOL = re.compile(
    r"(?P<stale>\? )?(?<![\w.$])(?P<symbol>[A-Za-z_][\w.]{0,127}\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8})(?![\w/])(?! \[)")
# One line of what the script says: our number, the function, its places.
_DECODED = re.compile(r"(?P<number>\d+) \S+ \((?P<places>[^()]*(?:\(discriminator \d+\)[^()]*)*)\) *")
# Where the tree is in debug information: as `Make.prefix_maps` calls it, or, in assembly, where it was compiled.
_TREE = re.compile(r"^(?:/build|.*/trees/[^/]+/work|(?:\.\./)+work)/")
_DISCRIMINATOR = re.compile(r" \(discriminator \d+\)")


@dataclass(frozen=True)
class Places:
    """Where symbols are in the kernel's sources."""

    # `function+0x1/0x2` -> `file:line`, of inlined functions first, separated by spaces.
    of: Mapping[str, str] = field(default_factory=dict)
    # Why there are none, or not all; "" when nothing is missing.
    reason: str = ""

    def text(self, report: str) -> str:
        """A report with the places behind its functions, led by what is missing."""
        def placed(match: re.Match[str]) -> str:
            places = self.of.get(match["symbol"])
            return f"{match[0]} ({places})" if places else match[0]

        decoded = _SYMBOL.sub(placed, report)
        return f"not decoded: {self.reason}\n\n{decoded}" if self.reason else decoded

    def finding(self, finding: Finding) -> Finding:
        """A finding whose frames name their place; that of the innermost inlined function."""
        return replace(finding, frames=tuple(self._frame(frame) for frame in finding.frames))

    def _frame(self, frame: Frame) -> Frame:
        places = self._by_frame.get((frame.function, frame.offset))
        return replace(frame, place=places) if places and not (frame.place or frame.module) else frame

    @property
    def _by_frame(self) -> dict[tuple[str, str], str]:
        split = ((symbol.partition("+"), places) for symbol, places in self.of.items())
        return {(base_name(name), offset): places.split()[0] for (name, _, offset), places in split}


def symbols(texts: Iterable[str]) -> list[str]:
    """The functions in some texts, each once, in the order in which they appear; those only guessed (`? `) last."""
    matches = sorted((match for text in texts for match in _SYMBOL.finditer(text)), key=lambda one: bool(one["stale"]))
    return list(dict.fromkeys(match["symbol"] for match in matches))[:MOST_SYMBOLS]


def decode(texts: Iterable[str], vmlinux: Path, script: Path | None, total: Deadline) -> Places:
    """The places of all functions in some texts. Never fails: what is missing is told by `reason`."""
    wanted = symbols(texts)
    if not wanted:
        return Places(reason="there is no function in it")
    if script is None:
        return Places(reason="the kernel's sources have no scripts/decode_stacktrace.sh")
    if lacking := [program for program in _PROGRAMS if shutil.which(program) is None]:
        return Places(reason=f"scripts/decode_stacktrace.sh needs {', '.join(lacking)}, which this host lacks")
    deadline = total.at_most(SECONDS)
    given = "".join(f"{number} {symbol}\n" for number, symbol in enumerate(wanted))
    # Nothing of the user's environment makes it use other tools, or ask a server for debug information.
    plain = {"CROSS_COMPILE": "", "LLVM": "", "DEBUGINFOD_URLS": ""}
    argv = ["bash", str(script), str(vmlinux), "auto"]
    try:
        said = process.harvest(argv, deadline=deadline, input=given.encode(), env=plain)
    except (FarmError, OSError) as error:
        return Places(reason=f"scripts/decode_stacktrace.sh did not run: {error}")
    found = parse(said, wanted)
    if found and not deadline.expired:
        return Places(found)
    missing = f"{len(found)} of {len(wanted)} functions within {deadline.seconds:.0f} s" if deadline.expired else \
        f"scripts/decode_stacktrace.sh knows none of {len(wanted)} functions in {vmlinux}"
    return Places(found, missing)


def relative(place: str) -> str:
    """A place as maintainers name it: below the kernel's tree."""
    return _TREE.sub("", place)


def parse(said: str, wanted: list[str]) -> dict[str, str]:
    """Symbol -> places, from what the script printed."""
    found = {}
    for line in said.splitlines():
        match = _DECODED.fullmatch(line)
        if match and int(match["number"]) < len(wanted):
            found[wanted[int(match["number"])]] = " ".join(
                relative(place) for place in _DISCRIMINATOR.sub("", match["places"]).split())
    return found
