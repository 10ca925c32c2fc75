"""Which files and functions of the kernel a patch changes. Pure."""

import re
from dataclasses import dataclass

# Lines of source are shorter; what is longer is none, and could take long to look at.
_LINE = 300
_FILE = re.compile(r"(?:---|\+\+\+) (?:[ab]/)?([\w.+-]+(?:/[\w.+-]+)+)", re.ASCII)
# git and `diff -p` put the line there by which they know a function.
_HUNK = re.compile(r"@@ -\d{1,9}(?:,\d{1,9})? \+\d{1,9}(?:,\d{1,9})? @@ ?(.*)", re.ASCII)
# A definition begins at the beginning of a line, and a declaration ends on it.
_DEFINITION = re.compile(r"[A-Za-z_][\w \t*]*?\b(\w+)\([^;]*$", re.ASCII)


@dataclass(frozen=True)
class Changes:
    """What a patch changes; nothing when a text is none."""

    files: tuple[str, ...] = ()
    # As far as the patch names them.
    functions: tuple[str, ...] = ()

    def share_function(self, other: "Changes") -> bool:
        """Whether both change a function of one name."""
        return not set(self.functions).isdisjoint(other.functions)

    def share_file(self, other: "Changes") -> bool:
        """Whether both change a file."""
        return not set(self.files).isdisjoint(other.files)


def changes(text: str) -> Changes:
    """Read a diff, with or without a mail around it."""
    files: dict[str, None] = {}
    functions: dict[str, None] = {}
    place, inside = "", False
    for line in text.splitlines():
        if len(line) > _LINE:
            continue
        if hunk := _HUNK.match(line):
            inside, place = bool(files), _defined(hunk[1])
        elif line.startswith(("--- ", "+++ ")) and (file := _FILE.match(line)):
            files[file[1]], inside = None, False
        elif line.startswith("diff "):
            inside = False
        elif inside and line[:1] in {"+", "-", " "}:
            place = _defined(line[1:]) or place
            if line[0] != " " and place:
                functions[place] = None
    return Changes(tuple(files), tuple(functions))


def _defined(line: str) -> str:
    found = _DEFINITION.match(line)
    return found[1] if found else ""
