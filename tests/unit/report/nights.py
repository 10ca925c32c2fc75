"""A made-up month of nights in a database, with all that a site shows; some of it hostile."""

import random
from dataclasses import replace
from pathlib import Path

from farm.model import Outcome
from farm.nightly.judgement import judge, judge_build
from farm.nightly.past import read_pasts
from farm.results.database import Database
from farm.results.values import BUILD, CellRow, RunRow, Series, State

HOSTILE = "<script>document.title='owned'</script> in crypt_map\x07"
REPORT = """kernel panic: dm-crypt: cannot write today in crypt_map

Kernel panic - not syncing: dm-crypt: cannot write today
CPU: 1 UID: 0 PID: 96 Comm: mkfs.xfs Not tainted 6.12.117-farm #1
Call Trace:
 <TASK>
 panic+0x307/0x360 (kernel/panic.c:354)
 crypt_map+0x294/0x2d0 (drivers/md/dm-crypt.c:3514)
 </TASK>
"""
PLACES = [Series(kernel, flavor, "") for kernel in ("6.12", "6.1") for flavor in ("base", "debug")]
NAMES = ["test_crypt.py::test_xfs_on_crypt_on_pi", "test_luks2.py::test_hmac_sha256_written_and_reopened",
         "test_swap.py::test_swap_on_crypt_under_pressure", "test_zswap.py::test_bring_up_fails[crypt]",
         "test_protection_information.py::test_linear_at_an_odd_offset_reports_a_changed_reference_tag",
         "test_slow.py::test_slow", "test_hostile.py::test_hostile[<b>&\"']"]
NIGHTS = 14


def outcome(random_: random.Random, night: int, series: Series) -> tuple[Outcome, str]:
    """What a run of that night shows, and the function that it fails in."""
    name = series.testcase
    if "zswap" in name and random_.random() < 0.25:
        return Outcome.FAIL, "zswap_store"
    if "xfs_on_crypt" in name and series.kernel == "6.12" and night >= 12:
        return Outcome.FAIL, "crypt_map"
    if "luks2" in name and series.flavor == "debug" and 5 <= night < 12:
        return Outcome.FAIL, "crypt_convert"
    if "hostile" in name and night >= 13:
        return Outcome.FAIL, HOSTILE
    if "swap_on_crypt" in name and night == 7:
        return Outcome.ERROR, ""
    return Outcome.PASS, ""


def cell(random_: random.Random, night: int, series: Series, attempt: int, directory: Path) -> CellRow:
    ended, function = outcome(random_, night, series)
    seconds = 12 + 3 * random_.random() + (9 if series.testcase.startswith("test_slow") and night > 10 else 0)
    row = CellRow(
        series, ended, attempt=attempt, release=f"{series.kernel}.{100 + night}", host="build-1", seconds=seconds,
        seed=night, at=1.79e9 + night * 86400, accelerator="tcg", compiler="gcc (Debian 12.2.0-14) 12.2.0",
        config="c" * 64, source=f"debian:linux-source-{series.kernel}", stacks="data / crypt / xfs",
        machine="2 CPUs, 1024 MiB, 1 namespaces")
    if ended is Outcome.ERROR:
        return replace(row, title="QEMU ended by signal 9 (SIGKILL).")
    if ended is Outcome.PASS:
        return row
    where = directory / f"cells/{night}-{series.key}-{attempt}"
    (where / "reports").mkdir(parents=True)
    (where / "reports/01-panic.txt").write_text("not this one")
    (where / "reports/01-panic.decoded.txt").write_text(REPORT + function)
    (where / "console.log").write_text("[    3.1] a line\n" * 300 + "[    9.9] the last line\n")
    (where / "command").write_text("farm run test_crypt.py --seed=7\n")
    return replace(row, kind="panic", function=function, signature=f"panic:{function}",
                   title=f"kernel panic: dm-crypt: cannot write today in {function}",
                   directory=str(where.relative_to(directory)))


def make(database: Database, directory: Path, nights: int = NIGHTS) -> None:
    """Carry the nights out, verdicts and all."""
    random_ = random.Random(3)
    series = [replace(place, testcase=name) for place in PLACES for name in (BUILD, *NAMES)]
    for night in range(nights):
        number = database.begin(RunRow(f"2026{11:02}{night + 1:02}-230000-{night:04x}", "nightly", "d",
                                       str(directory), "build-1", "0.1.0", 1.79e9 + night * 86400))
        pasts = read_pasts(database, series, number)
        verdicts = []
        for one in series:
            decide, rows = (judge_build if one.is_build else judge), []
            undecided = True
            while undecided:
                rows.append(cell(random_, night, one, len(rows) + 1, directory))
                judgement = decide(one, rows, pasts[one.key], most=8)
                undecided = judgement.undecided
            database.record(number, rows)
            verdicts.append(judgement.verdict)
        database.decide(number, verdicts)
        database.end(number, State.COMPLETE, 1.79e9 + night * 86400 + 7200)
