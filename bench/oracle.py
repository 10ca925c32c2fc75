"""`make bench-oracle`: how well and how fast console logs are classified.

The corpus is a folder with `logs/*.log` and `expected.json`, given by --corpus or $FARM_CORPUS. Without it the
farm's own logs, speed and memory are measured, and a line says so. The exit status is 1 when a target is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.measure import BenchError, Figure, pasteable
from farm.host import process
from farm.oops import Parser, classify

ROOT = Path(__file__).resolve().parents[1]
FARM = Path(sys.executable).parent / "farm"
CORPUS = Path(os.environ.get("FARM_CORPUS", ROOT.parent / "shared" / "corpus" / "console"))
GOLDEN_LOGS = ROOT / "tests" / "golden"
CLEAN_LOGS = GOLDEN_LOGS / "clean"
COMMAND = "make bench-oracle"
MIB = 1 << 20
# Size of the clean console and of the long stream, in MiB; --quick divides both by 8.
CLEAN_MIB = 256
STREAM_MIB = 1024


def share(name: str, good: int, of: int, target: float | None) -> Figure:
    value = 100 * good / of if of else 0.0
    return Figure(name, "%", (value,), target, COMMAND, at_least=True, detail=f"{good} of {of}")


def number(name: str, value: float, target: float, detail: str = "", *, at_least: bool = False) -> Figure:
    return Figure(name, "", (value,), target, COMMAND, at_least, detail)


def accuracy(corpus: Path, misses: list[str]) -> Iterator[Figure]:
    """What `classify` says of each log of the corpus, against what is expected.

    The first finding that is not suppressed names the log. Kind and function count over the logs marked as scored, the
    kind also over all titled ones.
    """
    expected = json.loads((corpus / "expected.json").read_text())
    count: dict[str, int] = dict.fromkeys(
        ("titled", "found", "clean", "false", "kind", "scored", "scored kind", "exact", "named", "function", "strict"),
        0)
    for one in expected:
        findings = classify((corpus / "logs" / one["file"]).read_bytes())
        if not one["title"]:
            count["clean"] += 1
            count["false"] += bool(findings)
            misses += [f"{one['file']}: clean, but {findings[0].title}"] if findings else []
            continue
        count["titled"] += 1
        if not findings:
            misses.append(f"{one['file']}: {one['title']} is not found")
            continue
        count["found"] += 1
        first = next((finding for finding in findings if not finding.suppressed), findings[0])
        right = first.kind in one["kinds_accepted"]
        count["kind"] += right
        if not one["scored"]:
            continue
        count["scored"] += 1
        count["scored kind"] += right
        count["exact"] += first.kind == one["kind"]
        misses += [] if right else [f"{one['file']}: {one['title']} is taken for {first.kind}"]
        if one["functions_lenient"]:
            count["named"] += 1
            count["strict"] += first.function in one["functions"]
            count["function"] += first.function in one["functions_lenient"]
            if first.function not in one["functions_lenient"]:
                misses.append(f"{one['file']}: {one['title']}, but function {first.function!r}")
    yield share("titled logs found", count["found"], count["titled"], 100.0)
    yield number("findings in clean logs", count["false"], 0.0, f"of {count['clean']} logs")
    yield share("kind right, scored logs", count["scored kind"], count["scored"], 98.0)
    yield share("kind right, all titled logs", count["kind"], count["titled"], 98.0)
    yield share("kind as in the title, scored logs", count["exact"], count["scored"], None)
    yield share("function equal", count["function"], count["named"], 85.0)
    yield share("function equal, first choice only", count["strict"], count["named"], None)


def own_logs(misses: list[str]) -> Iterator[Figure]:
    """The farm's own consoles: clean ones, and those of tests/golden with the findings that a reviewer accepted."""
    clean = sorted(CLEAN_LOGS.glob("*.log"))
    false = [f"{log.name}: clean, but {found[0].title}" for log in clean if (found := classify(log.read_bytes()))]
    yield number("own clean logs", len(clean), 20.0, at_least=True)
    yield number("findings in own clean logs", len(false), 0.0, f"of {len(clean)} logs")
    goldens = sorted(GOLDEN_LOGS.glob("*.log"))
    wrong = [f"{log.name}: not what {log.stem}.json says" for log in goldens if not _as_expected(log)]
    yield share("own logs as expected", len(goldens) - len(wrong), len(goldens), 100.0)
    misses += [*false, *wrong]


def _as_expected(log: Path) -> bool:
    said = [(one.kind, one.title, one.function, one.suppressed) for one in classify(log.read_bytes())]
    expected = json.loads(log.with_suffix(".json").read_text())
    return said == [(one["kind"], one["title"], one["function"], one["suppressed"]) for one in expected]


def process_speed(name: str, logs: Path) -> Figure:
    """A directory of logs in one process, start-up included; the best of three, in CPU time as `throughput`."""
    argv = [str(FARM), "classify", "--json", str(logs)]
    best, wall = min(_timed(argv) for _ in range(3))
    count = len(list(logs.glob("*.log")))
    return Figure(name, "s", (best,), 2.0, pasteable(argv, {}), detail=f"{count} logs; {wall:.2f} s on the clock")


