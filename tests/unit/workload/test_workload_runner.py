"""Runners over a shell that runs the guest's side here, for real where it needs no disk."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from farm.deadline import Deadline, Pace
from farm.errors import HangError, UserError, VerificationError
from farm.guest.shell import CommandResult
from farm.workload import ChurnRunner, Directory, FioRunner, Job, StressRunner, WorkloadError
from farm.workload.runner import Listener, supervised

FAKE_FIO = """#!/bin/bash
echo "$FARM_SEED $FARM_PATTERN" >>"$SEEDS"
printf '{\\n"jobs": [{"write": {"total_ios": 10, "io_bytes": 40960}}]\\n}\\n'
[ ! -s "$SAY" ] || { cat "$SAY" >&2; exit 1; }
"""
# Read by every bash that runs a script: bash's own clock stands still, and a pass of fio is what takes a second.
FAKE_CLOCK = """
unset SECONDS
SECONDS=0
fio() {
  SECONDS=$((SECONDS + 1))
  command fio "$@"
}
"""


class Started:
    """A command that ended before anyone asked."""

    def __init__(self, result: CommandResult, late: bool = False) -> None:
        self.result, self.late, self.stopped = result, late, False

    def wait(self, deadline: Deadline, *, check: bool = True) -> CommandResult:
        if self.late:
            raise HangError("still runs")
        return self.result

    def stop(self, deadline: Deadline) -> None:
        self.stopped = True


class LocalShell:
    """Runs supervised commands on this machine, in a folder of the test, with a stand-in for fio."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.late, self.last = folder, False, None
        self.seeds, self.say = folder / "seeds", folder / "say"
        tool = folder / "fio"
        tool.write_text(FAKE_FIO)
        tool.chmod(0o755)
        self._environment = {
            **os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "SEEDS": str(self.seeds), "SAY": str(self.say)}

    def fake_clock(self) -> None:
        clock = self.folder / "clock"
        clock.write_text(FAKE_CLOCK)
        self._environment["BASH_ENV"] = str(clock)

    def stream(self, command: Sequence[str] | str, *, on_line: Callable[[str], None] | None = None) -> Started:
        argv = list(command)
        argv[4] = str(self.folder / "supervised")
        done = subprocess.run(argv, env=self._environment, capture_output=True, text=True, timeout=60, check=False)
        for line in done.stdout.splitlines():
            assert on_line is not None
            on_line(line)
        self.last = Started(CommandResult(tuple(argv), done.returncode, "", done.stderr, 0.0), self.late)
        return self.last


