"""What a long measurement keeps when it is interrupted."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bench import parts
from bench.parts import Parts, note, unfinished


def test_a_part_that_was_measured_stays_so_and_others_do_not_know_it(tmp_path):
    one = Parts(tmp_path / "p", "a")
    with one.timing("farm"):
        time.sleep(0.05)
    one.finish("farm", {"named": "c"})
    again = Parts(tmp_path / "p", "a")
    assert again.found("farm") == {"named": "c"}
    assert 0.05 <= again.spent("farm") < 5
    assert (again.found("plain"), again.spent("plain")) == (None, 0.0)
    assert (Parts(tmp_path / "p", "b").found("farm"), Parts(tmp_path / "p", "b").spent("farm")) == (None, 0.0)


def test_the_time_of_all_attempts_adds_up(tmp_path):
    def attempt():
        with Parts(tmp_path / "p", "a").timing("farm"):
            time.sleep(0.05)
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            attempt()
    again = Parts(tmp_path / "p", "a")
    assert again.found("farm") is None
    assert again.spent("farm") >= 0.1


def test_a_kill_loses_a_few_seconds_at_most(tmp_path):
    script = ("import sys, time; from pathlib import Path; from bench import parts; parts._BEAT_SECONDS = 0.05\n"
              "with parts.Parts(Path(sys.argv[1]), 'a').timing('farm'): time.sleep(60)")
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "p")])
    end = time.monotonic() + 30
    while Parts(tmp_path / "p", "a").spent("farm") < 0.2:
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert Parts(tmp_path / "p", "a").spent("farm") >= 0.2
    assert parts._BEAT_SECONDS == 5.0


def test_the_measurement_that_was_interrupted_is_gone_on_with(tmp_path):
    kind, path = {"commits": 16}, tmp_path / "p"
    assert unfinished(path, kind) is None
    for seed, ended in ((1, False), (1, True), (2, False), (3, False)):
        note(path, kind, seed, ended=ended)
    note(path, {"commits": 64}, 9, ended=False)
    assert unfinished(path, kind) == 3
    note(path, kind, 3, ended=True)
    assert unfinished(path, kind) == 2
