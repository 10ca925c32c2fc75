"""Small random changes of the functions that reports are about: which of them does a testcase notice?

The mutants of `farm qualify` are bugs that somebody thought of. Mutation testing asks the same of what nobody did: one
line of a function that some testcase reaches is changed as a typing error would change it, and the testcases that `farm
repro` proposes for the diff are run. A change that the compiler makes nothing of (no difference in the kernel) does not
count; one that is noticed by no testcase may still be harmless, so each is printed, for somebody to look at.

What was done is kept in --dir: the same command goes on after an interruption.
"""

import argparse
import difflib
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench import history
from bench.histories import SOURCE, tree
from bench.kept import claim
from bench.measure import BenchError
from farm.bisect.builds import Builds
from farm.bisect.judge import FarmJudge
from farm.bisect.values import Build, Run, Seen
from farm.errors import FarmError
from farm.repro.ranking import propose
from farm.repro.understanding import understand
from farm.results import records
from farm.results.reached import Reached, load, without_parameters

# What the reports are about.
FILES = (
    "block/bio-integrity.c", "block/t10-pi.c", "crypto/cryptd.c", "drivers/md/dm-crypt.c", "drivers/md/dm-integrity.c",
    "mm/zswap.c", "security/integrity/evm/evm_crypto.c", "security/integrity/evm/evm_main.c",
    "security/keys/request_key.c",
)
RESULTS = "mutations.jsonl"
UNMODIFIED = "unmodified"
# Testcases that are run for each, as far as they are proposed.
TESTCASES = 3
# A function of the kernel: its head begins in the first column, and so do the braces of its body.
_FUNCTION = re.compile(
    r"^(?=[a-z])[^;{}#]*?\b(?P<name>\w+)\([^;{}]*\)\n\{\n(?P<body>.*?)^\}", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"\s*(?:\*|/[*/])")
_CONTINUED = re.compile(r"[;{}:]\s*(?:/\*.*\*/)?$|\*/$|^\s*$")

# What is written to the kernel's log is no business of a testcase.
_LOGS = r"(?:pr|dev)_(?:err|warn|info|debug|notice)\w*\(|DM(?:ERR|WARN|INFO|DEBUG)\w*\("


@dataclass(frozen=True)
class Operator:
    """One way to get a line wrong."""

    name: str
    # Where it applies, and what stands there then, as `re.sub` takes it.
    pattern: re.Pattern[str]
    instead: str
    # Only a line that is a statement of its own.
    whole: bool = False


def _operator(name: str, pattern: str, instead: str, *, whole: bool = False) -> Operator:
    return Operator(name, re.compile(pattern), instead, whole)


OPERATORS = (
    _operator("statement left out", rf"^(\t+)(?!return\b|goto\b|break\b|continue\b|{_LOGS})\w[\w>.\-\[\]*&]*"
              r"(?:\(.*\)| [|&^+-]?= .*|\+\+|--);", r"\1;", whole=True),
    _operator("condition negated", r"\bif \((.*)\)( \{)?$", r"if (!(\1))\2", whole=True),
    _operator("other side of a comparison", r" <= ", " > "),
    _operator("edge of a comparison", r" < (?!<)", " <= "),
    _operator("edge of a comparison", r" > (?!>)", " >= "),
    _operator("off by one", r" [+-] 1\b", ""),
    _operator("error forgotten", r"(return|=) -E\w+;", r"\1 0;"),
    _operator("error forgotten", r"\bBLK_STS_(?!OK\b)\w+", "BLK_STS_OK"),
    _operator("and for or", r" \|\|(?= |$)", " &&"),
    _operator("or for and", r" &&(?= |$)", " ||"),
    _operator("allocation that may do I/O", r"\bGFP_(?:NOIO|NOFS|NOWAIT|ATOMIC)\b", "GFP_KERNEL"),
    _operator("shifted the other way", r" << ", " >> "),
)


@dataclass(frozen=True)
class Mutation:
    """One changed line."""

    path: str
    function: str
    # Counted from 1.
    line: int
    # Name of its operator.
    what: str
    old: str
    new: str

    def diff(self, text: str) -> str:
        """The change of the whole file as git prints it, the function's name at the hunk's head."""
        before = text.splitlines(keepends=True)
        after = [*before[:self.line - 1], f"{self.new}\n", *before[self.line:]]
        lines = difflib.unified_diff(before, after, f"a/{self.path}", f"b/{self.path}")
        return "".join(f"{line[:-1]} {self.function}()\n" if line.startswith("@@") else line for line in lines)


