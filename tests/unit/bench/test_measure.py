"""The benchmark's own arithmetic, and its ruler."""

import sys
import threading

import pytest

from bench import main
from bench.measure import BenchError, Figure, Measured, measure, pasteable


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_median_and_its_share_of_the_target() -> None:
    one = Figure("boot", "s", (9.0, 2.0, 3.0), 6.0, "farm run")
    assert (one.median, one.ratio) == (3.0, 0.5)
    assert one.to_json() == {
        "name": "boot", "unit": "s", "median": 3.0, "values": [9.0, 2.0, 3.0], "target": 6.0, "ratio": 0.5,
        "at_least": False, "met": True, "detail": "", "command": "farm run",
    }


@pytest.mark.parametrize(("value", "at_least", "ratio", "met"), [
    (20.0, False, 2.0, False), (5.0, False, 0.5, True), (20.0, True, 0.5, True), (5.0, True, 2.0, False)])
def test_a_target_is_the_most_or_the_least(value: float, at_least: bool, ratio: float, met: bool) -> None:
    one = Figure("x", "s", (value,), 10.0, "x", at_least=at_least)
    assert (one.ratio, one.met) == (ratio, met)


def test_a_target_of_none_at_all_is_met_by_none_at_all() -> None:
    assert Figure("findings", "", (0.0,), 0.0, "x").met
    assert not Figure("findings", "", (1.0,), 0.0, "x").met


def test_a_figure_without_a_target_has_no_share() -> None:
    assert Figure("x", "s", (1.0,), None, "x").ratio is None


def test_time_memory_and_words_are_those_of_the_command() -> None:
    done = measure(python("import time; x = bytearray(80 << 20); time.sleep(0.4); print('noise'); print('{\"a\": 1}')"))
    assert done.said == {"a": 1}
    assert 0.4 <= done.seconds < 10
    assert 80 < done.peak_mib < 140


def test_cpu_time_counts_children_and_memory_does_not() -> None:
    child = "x = bytearray(300 << 20); [None for _ in range(5_000_000)]"
    done = measure(python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print(1)"))
    assert done.cpu_seconds > 0.1
    assert done.peak_mib < 100


@pytest.mark.parametrize(("code", "words"), [
    ("import sys; sys.exit('no kernel')", "no kernel"),
    ("print('nothing to see')", "did not end with a line of JSON"),
    ("pass", "did not end with a line of JSON"),
])
def test_a_command_that_fails_is_no_measurement(code: str, words: str) -> None:
    before = set(threading.enumerate())
    with pytest.raises(BenchError, match=words):
        measure(python(code))
    assert set(threading.enumerate()) <= before  # nothing goes on sampling beside the next measurement


def test_the_command_can_be_pasted() -> None:
    assert pasteable(["farm", "build"], {}) == "farm build"
    assert pasteable(["farm", "build"], {"A": "b c"}) == "env 'A=b c' farm build"


def test_overhead_is_what_is_neither_boot_nor_workload_nor_waiting() -> None:
    durations = {"boot": 5.0, "workload": 2.0, "admission": 60.0, "setup": 1.0, "teardown": 0.5, "total": 69.0}
    assert main.overhead(durations) == 2.0


def test_cells_that_did_not_pass_are_not_measured(tmp_path) -> None:
    run = Measured(0, 0, 0, 0, {"run": str(tmp_path)})
    with pytest.raises(BenchError, match="none ran"):
        main.results_of(run)
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell/result.json").write_text('{"outcome": "error", "title": "no room", "cell": {"testcase": "t"}}')
    with pytest.raises(BenchError, match="t: no room"):
        main.results_of(run)


def test_every_promised_figure_has_a_row() -> None:
    assert {name: target for name, (_, target) in main.TARGETS.items() if target} == {
        "cold build, base flavor": 12, "no-op build": 1, "farm run to its first cell": 5,
        "boot to first ssh answer": 6, "cell: neither boot nor workload": 6, "cell: tear-down": 1,
        "farm's own memory": 200,
    }
