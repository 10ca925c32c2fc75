"""Which files and functions of the kernel a patch changes. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOP = (r"(?:arch|block|certs|crypto|drivers|fs|include|init|io_uring|ipc|kernel|lib|mm|net|rust|samples|scripts|"
        r"security|sound|tools|usr|virt)")
# Whatever stands before the tree's own directories: a/, i/ (diff.mnemonicPrefix), linux-6.12.orig/.
_FILE = re.compile(rf'(?:---|\+\+\+) "?(?:\S*?/)??({_TOP}/[\w.+/-]+)', re.ASCII)
# git and `diff -p` put the line there by which they know a function; of a merge there is a count for each parent.
_HUNK = re.compile(r"(@@+) -\d{1,9}(?:,(\d{1,9}))? (?:-\S{1,20} )*\+\d{1,9}(?:,(\d{1,9}))? @@+ ?(.*)", re.ASCII)
# A definition has its name at the beginning of a line, behind its type if that does not stand above (XFS), and is none
# if it ends as a declaration.
_DEFINITION = re.compile(
    r"(?:[A-Za-z_][\w \t*]*?[ \t*])??(?!__(?:printf|section|attribute__|acquires|releases|must_hold)\b)([a-z_]\w*)"
    r"\((?!.*;\s*$)", re.ASCII)
# Of a mail, below what git made.
_SIGNATURE = ("-- ", "--")
_LABEL = re.compile(r"\w+:(?!:)", re.ASCII)


@dataclass(frozen=True)
class Changes:
    """What a patch changes; nothing when a text is none."""

    # From the tree's own directories on.
    files: tuple[str, ...] = ()
    # As far as the patch names them.
    functions: tuple[str, ...] = ()

    def share_file(self, other: "Changes") -> bool:
        """Whether both change a file."""
        return not set(self.files).isdisjoint(other.files)

    def share_function(self, other: "Changes") -> bool:
        """Whether both change a function of one name, and a file."""
        return self.share_file(other) and not set(self.functions).isdisjoint(other.functions)


def changes(text: str) -> Changes:
    """Read one diff or several, with or without mails around them."""
    files: dict[str, None] = {}
    functions: dict[str, None] = {}
    for line in _lines(text):
        if line.file:
            files[line.file] = None
        elif files and line.function:
            functions[line.function] = None
    return Changes(tuple(files), tuple(functions))


def prose(text: str) -> str:
    """What is left of a text without the diffs in it."""
    return "\n".join(line.text for line in _lines(text) if line.prose)


@dataclass(frozen=True)
class _Line:
    text: str
    prose: bool = False
    # The file that it names.
    file: str = ""
    # The function in which it changes something.
    function: str = ""


def _lines(text: str) -> Iterator[_Line]:
    """Every line, and what it is to a diff. A hunk ends where its head says, or before a signature."""
    place, old, new = "", 0, 0
    for line in text.splitlines():
        if hunk := _HUNK.match(line):
            place = _after(hunk[4], "")
            merge = hunk[1] != "@@"
            # The lines of a merge have a marker for each parent; its heads have to do.
            old, new = (0, 0) if merge else (int(hunk[2] or 1), int(hunk[3] or 1))
            yield _Line(line, function=place if merge else "")
        elif (old > 0 or new > 0) and line not in _SIGNATURE and not line.startswith("diff "):
            marker = line[:1] if line[:1] in {"+", "-", " ", "\\"} else ""
            old -= marker in {"-", " ", ""}
            new -= marker in {"+", " ", ""}
            # Archives take the blank before what did not change, and the indentation with it.
            place = _after(line[1:], place) if marker else _after(line, place, indented=True)
            yield _Line(line, function=place if marker in {"+", "-"} else "")
            place = "" if line[len(marker):].startswith("}") and marker else place
        elif line.startswith(("--- ", "+++ ")):
            found = _FILE.match(line)
            yield _Line(line, file=found[1] if found else "")
        else:
            old = new = 0
            yield _Line(line, prose=not line.startswith(("diff ", "index ")))


def _after(line: str, place: str, *, indented: bool = False) -> str:
    """The function in which one is behind this line of source, when one was in `place` before it.

    `indented`: it may have been; then only a definition says anything.
    """
    if not line[:1].isalpha() and line[:1] != "_":
        return place
    if found := _DEFINITION.match(line):
        return found[1]
    return place if indented or _LABEL.match(line) else ""