class Watched:
    """Notes what a monitor would see."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.counts: list[int] = []

    @contextmanager
    def __call__(self, text: str) -> Iterator[Callable[[int], None]]:
        self.texts.append(text)
        yield self.counts.append


@pytest.fixture
def shell(tmp_path: Path) -> LocalShell:
    return LocalShell(tmp_path)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def options(watched: Watched, duration: float = 0) -> dict[str, Any]:
    return {"seed": 7, "duration": duration, "watch": watched}


def test_a_good_run_says_what_it_did(shell: LocalShell, watched: Watched, tmp_path: Path) -> None:
    result = FioRunner(shell, **options(watched))(str(tmp_path), rw="randwrite", size="64K")
    assert (result.ok, result.ios, result.bytes, result.seed) == (True, 10, 40960, 7)
    assert result.text == "fio:rw=randwrite,size=64K"
    assert watched.texts == [result.text]
    assert watched.counts
    assert watched.counts == sorted(watched.counts)
    job = (tmp_path / "supervised" / "farm.fio").read_text()
    assert f"filename={tmp_path}/farm-fio.data\n" in job


def test_passes_repeat_until_the_time_is_up_with_a_seed_each(
    shell: LocalShell, watched: Watched, tmp_path: Path
) -> None:
    shell.fake_clock()
    result = FioRunner(shell, **options(watched))(str(tmp_path), duration=3)
    assert [line.split()[0] for line in shell.seeds.read_text().splitlines()] == ["7", "8", "9"]
    assert result.ios == 30


def test_verifying_only_looks_for_the_last_pass(shell: LocalShell, watched: Watched, tmp_path: Path) -> None:
    shell.fake_clock()
    fio = FioRunner(shell, **options(watched))
    fio(str(tmp_path), verify="pattern", duration=3)
    *_, last = shell.seeds.read_text().splitlines()
    fio(str(tmp_path), verify="pattern", verify_only=True, duration=60)
    assert shell.seeds.read_text().splitlines()[3:] == [last] == ["9 0x00000009"]


@pytest.mark.parametrize("reading", [{"verify_only": True}, {"rw": "randread", "verify": "none"}])
def test_what_only_reads_leaves_the_last_pass_as_it_was(
    shell: LocalShell, watched: Watched, tmp_path: Path, reading: dict[str, Any]
) -> None:
    fio = FioRunner(shell, **options(watched))
    fio(str(tmp_path))
    fio(str(tmp_path), **reading)
    fio(str(tmp_path), verify_only=True)
    wrote, _, verified = shell.seeds.read_text().splitlines()
    assert verified == wrote


def test_wrong_data_is_a_verification_error_by_fio(shell: LocalShell, watched: Watched, tmp_path: Path) -> None:
    shell.say.write_text("verify: bad magic header 49c7, wanted acca at file /dev/dm-0 offset 8192, length 4096\n")
    with pytest.raises(VerificationError, match="wrong data from /dev/dm-0 at byte 8192: bad magic header") as caught:
        FioRunner(shell, **options(watched))(str(tmp_path))
    (report,) = caught.value.reports
    assert (report.kind, report.layer, report.device, report.sector) == ("verification", "fio-verify", "dm-0", 16)


def test_a_failed_read_is_no_wrong_data(shell: LocalShell, watched: Watched, tmp_path: Path) -> None:
    shell.say.write_text("fio: io_u error on file /dev/mapper/x: Input/output error: read offset=512, buflen=4096\n")
    fio = FioRunner(shell, **options(watched))
    with pytest.raises(WorkloadError, match="read of 4096 bytes at byte 512 of /dev/mapper/x ended with EIO") as caught:
        fio(str(tmp_path))
    assert [(one.kind, one.device, one.sector) for one in caught.value.reports] == [("io-error", "x", 1)]
    assert not fio(str(tmp_path), check=False).ok


def test_every_call_has_a_seed_of_its_own(shell: LocalShell, watched: Watched, tmp_path: Path) -> None:
    fio = FioRunner(shell, **options(watched))
    assert [fio(str(tmp_path)).seed for _ in range(3)] == [7, 1007, 2007]


def test_unknown_options_are_named(shell: LocalShell, watched: Watched, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no option 'rv'\. Its options are: rw, verify"):
        FioRunner(shell, **options(watched))(str(tmp_path), rv="write")
    with pytest.raises(UserError, match="carries no file system"):
        ChurnRunner(shell, **options(watched))(Directory("", "/dev/dm-0"))


def test_a_late_workload_is_stopped(shell: LocalShell, watched: Watched, tmp_path: Path) -> None:
    shell.late = True
    with pytest.raises(HangError):
        FioRunner(shell, **options(watched))(str(tmp_path))
    assert shell.last is not None
    assert shell.last.stopped


def test_beside_others(shell: LocalShell, watched: Watched, tmp_path: Path) -> None:
    threads = set()
    with FioRunner(shell, **options(watched)).running(str(tmp_path)):
        threads = {thread.name for thread in threading.enumerate()}
    assert "farm-fio" in threads
    shell.say.write_text("verify: bad header crc 1, calculated 2 at file /f offset 0, length 4096\n")
    with pytest.raises(VerificationError), FioRunner(shell, **options(watched)).running(str(tmp_path)):
        pass


class Endless:
    """A command that runs until it is stopped."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def wait(self, deadline: Deadline, *, check: bool = True) -> CommandResult:
        self.ended.wait(60)
        return CommandResult((), -1, "", "", 0.0)

    def stop(self, deadline: Deadline) -> None:
        self.ended.set()


class EndlessShell:
    """Starts what never ends, and late when the test wants it so."""

    def __init__(self) -> None:
        self.last, self.may_start, self.has_begun = Endless(), threading.Event(), threading.Event()
        self.may_start.set()

    def stream(self, command: Sequence[str] | str, *, on_line: Callable[[str], None] | None = None) -> Endless:
        self.has_begun.set()
        self.may_start.wait(60)
        return self.last

    def fails_beside(self, error: type[BaseException]) -> None:
        self.has_begun.wait(60)
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, AssertionError])
def test_a_block_that_fails_ends_what_runs_beside_it(watched: Watched, error: type[BaseException]) -> None:
    shell = EndlessShell()
    with pytest.raises(error), StressRunner(shell, **options(watched)).running("/tmp", bytes="1M"):
        shell.fails_beside(error)
    assert shell.last.ended.is_set()


