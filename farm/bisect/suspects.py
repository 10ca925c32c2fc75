"""Which commits a failure speaks of, before any of them was judged. Pure but for what asks git or reads a run.

Two things point at a file: the trace of the crash report, and what the failing testcase reaches and few others do (the
record of `farm reach`). A commit that touches such a file is suspected. That is a guess, so it decides in which order
revisions are judged, and never what is answered or how sure that is.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from farm import trial
from farm.bisect.values import Symptom
from farm.errors import InfrastructureError
from farm.host import process
from farm.kernel.git import Repository
from farm.model import Finding
from farm.results.reached import Reached

# How many times likelier the culprit touches a file with the function that the report names, or with the innermost one
# of its trace; the second of the trace says half as much, the third a third.
_NAMED, _TRACE = 400.0, 100.0
# What more than every second testcase reaches says nothing of one.
_RARE = 2.0
# A commit that touches nothing of this, and one that touches nothing that a kernel is made of.
_OTHER, _NO_CODE = 1.0, 1 / 64
# Of no kernel's code: Documentation/, the tools that run on a host, and lists of people.
_NOT_BUILT = re.compile(
    r"(?:Documentation|LICENSES|samples|tools/(?!build|include|lib|objtool)[^/]*|usr/share)/|"
    r"(?:MAINTAINERS|CREDITS|README|COPYING|\.mailmap|\.clang-format|\.gitignore)$|.*/\.gitignore$")
# This much of the probability is shared out evenly: what the guess may cost when it is wrong is two or three revisions.
_EVEN = 0.25
# Where git looks for definitions of functions: a line that begins with a name and opens a parenthesis, no statement.
_DEFINITION = r"^[[:alpha:]_][^;=]*\([^;]*$"
_NAME = re.compile(r"(\w+)\s*\(", re.ASCII)
# Paths that one command line can hold.
_AT_ONCE = 1000


@dataclass(frozen=True)
class Suspect:
    """Why a commit is suspected."""

    # How many times likelier it is the culprit than one that nothing speaks of.
    weight: float
    # The file that it touches, and the weightiest function there.
    file: str
    function: str


@dataclass(frozen=True)
class Guess:
    """Which commits are suspected; empty where nothing tells them apart."""

    # Those most suspected first.
    suspects: Mapping[str, Suspect] = field(default_factory=dict)
    # Commit -> its probability to be the culprit, of all that could be.
    shares: Mapping[str, float] = field(default_factory=dict)


def clues(findings: Iterable[Finding], testcases: Iterable[str], reached: Reached) -> dict[str, float]:
    """Function -> how much a failure speaks of it, by its crash reports and by what its testcases reach."""
    found: dict[str, float] = {}
    rarity = reached.rarity
    for function in {name for one in testcases for name in reached.of(one)}:
        if rarity[function] >= _RARE:
            found[function] = rarity[function] - 1
    for finding in findings:
        trace = [frame.function for frame in finding.frames if not frame.generic]
        for depth, function in enumerate(trace, 1):
            found[function] = max(found.get(function, 0.0), _TRACE / depth)
        if finding.function:
            found[finding.function] = _NAMED
    return found


def clues_of(runs: Iterable[Path], symptom: Symptom, reached: Reached) -> dict[str, float]:
    """The clues of run directories, by the cells that failed and by those crash reports that are the bug."""
    failed = [cell for run in runs for cell in trial.cells_in(run) if cell.failures]
    findings = [one for cell in failed for one in cell.failures if symptom.covers(one)]
    return clues(findings, {cell.testcase for cell in failed}, reached)


def suspects(touches: Mapping[str, Collection[str]], defines: Mapping[str, Collection[str]],
             speaks_of: Mapping[str, float]) -> dict[str, Suspect]:
    """The suspected commits, those most suspected first.

    `touches` has the files of each commit, `defines` the functions of each file, `speaks_of` what `clues` made.
    """
    weights = {file: sum(speaks_of.get(one, 0.0) for one in functions) for file, functions in defines.items()}
    found = {}
    for commit, files in touches.items():
        file = max(files, key=lambda one: weights.get(one, 0.0), default="")
        if weights.get(file, 0.0) > 0:
            function = max(defines[file], key=lambda one: (speaks_of.get(one, 0.0), one))
            found[commit] = Suspect(_OTHER + weights[file], file, function)
    return dict(sorted(found.items(), key=lambda item: -item[1].weight))


def shares(members: Collection[str], touches: Mapping[str, Collection[str]],
           found: Mapping[str, Suspect]) -> dict[str, float]:
    """Probability of each of these commits to be the culprit, as far as that can be guessed."""
    weights = {commit: found[commit].weight if commit in found
               else _NO_CODE if touches.get(commit) and all(map(_NOT_BUILT.match, touches[commit])) else _OTHER
               for commit in members}
    whole, even = sum(weights.values()), _EVEN / max(1, len(weights))
    return {commit: even + (1 - _EVEN) * weight / whole for commit, weight in weights.items()}


def touched(repository: Repository, commits: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The files that each commit changes; none for a merge. Raises InfrastructureError."""
    told = repository.run("-c", "core.quotePath=false", "diff-tree", "--stdin", "-r", "--name-only", "--no-renames",
                          input="".join(f"{one}\n" for one in commits).encode()).stdout
    found: dict[str, list[str]] = {commit: [] for commit in commits}
    files: list[str] = []
    for line in told.split("\n"):
        if line in found:
            files = found[line]
        elif line:
            files.append(line)
    return {commit: tuple(names) for commit, names in found.items()}


def defined(repository: Repository, revision: str, files: Iterable[str],
            names: Collection[str]) -> dict[str, frozenset[str]]:
    """Which of these functions each file defines in a revision. Raises InfrastructureError."""
    wanted = frozenset(names)
    sources = sorted(file for file in files if file.endswith((".c", ".h")))
    found: dict[str, set[str]] = {}
    for begin in range(0, len(sources), _AT_ONCE):
        done = repository.run("--literal-pathspecs", "grep", "-z", "-I", "-E", _DEFINITION, revision, "--",
                              *sources[begin:begin + _AT_ONCE], check=False)
        if done.returncode not in (0, 1):  # 1: nothing found
            raise InfrastructureError(process.failure(done))
        for line in done.stdout.split("\n"):
            where, _, text = line.partition("\0")
            file = where.partition(":")[2]
            if file.endswith(".c") or "inline" in text:  # all else in a header is declared there
                found.setdefault(file, set()).update(wanted.intersection(_NAME.findall(text)))
    return {file: frozenset(functions) for file, functions in found.items() if functions}


def guess(repository: Repository, revision: str, members: Collection[str], speaks_of: Mapping[str, float]) -> Guess:
    """The suspects among some commits that a revision contains. Raises InfrastructureError."""
    if not speaks_of:
        return Guess()
    touches = touched(repository, members)
    files = {file for names in touches.values() for file in names}
    found = suspects(touches, defined(repository, revision, files, speaks_of.keys()), speaks_of)
    return Guess(found, shares(members, touches, found) if found else {})