def _timed(argv: list[str]) -> tuple[float, float]:
    """CPU and wall seconds."""
    started = time.perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise BenchError(f"`{process.as_typed(argv)}` ended with status {child.returncode}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - started


def clean_block() -> bytes:
    """About one MiB of real consoles on which nothing is wrong, without the banners that would make it many boots."""
    lines = [
        line
        for log in sorted(CLEAN_LOGS.glob("*.log"))
        for line in log.read_bytes().splitlines(keepends=True)
        if b"Linux version " not in line
    ]
    text = b"".join(lines) + b"\n"
    return text * max(1, MIB // len(text))


REPORT = b"""\
[  100.000000][  T57] BUG: KASAN: slab-use-after-free in crypt_dec_pending+0x3b/0x120
[  100.000001][  T57] Read of size 8 at addr ffff888004c1a408 by task kworker/u8:3/57
[  100.000002][  T57] Call Trace:
[  100.000003][  T57]  kasan_report+0xd1/0x110
[  100.000004][  T57]  crypt_dec_pending+0x3b/0x120
[  100.000005][  T57]  process_one_work+0x36a/0x780
[  100.000006][  T57] ==================================================================
"""


def throughput(mib: int) -> Figure:
    """A long clean console in chunks of 64 KiB, as a monitor gets it; in CPU time, whatever else the host does."""
    block = clean_block()
    chunks = [block[at : at + 65_536] for at in range(0, len(block), 65_536)]
    rounds = max(1, mib * MIB // len(block))
    parser = Parser()
    found = 0
    started = time.process_time()
    for _ in range(rounds):
        for chunk in chunks:
            found += len(parser.feed(chunk))
    seconds = time.process_time() - started
    found += len(parser.close())
    size = rounds * len(block) / 1e6
    return Figure("long clean console", "MB/s", (size / seconds,), 30.0, COMMAND, at_least=True,
                  detail=f"{size:.0f} MB, {found} findings")


def memory(mib: int) -> Iterator[Figure]:
    """Peak memory of `farm classify -` over a short and a long stream with reports and overlong lines in it."""
    block = clean_block()
    block += REPORT + b"x" * (2 * MIB) + b"\n"
    short, long = (_peak(block, size) for size in (16, mib))
    yield Figure("memory over a long stream", "MiB", (long,), None, COMMAND, detail=f"peak over {mib} MiB")
    yield Figure("memory beyond that of 16 MiB", "MiB", (long - short,), 8.0, COMMAND)


def speed(corpus: Path | None, *, quick: bool) -> Iterator[Figure]:
    """Speed and memory, with or without a corpus."""
    part = 8 if quick else 1
    if corpus:
        yield process_speed("corpus as one process", corpus / "logs")
    yield throughput(CLEAN_MIB // part)
    yield from memory(STREAM_MIB // part)


def found(corpus: Path = CORPUS) -> Path | None:
    """The corpus to measure on; says so when there is none."""
    if (corpus / "expected.json").is_file():
        return corpus
    print(f"not measured: accuracy and speed on the corpus, because {corpus} has no expected.json. "
          "Name its folder by --corpus or $FARM_CORPUS.", file=sys.stderr)
    return None


def _peak(block: bytes, mib: int) -> float:
    with tempfile.TemporaryFile() as out:
        argv = [str(FARM), "classify", "--json", "-"]
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=out)
        assert child.stdin is not None
        with suppress(BrokenPipeError), child.stdin as pipe:  # of one that ends early, the status tells
            for _ in range(max(1, mib * MIB // len(block))):
                pipe.write(block)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise BenchError(f"`{process.as_typed(argv)}` ended with status {child.returncode}")
    return usage.ru_maxrss / 1024


def main() -> int:
    arguments = _arguments()
    misses: list[str] = []
    figures = list(own_logs(misses))
    corpus = found(arguments.corpus)
    figures += accuracy(corpus, misses) if corpus else []
    figures += speed(corpus, quick=arguments.quick)
    if arguments.json:
        print(json.dumps({"figures": [one.to_json() for one in figures], "misses": misses}))
    else:
        _show(figures, misses if arguments.misses else [])
    return 0 if all(one.met for one in figures) else 1


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description="Measure the classification of console logs.")
    parser.add_argument("--corpus", type=Path, default=CORPUS, metavar="PATH",
                        help="folder with logs/ and expected.json (default: $FARM_CORPUS or ../shared/corpus/console)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--misses", action="store_true", help="also list the logs that were misjudged")
    parser.add_argument("--quick", action="store_true", help="an eighth of the data for speed and memory")
    return parser.parse_args()


def _show(figures: list[Figure], misses: list[str]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("figure", "value", "target", "", "detail"):
        table.add_column(heading, justify="right" if heading in ("value", "target") else "left")
    for one in figures:
        sign = "≥" if one.at_least else "≤"
        target = "" if one.target is None else f"{sign} {one.target:g} {one.unit}".strip()
        verdict = "" if one.target is None else "[green]pass[/]" if one.met else "[red]FAIL[/]"
        table.add_row(one.name, f"{one.median:.4g} {one.unit}".strip(), target, verdict, one.detail)
    console = Console(highlight=False)
    console.print(table)
    for miss in misses:
        console.print(miss, markup=False)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(f"bench: {error}")