def test_what_starts_when_the_block_has_failed_ends_at_once(watched: Watched) -> None:
    shell = EndlessShell()
    shell.may_start.clear()
    runner = StressRunner(shell, **options(watched), pace=Pace(0.01))
    with pytest.raises(ZeroDivisionError), runner.running("/tmp", bytes="1M"):
        shell.fails_beside(ZeroDivisionError)
    shell.may_start.set()
    assert shell.last.ended.wait(60)


def test_what_ran_beside_a_block_that_fails_keeps_its_own_failure(
    shell: LocalShell, watched: Watched, tmp_path: Path,
) -> None:
    shell.say.write_text("verify: bad header crc 1, calculated 2 at file /f offset 0, length 4096\n")

    def other(found: list[threading.Thread]) -> None:
        for thread in found:
            thread.join()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught, FioRunner(shell, **options(watched)).running(str(tmp_path)):
        other([thread for thread in threading.enumerate() if thread.name == "farm-fio"])
    (note,) = caught.value.__notes__
    assert note == "fio in the background: The workload fio read wrong data from /f at byte 0: bad header crc."


def test_supervision_counts_and_hands_over_output(tmp_path: Path) -> None:
    job = Job(("bash", "-c", "echo out; echo err >&2; sleep 0.6; exit 3"), ("vm",))
    heard, counts = Listener(), []
    heard.progress = counts.append
    done = subprocess.run(supervised(job, str(tmp_path / "d")), capture_output=True, text=True, timeout=60, check=True)
    for line in done.stdout.splitlines():
        heard(line)
    assert (heard.status, heard.outputs) == (3, {"stdout": "out\n", "stderr": "err\n"})
    assert len(counts) >= 2
    assert counts[-1] > counts[0]
    assert list((tmp_path / "d").iterdir()) == []


@pytest.mark.parametrize("line", ["farm-status", "farm-progress x", "farm-progress 9 9 9", "farm-output stdout ~~"])
def test_damaged_lines_do_nothing(line: str) -> None:
    heard, counts = Listener(), []
    heard.progress = counts.append
    heard(line)
    assert (heard.status, counts) == (255, [])


def test_churn_finds_a_changed_file(shell: LocalShell, watched: Watched, tmp_path: Path) -> None:
    churn = ChurnRunner(shell, **options(watched, 60))
    good = churn(str(tmp_path), duration=2, files=5, largest="4K")  # one second of $SECONDS may be no time at all
    assert good.ios > 0
    for path in (tmp_path / "farm-churn").iterdir():
        path.write_bytes(b"X" + path.read_bytes()[1:])
    with pytest.raises(VerificationError) as caught:
        churn(str(tmp_path), files=5, largest="4K")
    assert (caught.value.reports[0].layer, caught.value.reports[0].sector) == ("churn-verify", 0)


@pytest.mark.parametrize(("said", "status", "wrong"), [
    ("stress-ng: fail:  [195] vm: detected 4096 bit errors in 2 pages, offset 0x1000", 2, 1),
    ("stress-ng: fail:  [195] stress-ng-hdd: incorrect data found 8 times, checksum mismatch", 2, 1),
    ("stress-ng: info:  [189] successful run completed in 14.46s", 0, 0),
])
def test_stress_ng_is_believed_about_its_own_verification(
    shell: LocalShell, watched: Watched, said: str, status: int, wrong: int
) -> None:
    tool = shell.folder / "stress-ng"
    metrics = "stress-ng: metrc: [189] vm                27505     10.29      8.17     15.88      2673.90"
    tool.write_text(f"#!/bin/sh\necho '{metrics}' >&2\necho '{said}' >&2\necho \"$*\" >$0.args\nexit {status}\n")
    tool.chmod(0o755)
    result = StressRunner(shell, **options(watched, 3))("/tmp", check=False, stressor="vm", bytes="8M", keep=True)
    assert (result.ok, len(result.verify_errors), result.ios) == (status == 0, wrong, 27505)
    assert {"--vm-bytes", "8388608", "--vm-keep", "--seed", "7", "--timeout", "3s", "--verify"} <= set(
        (shell.folder / "stress-ng.args").read_text().split())
