"""Which testcases are about the place that a patch changes: what they say of themselves, and the bugs they caught.

What a testcase reaches tells little of one function that half of them reach. Its comments name the functions that it is
written for, and the mutants (testcases/mutants/) are bugs of which it is known who notices them. Pure but for reading
the testcases and the mutants.
"""

import ast
import functools
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from farm.errors import UserError
from farm.host.workdir import data_directory
from farm.kernel import DEFAULT_FLAVOR
from farm.qualify.mutant import Mutant, load_mutants
from farm.repro.patchtext import Changes, changes
from farm.repro.understanding import Understanding
from farm.results.reached import without_parameters

# What is added to a testcase's fit (ranking.py), which is 1 at most: it names a function that is changed, or its file.
_NAMES_FUNCTION, _NAMES_FILE = 1.0, 0.2
# A bug that it caught in a function that is changed, or elsewhere in its file; of many each counts less.
_CAUGHT_THERE, _CAUGHT_NEARBY = 1.0, 0.1
# Names of functions; those of one word are words of English as well.
_NAME = re.compile(r"\b_{0,2}[a-z][a-z0-9]*_[a-z0-9_]+\b", re.ASCII)
_FILE = re.compile(r"\b[\w/-]+\.[ch]\b", re.ASCII)
# In the header of a mutant.
_UPSTREAM = re.compile(r"[\w/.-]+\.[ch]:(\w+(?:, \w+)*)", re.ASCII)


@dataclass(frozen=True)
class Bug:
    """A bug that is known to be noticed."""

    name: str
    changes: Changes
    # Node id of the testcase, relative to the farm's testcases, and the flavor in which it notices.
    testcase: str
    flavor: str = DEFAULT_FLAVOR


@dataclass(frozen=True)
class Standing:
    """What speaks for a testcase, beside what it reaches."""

    # Functions that are changed and that it names.
    names: tuple[str, ...] = ()
    # Bugs that it caught in those functions, and in the rest of their files.
    caught: tuple[str, ...] = ()
    nearby: tuple[str, ...] = ()
    # Whether one of these was caught with its very parameters.
    exact: bool = False
    # The flavor in which all those in the functions show, "" when they do not agree.
    flavor: str = ""
    # What is added to its fit.
    weight: float = 0.0


class Experience:
    """What is known of the testcases about one patch."""

    def __init__(self, patch: Changes, about: dict[str, frozenset[str]], bugs: Iterable[Bug]) -> None:
        """`about`: testcase without parameters -> words of its text, names of files among them."""
        self._patch, self._about = patch, about
        # All by which a file may be named: mm/zswap.c, zswap.c.
        self._files = frozenset(
            "/".join(parts[first:]) for parts in (file.split("/") for file in patch.files)
            for first in range(len(parts)))
        # Testcase without parameters -> bugs that it caught in the patch's functions, and elsewhere in its files.
        self._there: defaultdict[str, list[Bug]] = defaultdict(list)
        self._nearby: defaultdict[str, list[Bug]] = defaultdict(list)
        for bug in bugs:
            if bug.changes.share_function(patch):
                self._there[without_parameters(bug.testcase)].append(bug)
            elif bug.changes.share_file(patch):
                self._nearby[without_parameters(bug.testcase)].append(bug)

    def of(self, testcase: str) -> Standing:
        """What speaks for a testcase, with its parameters."""
        function = without_parameters(testcase)
        words = self._about.get(function, frozenset())
        names = tuple(one for one in self._patch.functions if one in words)
        there, nearby = self._there.get(function, []), self._nearby.get(function, [])
        flavors = {bug.flavor for bug in there}
        weight = (_NAMES_FUNCTION * bool(names) + _NAMES_FILE * bool(words & self._files)
                  + math.log1p(_CAUGHT_THERE * len(there) + _CAUGHT_NEARBY * len(nearby)))
        return Standing(
            names, tuple(bug.name for bug in there), tuple(bug.name for bug in nearby),
            exact=any(bug.testcase == testcase for bug in there or nearby),
            flavor=flavors.pop() if len(flavors) == 1 else "", weight=weight)


def experience(report: Understanding) -> Experience | None:
    """What is known of the farm's own testcases about a patch; None of a report that has none.

    Nor of one with a crash report: that says more than what somebody proposes to change.
    """
    return Experience(report.changes, *_own()) if report.changes.files and not report.findings else None


@functools.cache
def _own() -> tuple[dict[str, frozenset[str]], tuple[Bug, ...]]:
    # What is being written may be broken, and is no reason to propose nothing: it speaks for an order alone.
    bugs: tuple[Bug, ...] = ()
    with suppress(UserError, OSError):
        bugs = tuple(bug(one.path.read_text(encoding="utf-8"), one) for one in load_mutants())
    return read_about(data_directory("testcases")), bugs


def bug(diff: str, mutant: Mutant) -> Bug:
    """A mutant by the diff that makes it, and by the functions that its header names."""
    found, named = changes(diff), _UPSTREAM.match(mutant.upstream)
    functions = (*found.functions, *(named[1].split(", ") if named else ()))
    return Bug(mutant.name, Changes(found.files, functions), mutant.testcase, mutant.flavor)


def read_about(directory: Path) -> dict[str, frozenset[str]]:
    """Testcase without parameters -> what its text names: that of its function, and all above that no other has."""
    found: dict[str, frozenset[str]] = {}
    for path in sorted(directory.glob("test_*.py")):
        with suppress(SyntaxError, ValueError, OSError):
            for name, text in _texts(path.read_text(encoding="utf-8")):
                found[f"{path.name}::{name}"] = frozenset(_NAME.findall(text)) | frozenset(_FILE.findall(text))
    return found


def _texts(source: str) -> Iterator[tuple[str, str]]:
    lines, begin = source.splitlines(), 0
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            end = node.end_lineno or node.lineno
            yield node.name, "\n".join(lines[begin:end])
            begin = end
