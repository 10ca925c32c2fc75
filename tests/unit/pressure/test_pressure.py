"""Pressure: its text form, and what it does to shell and QMP."""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from farm.deadline import Deadline, Pace
from farm.errors import GuestError, InfrastructureError, UserError
from farm.guest.shell import CommandError, CommandResult
from farm.pressure import PRESSURES, Balloon, FailPageAlloc, FailSlab, KeepFree, Pressure
from farm.pressure.apply import RISE_SECONDS
from farm.pressure.plan import HOLD_DIRECTORY, faults_argv, holder_argv
from farm.textform import Kind

QUICK = Pace(0.02)


class Holder:
    """A memory holder that prints given lines."""

    def __init__(self, said: Sequence[str]) -> None:
        self.said, self.stopped = said, False

    def lines(self, deadline: Deadline) -> Iterator[str]:
        yield from self.said

    def stop(self, deadline: Deadline) -> None:
        self.stopped = True


class Guest:
    """A shell and a QMP that note what they are asked; the balloon gets no smaller than `least` bytes."""

    def __init__(self, said: Sequence[str] = ("farm-held 65536",), least: int = 0, answer: str = "") -> None:
        self.holder = Holder(said)
        self.alive, self.gone = True, False
        self.runs: list[Sequence[str]] = []
        self.balloons: list[int] = []
        self._actual = 512 << 20
        self._least = least
        self._answer = answer

    def run(self, argv: Sequence[str], *, check: bool = True, **_: object) -> CommandResult:
        """There is something to unmount when the holder got that far."""
        self.runs.append(argv)
        status = 32 if argv[0] == "umount" and "farm-held" not in str(self.holder.said) else 0
        result = CommandResult(tuple(argv), status, self._answer, "", 0.0)
        if check and status:
            raise CommandError(result)
        return result

    def dies(self, *, qemu: bool = False) -> None:
        self.alive, self.gone = False, qemu
        raise ZeroDivisionError

    def stream(self, command: Sequence[str]) -> Holder:
        return self.holder

    def qmp(self, command: str, arguments: Mapping[str, object], deadline: Deadline) -> Any:
        if self.gone:
            raise InfrastructureError("QEMU is gone")
        if command == "balloon":
            self.balloons.append(int(str(arguments["value"])))
            if self.alive:
                self._actual = max(self.balloons[-1], self._least)
        return {"actual": self._actual}


def pressure_on(guest: Guest) -> Pressure:
    return Pressure(guest, guest.qmp, memory_bytes=512 << 20, pace=QUICK)


@pytest.mark.parametrize(("text", "value"), [
    ("keep-free:free=64M", KeepFree(64 << 20)),
    ("keep-free:free=64M,fixed", KeepFree(64 << 20, fixed=True)),
    ("balloon:memory=256M", Balloon(256 << 20)),
    ("fail-slab:within=crypt_map", FailSlab("crypt_map")),
    ("fail-page-alloc:within=crypt_map+crypt_endio,every=3,sleeping",
     FailPageAlloc("crypt_map+crypt_endio", every=3, sleeping=True)),
])
def test_text_round_trip(text: str, value: Kind) -> None:
    assert PRESSURES.parse(text, "here") == value
    assert PRESSURES.render(value) == text


@pytest.mark.parametrize(("text", "said"), [
    ("hold", "unknown pressure 'hold'. Choose one of keep-free, balloon"),
    ("keep-free", "needs the option 'free'"),
    ("keep-free:free=1M", "at least 16M"),
    ("balloon:memory=much", "a number of bytes"),
    ("fail-slab", "the names of functions"),
    ("fail-slab:within=crypt_map crypt_endio", "the names of functions"),
    ("fail-slab:within=crypt_map,every=0", "at least 1"),
    ("balloon:memory=1G", "cannot leave 1024 MiB to a machine of 512 MiB"),
])
def test_says_what_would_do(text: str, said: str) -> None:
    guest = Guest()
    with pytest.raises(UserError) as caught, pressure_on(guest)(text):
        pass
    assert said in str(caught.value)


def test_the_holder_ends_with_the_block_and_gives_everything_back() -> None:
    guest = Guest()
    pressure = pressure_on(guest)
    with pressure("keep-free:free=64M,fixed"):
        assert not guest.holder.stopped
    assert guest.holder.stopped
    assert guest.runs == [["umount", "-l", HOLD_DIRECTORY]]
    assert pressure.applied == ["keep-free:free=64M,fixed"]


def test_the_holder_ends_when_the_block_fails() -> None:
    guest = Guest()
    with pytest.raises(ZeroDivisionError), pressure_on(guest)("keep-free:free=64M"):
        raise ZeroDivisionError
    assert guest.holder.stopped
    assert guest.runs


def test_a_holder_that_never_gets_there_is_an_error() -> None:
    guest = Guest(said=["mount: no ramfs"])
    with pytest.raises(GuestError, match="ended before 64 MiB were left"), pressure_on(guest)("keep-free:free=64M"):
        pass
    assert guest.holder.stopped