@dataclass(frozen=True)
class Change:
    """A mutation that is asked, by its place among all that are drawn."""

    name: str
    mutation: Mutation
    testcases: tuple[str, ...]


def mutations(path: str, text: str, functions: frozenset[str] | None = None) -> Iterator[Mutation]:
    """Every change that the operators can make in a C file, or in those functions of it."""
    for found in _FUNCTION.finditer(text):
        if functions is not None and found["name"] not in functions:
            continue
        first = text.count("\n", 0, found.start("body")) + 1
        before = ""
        for number, line in enumerate(found["body"].splitlines(), first):
            if not _COMMENT.match(line):
                for operator in OPERATORS:
                    if operator.whole and (line.count("(") != line.count(")") or not _CONTINUED.search(before)):
                        continue
                    new = operator.pattern.sub(operator.instead, line, count=1)
                    if new != line:
                        yield Mutation(path, found["name"], number, operator.name, line, new)
            before = line


def draw(
    texts: dict[str, str], reached: Reached, seed: int, testcases: int, *, everywhere: bool = False,
) -> Iterator[Change]:
    """Changes in the order of the seed, each with the testcases to run; every file has the same chance.

    With `everywhere`, also in functions that no testcase is known to reach: those that the compiler inlines, and those
    that none does reach.
    """
    chance = random.Random(seed)
    left = {path: list(mutations(path, text, None if everywhere else reached.known)) for path, text in texts.items()}
    for ways in left.values():
        chance.shuffle(ways)
    place = 0
    while any(left.values()):
        path = chance.choice([one for one, ways in left.items() if ways])
        mutation = left[path].pop()
        report = understand(mutation.diff(texts[path]), reached.known)
        proposed = [one.testcase for one in propose(report, reached)]
        alike = [_alike(testcase, mutation.function, reached) for testcase in proposed]
        chosen = tuple(chance.choice(one) for one in alike if one)[:testcases]
        if chosen:
            place += 1
            yield Change(f"{place:04}", mutation, chosen)


def _alike(testcase: str, function: str, reached: Reached) -> list[str]:
    """The same testcase on whichever stack reaches the function; on all of them when no testcase is known to reach it.

    Of those that reach equally much the first one is proposed: for two testcases in the same mode of a layer.
    """
    place = without_parameters(testcase)
    return [one for one, functions in reached.functions.items() if without_parameters(one) == place
            and (function in functions or function not in reached.known)]


@dataclass(frozen=True)
class Kernels:
    """The kernels of changes, by their names, and what to run on them; a subject of `FarmJudge`."""

    patches: Path
    flavor: str
    duration: float
    testcases: tuple[str, ...] = ()

    @property
    def run_options(self) -> Sequence[str]:
        return [f"--duration={self.duration:g}"]

    def kernel(self, name: str) -> list[str]:
        patch = [] if name == UNMODIFIED else [f"--patch={self.patch(name)}"]
        return ["--source", SOURCE, "--flavor", self.flavor, *patch]

    def patch(self, name: str) -> Path:
        return self.patches / f"{name}.patch"


@dataclass(frozen=True)
class Row:
    """What became of one change."""

    mutation: Mutation
    # `noticed`, `unnoticed`, `no difference`, `no build`, or `unasked` where every testcase was skipped.
    result: str
    # The testcase that noticed, and by what.
    testcase: str = ""
    title: str = ""
    # Those that passed.
    passed: tuple[str, ...] = ()


def from_json(value: dict[str, Any]) -> Row:
    return Row(**{**value, "mutation": Mutation(**value["mutation"]), "passed": tuple(value["passed"])})


