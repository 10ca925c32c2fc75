"""`make bench-oracle`: how well and how fast console logs are classified.

The corpus is a folder with `logs/*.log` and `expected.json`, given by --corpus or $FARM_CORPUS. Without it only speed
and memory are measured, and a line says so. The exit status is 1 when a target is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from farm.oops import Parser, classify

ROOT = Path(__file__).resolve().parents[1]
FARM = Path(sys.executable).parent / "farm"
CORPUS = ROOT.parent / "shared" / "corpus" / "console"
CLEAN_LOGS = ROOT / "tests" / "golden" / "clean"
MIB = 1 << 20
# Size of the clean console and of the long stream, in MiB; --quick divides both by 8.
CLEAN_MIB = 256
STREAM_MIB = 1024


@dataclass(frozen=True)
class Figure:
    """One measured quantity and what is asked of it."""

    name: str
    value: float
    unit: str
    # The least, or with `at_most` the most, that is asked for; None for a figure that only informs.
    target: float | None
    at_most: bool = False
    # How it came about, e.g. `173 of 175`.
    detail: str = ""

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.value <= self.target if self.at_most else self.value >= self.target


def share(name: str, good: int, of: int, target: float | None) -> Figure:
    return Figure(name, 100 * good / of if of else 0.0, "%", target, detail=f"{good} of {of}")


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
    yield Figure("findings in clean logs", count["false"], "", 0.0, True, f"of {count['clean']} logs")
    yield share("kind right, scored logs", count["scored kind"], count["scored"], 98.0)
    yield share("kind right, all titled logs", count["kind"], count["titled"], 98.0)
    yield share("kind as in the title, scored logs", count["exact"], count["scored"], None)
    yield share("function equal", count["function"], count["named"], 85.0)
    yield share("function equal, first choice only", count["strict"], count["named"], None)


def corpus_speed(corpus: Path) -> Figure:
    """The whole corpus in one process, start-up included; the best of three."""
    best = min(_timed([str(FARM), "classify", "--json", str(corpus / "logs")]) for _ in range(3))
    logs = len(list((corpus / "logs").glob("*.log")))
    return Figure("corpus as one process", best, "s", 2.0, True, f"{logs} logs, best of 3")


def _timed(argv: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


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
    """A long clean console in chunks of 64 KiB, as a monitor gets it."""
    block = clean_block()
    chunks = [block[at : at + 65_536] for at in range(0, len(block), 65_536)]
    rounds = max(1, mib * MIB // len(block))
    parser = Parser()
    found = 0
    started = time.perf_counter()
    for _ in range(rounds):
        for chunk in chunks:
            found += len(parser.feed(chunk))
    seconds = time.perf_counter() - started
    found += len(parser.close())
    size = rounds * len(block) / 1e6
    return Figure("clean console", size / seconds, "MB/s", 30.0, detail=f"{size:.0f} MB, {found} findings")


def memory(mib: int) -> Iterator[Figure]:
    """Peak memory of `farm classify -` over a short and a long stream with reports and overlong lines in it."""
    block = clean_block()
    block += REPORT + b"x" * (2 * MIB) + b"\n"
    short, long = (_peak(block, size) for size in (16, mib))
    yield Figure(f"memory over {mib} MiB", long, "MiB", None)
    yield Figure("memory beyond that of a 16 MiB stream", long - short, "MiB", 8.0, True)


def _peak(block: bytes, mib: int) -> float:
    with tempfile.TemporaryFile() as out:
        argv = [str(FARM), "classify", "--json", "-"]
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=out)
        assert child.stdin is not None
        for _ in range(max(1, mib * MIB // len(block))):
            child.stdin.write(block)
        child.stdin.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"`{' '.join(argv)}` ended with status {child.returncode}.")
    return usage.ru_maxrss / 1024


def main() -> int:
    arguments = _arguments()
    figures: list[Figure] = []
    misses: list[str] = []
    if (arguments.corpus / "expected.json").is_file():
        figures += accuracy(arguments.corpus, misses)
        figures.append(corpus_speed(arguments.corpus))
    else:
        print(f"SKIPPED: accuracy and speed on the corpus, because {arguments.corpus} has no expected.json. "
              "Name its folder by --corpus or $FARM_CORPUS.", file=sys.stderr)
    part = 8 if arguments.quick else 1
    figures.append(throughput(CLEAN_MIB // part))
    figures += memory(STREAM_MIB // part)
    if arguments.json:
        print(json.dumps({"figures": [{**asdict(one), "met": one.met} for one in figures], "misses": misses}))
    else:
        _show(figures, misses if arguments.misses else [])
    return 0 if all(one.met for one in figures) else 1


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description="Measure the classification of console logs.")
    parser.add_argument("--corpus", type=Path, default=Path(os.environ.get("FARM_CORPUS", CORPUS)), metavar="PATH",
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
        sign = "≤" if one.at_most else "≥"
        target = "" if one.target is None else f"{sign} {one.target:g} {one.unit}".strip()
        verdict = "" if one.target is None else "met" if one.met else "[red]missed[/]"
        table.add_row(one.name, f"{one.value:.4g} {one.unit}".strip(), target, verdict, one.detail)
    console = Console(highlight=False)
    console.print(table)
    for miss in misses:
        console.print(miss, markup=False)


if __name__ == "__main__":
    sys.exit(main())