def test_the_mark_and_the_way_reach_the_script() -> None:
    assert holder_argv(KeepFree(64 << 20))[-2:] == ("65536", "follow")
    assert holder_argv(KeepFree(16 << 20, fixed=True))[-2:] == ("16384", "fixed")


def test_the_balloon_comes_and_goes() -> None:
    guest = Guest()
    with pressure_on(guest)("balloon:memory=256M"):
        assert guest.balloons == [256 << 20]
    assert guest.balloons == [256 << 20, 512 << 20]


def test_nobody_waits_until_a_guest_that_died_has_its_memory_back() -> None:
    guest = Guest()
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError), pressure_on(guest)("balloon:memory=256M"):
        guest.dies()
    assert guest.balloons == [256 << 20, 512 << 20]
    assert time.monotonic() - began < QUICK.seconds(RISE_SECONDS)


def test_a_qemu_that_ended_does_not_hide_why_the_block_failed() -> None:
    guest = Guest()
    with pytest.raises(ZeroDivisionError), pressure_on(guest)("balloon:memory=256M"):
        guest.dies(qemu=True)


def test_a_balloon_that_does_not_fill_is_an_error() -> None:
    guest = Guest(least=300 << 20)
    said = "went from 512 to 300 MiB, not to 256 MiB"
    with pytest.raises(GuestError, match=said), pressure_on(guest)("balloon:memory=256M"):
        pass
    assert guest.balloons[-1] == 512 << 20


def test_faults_last_as_long_as_the_block() -> None:
    guest = Guest(answer="farm-injected 12\n")
    with pressure_on(guest)("fail-slab:within=crypt_map+crypt_endio,every=3"):
        assert [argv[4:] for argv in guest.runs] == [("failslab", "start", "3", "crypt_map crypt_endio", "", "Y")]
    assert guest.runs[1][5] == "stop"


def test_faults_stop_when_the_block_fails() -> None:
    guest = Guest(answer="farm-injected 0\n")
    with pytest.raises(ZeroDivisionError), pressure_on(guest)("fail-page-alloc:within=crypt_map"):
        raise ZeroDivisionError
    assert guest.runs[-1][5] == "stop"


def test_faults_that_nothing_ran_into_are_a_mistake() -> None:
    guest = Guest(answer="farm-injected 0\n")
    with pytest.raises(UserError, match="made no allocation fail"), pressure_on(guest)("fail-slab:within=crypt_map"):
        pass


def test_allocations_that_may_sleep_fail_when_asked_for() -> None:
    assert faults_argv(FailSlab("f", sleeping=True), "start")[-1] == "N"


KALLSYMS = """\
ffffffff81000100 t crypt_map
ffffffff81000200 T crypt_map_alias
ffffffff81000200 t crypt_convert
ffffffff81000300 D not_code
ffffffff81000400 T bio_integrity_alloc
ffffffff81000500 T after
"""
FILES = ("probability", "require-start", "require-end", "reject-start", "reject-end", "stacktrace-depth",
         "ignore-gfp-wait", "task-filter", "verbose", "space", "interval", "times")


@pytest.mark.parametrize(("spec", "ranges"), [
    (FailSlab("crypt_map"), ["0xffffffff81000100", "0xffffffff81000200", "0", "0"]),
    (FailSlab("crypt_convert+crypt_map"), ["0xffffffff81000100", "0xffffffff81000300", "0", "0"]),
    (FailSlab("crypt_map", sparing="bio_integrity_alloc"),
     ["0xffffffff81000100", "0xffffffff81000200", "0xffffffff81000400", "0xffffffff81000500"]),
])
def test_the_ranges_of_addresses_that_fail_and_that_are_spared(
    tmp_path: Path, spec: FailSlab, ranges: list[str],
) -> None:
    assert faults(tmp_path, spec).returncode == 0
    read = [(tmp_path / name).read_text().strip() for name in FILES[1:5]]
    assert read == ranges
    assert (tmp_path / "probability").read_text() == "100\n"


@pytest.mark.parametrize("spec", [FailSlab("nothing"), FailSlab("crypt_map", sparing="nothing")])
def test_a_function_that_the_kernel_does_not_have(tmp_path: Path, spec: FailSlab) -> None:
    done = faults(tmp_path, spec)
    assert (done.returncode, done.stderr) == (1, "the kernel has no function nothing\n")


def faults(directory: Path, spec: FailSlab) -> "subprocess.CompletedProcess[str]":
    """The guest's script on the host, with a directory of ours in debugfs's place, and our own list of symbols."""
    (directory / "kallsyms").write_text(KALLSYMS)
    for name in FILES:
        (directory / name).touch()
    argv = [word.replace("/sys/kernel/debug/$1", str(directory)).replace("/proc/kallsyms", str(directory / "kallsyms"))
            for word in faults_argv(spec, "start")]
    return subprocess.run(argv, capture_output=True, text=True, check=False)