def judge(change: Change, build: Build, run: Callable[[str], Run], unmodified: str) -> Row:
    """Run one testcase after the other until one notices; `unmodified` is the digest of a kernel without the change.

    Raises BenchError when the host failed.
    """
    mutation = change.mutation
    if build.seen is Seen.NO_BUILD:
        return Row(mutation, "no build", title=build.error)
    if build.seen is not Seen.NO_BUG:
        raise BenchError(f"{mutation.path}:{mutation.line} was not built: {build.error}")
    if build.digest == unmodified:
        return Row(mutation, "no difference")
    passed: list[str] = []
    for testcase in change.testcases:
        seen = run(testcase)
        if seen.seen in (Seen.BUG, Seen.NO_BOOT, Seen.OTHER):
            return Row(mutation, "noticed", testcase, seen.title, tuple(passed))
        if seen.seen in (Seen.HOST, Seen.STOPPED):
            raise BenchError(f"{testcase} could not be run: {seen.title or seen.seen.value}")
        if seen.seen is Seen.NO_BUG:
            passed.append(testcase)
    return Row(mutation, "unnoticed" if passed else "unasked", passed=tuple(passed))


def carry_out(asked: argparse.Namespace, directory: Path) -> list[Row]:
    """Ask changes until so many count, those of an earlier command among them. Raises BenchError and FarmError."""
    claim(directory, RESULTS, {name: value for name, value in vars(asked).items() if name not in ("dir", "count")})
    repository = history.Repository(tree(directory)[0])
    texts = {path: repository.git("show", f"refs/heads/main:{path}") for path in asked.file or FILES}
    kernels = Kernels(directory / "patches", asked.flavor, asked.duration)
    kernels.patches.mkdir(exist_ok=True)
    rows = [from_json(value) for value in records.read(directory / RESULTS)]
    known = {row.mutation for row in rows}

    def changes() -> Iterator[Change]:
        for change in draw(texts, load(), asked.seed, asked.testcases, everywhere=asked.everywhere):
            if change.mutation not in known:
                diff = change.mutation.diff(texts[change.mutation.path])
                kernels.patch(change.name).write_text(diff, encoding="utf-8")
                yield change

    with closing(Builds(FarmJudge(kernels, directory))) as builds:
        unmodified = builds.get(UNMODIFIED)
        if not unmodified.digest:
            raise BenchError(f"the kernel without any change was not built: {unmodified.error}")
        coming = changes()
        following = next(coming, None)
        while following and counted(rows) < asked.count:
            change, following = following, next(coming, None)
            build = builds.get(change.name)
            builds.ahead([following.name] if following else [])

            def run(testcase: str, *, name: str = change.name, build: Build = build) -> Run:
                return FarmJudge(replace(kernels, testcases=(testcase,)), directory).run(name, build, None)

            rows.append(judge(change, build, run, unmodified.digest))
            records.append(directory / RESULTS, asdict(rows[-1]))
            print(described(rows[-1]), file=sys.stderr)
    return rows


def counted(rows: Iterable[Row]) -> int:
    """How many changes say something of the testcases."""
    return sum(row.result in ("noticed", "unnoticed") for row in rows)


def described(row: Row) -> str:
    """A row in a line."""
    one = row.mutation
    by = f" by {row.testcase}: {row.title}" if row.result == "noticed" else ""
    return f"{one.path}:{one.line} {one.function}(): {one.what}: {row.result}{by}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("bench-mutation"), metavar="DIR",
                        help="where all is kept")
    parser.add_argument("--count", type=int, default=40, metavar="N", help="changes that count (default: 40)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the drawing (default: 1)")
    parser.add_argument("--testcases", type=int, default=TESTCASES, metavar="N",
                        help=f"run for each at most (default: {TESTCASES})")
    parser.add_argument("--duration", type=float, default=10.0, metavar="S", help="of each workload (default: 10)")
    parser.add_argument("--flavor", default="base", metavar="NAME", help="kernel configuration (default: base)")
    parser.add_argument("--everywhere", action="store_true",
                        help="also in functions that no testcase is known to reach, inlined ones among them")
    parser.add_argument("--file", action="append", metavar="PATH", help="only these files of the kernel")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    rows = carry_out(asked, asked.dir.absolute())
    for row in rows:
        print(described(row))
    for row in rows:
        if row.result == "unnoticed":
            one = row.mutation
            print(f"\n{one.path}:{one.line} {one.function}(), passed: {', '.join(row.passed)}\n-{one.old}\n+{one.new}")
    noticed = sum(row.result == "noticed" for row in rows)
    print(f"\n{noticed} of {counted(rows)} changes were noticed ({len(rows) - counted(rows)} more made "
          "no difference to the kernel, did not compile, or met no testcase that could be asked)")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BenchError, FarmError) as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
