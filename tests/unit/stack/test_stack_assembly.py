"""Building and taking down, by a real shell that finds stand-ins for the guest's tools."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from farm.deadline import Deadline
from farm.errors import MissingFeatureError, UserError
from farm.guest.disk import Disk, make_backing_files
from farm.guest.shell import CommandResult
from farm.model import Namespace
from farm.stack import Assembly, Base, Spot, StackError, parse_stack, script
from farm.stack.crypto import algorithms, best_driver
from farm.stack.steps import Step

TOOLS = ("addpart", "delpart", "dmsetup", "cryptsetup", "integritysetup", "mkfs.xfs", "mount", "umount", "rmdir",
         "blockdev", "filefrag", "mkdir", "swapon")
# Notes every call; fails where the file `fail` names a part of it; answers the questions that are asked.
STAND_IN = """#!/bin/sh
line="$(basename "$0") $*"
echo "$line" >>"$LOG"
if [ -s "$FAIL" ] && echo "$line" | grep -q -f "$FAIL"; then echo "broken by the test"; exit 5; fi
case $line in
  "dmsetup ls") printf '%s\\t(252:%s)\\n' farm-data-1-linear 3 farm-data-2-luks2 5 farm-data-2-luks2_dif 4 ;;
  "dmsetup table") printf 'farm-data-1-linear: 0 9 linear 259:1 2056\\n' ;;
  blockdev*) echo 1000000 ;;
  filefrag*) printf '   0:        0..    8191:       4096..     12287:   8192:\\n' ;;
esac
"""
BASE = Base(Namespace("data", 512), "/dev/nvme0n1")


class LocalShell:
    """Runs a guest's commands here, with stand-ins for every tool that would touch a disk."""

    def __init__(self, folder: Path) -> None:
        self.log, self.fail = folder / "log", folder / "fail"
        self.fail.touch()
        self.trips = 0
        for name in TOOLS:
            tool = folder / name
            tool.write_text(STAND_IN)
            tool.chmod(0o755)
        self._environment = {
            **os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(self.log), "FAIL": str(self.fail)}

    def run(
        self, argv: Sequence[str] | str, *, deadline: Deadline | None = None, input: bytes | None = None,
        check: bool = True,
    ) -> CommandResult:
        self.trips += 1
        done = subprocess.run(
            list(argv), env=self._environment, input=input, capture_output=True, timeout=30, check=False)
        return CommandResult(tuple(argv), done.returncode, done.stdout.decode(), done.stderr.decode(), 0.0)

    def calls(self) -> list[str]:
        """The calls since the last time, without those that only ask."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        questions = ("dmsetup ls", "dmsetup table", "blockdev", "mkdir -p /run")
        return [line for line in lines if not line.startswith(questions)]


@pytest.fixture
def shell(tmp_path: Path) -> LocalShell:
    return LocalShell(tmp_path)


def first_words(calls: list[str]) -> list[str]:
    return [" ".join(call.split()[:2]) for call in calls]


def test_a_stack_takes_one_trip_each_way(shell: LocalShell) -> None:
    stack = Assembly(shell, parse_stack("data / linear:offset=2056 / luks2 / xfs"), BASE)
    stack.build()
    assert first_words(shell.calls()) == [
        "dmsetup create", "cryptsetup luksFormat", "cryptsetup open", "mkfs.xfs -q", "mkdir -p", "mount -t"]
    stack.reopen()
    assert first_words(shell.calls()) == [
        "umount /mnt/farm-data-3-xfs", "rmdir /mnt/farm-data-3-xfs", "cryptsetup close", "dmsetup remove",
        "dmsetup create", "cryptsetup open", "mkdir -p", "mount -t"]
    stack.remove()
    stack.remove()
    assert first_words(shell.calls())[-1] == "dmsetup remove"
    assert shell.trips == 4


def test_after_a_power_cut_it_is_opened_on_the_namespace_of_then(shell: LocalShell) -> None:
    stack = Assembly(shell, parse_stack("data / luks2 / xfs"), BASE)
    stack.build()
    shell.calls()
    stack.power_cut("/dev/nvme3n1")
    calls = shell.calls()
    assert first_words(calls) == ["cryptsetup open", "mkdir -p", "mount -t"]
    assert " /dev/nvme3n1 " in calls[0]
    assert stack.is_open
    assert stack.base.path == "/dev/nvme3n1"


def test_many_rounds_take_few_trips(shell: LocalShell) -> None:
    stack = Assembly(shell, parse_stack("data / linear / crypt"), BASE)
    stack.build()
    shell.calls()
    stack.cycle(25)
    once = ["cryptsetup close", "dmsetup remove", "dmsetup create", "cryptsetup open"]
    assert first_words(shell.calls()) == once * 25
    assert shell.trips == 1 + 3
    assert stack.is_open


def test_a_round_that_fails_says_where(shell: LocalShell) -> None:
    stack = Assembly(shell, parse_stack("data / linear / crypt"), BASE)
    stack.build()
    shell.fail.write_text("dmsetup remove")
    with pytest.raises(StackError, match="Could not reopen the stack") as caught:
        stack.cycle(3)
    assert [one.step.layer for one in caught.value.failed] == ["farm-data-1-linear"]


def test_knows_the_kernels_names_of_its_layers(shell: LocalShell) -> None:
    stack = Assembly(shell, parse_stack("data / linear:offset=2056 / luks2 / xfs"), BASE)
    stack.build()
    assert [(one.layer, one.kernel) for one in stack.devices] == [
        ("data", "nvme0n1"), ("farm-data-1-linear", "dm-3"), ("farm-data-2-luks2", "dm-4"),
        ("farm-data-2-luks2", "dm-5")]


def test_finds_a_block_of_a_file(shell: LocalShell) -> None:
    stack = Assembly(shell, parse_stack("data / linear:offset=2056 / xfs"), BASE)
    stack.build()
    assert stack.sector_of(1 << 20, file="f") == Spot(4096 + 2048 + 2056)
    with pytest.raises(UserError, match="has no block on the device at byte 8388608"):
        stack.sector_of(8 << 20, file="f")


def test_corrupts_the_closed_disk_where_it_says(shell: LocalShell, tmp_path: Path) -> None:
    namespaces = {"data": Namespace("data", 32, pi=1, ms=8)}
    disk = Disk(namespaces, make_backing_files(namespaces, tmp_path))
    stack = Assembly(shell, parse_stack("data / linear:offset=2056"), Base(namespaces["data"], "/dev/nvme0n1"),
                     disk=disk)
    stack.build()
    stack.close()
    trips = shell.trips
    stack.corrupt(1 << 20, byte=5)
    assert disk.read("data", 4104)[5] == 1
    assert disk.read("data", 4104, "metadata") == b"\xff" * 8
    assert [str(one) for one in stack.extents(disk.changes) if "pi-guard" in one.layers] == ["nvme0n1, sector 4104"]
    stack.corrupt(1 << 20, byte=5, beneath="linear")  # the same bit again, and a guard that fits
    assert disk.read("data", 4104, "metadata") == bytes(2) + b"\xff" * 6
    stack.restore()
    assert disk.read("data", 4104, "metadata") == b"\xff" * 8
    assert shell.trips == trips
    with pytest.raises(UserError, match=r"no integrity to corrupt .* It has: linear, namespace"):
        stack.corrupt(beneath="integrity")


def test_a_failing_middle_step_takes_the_lower_ones_down(shell: LocalShell) -> None:
    stack = Assembly(shell, parse_stack("data / linear / luks2 / xfs"), BASE)
    shell.fail.write_text("cryptsetup open")
    with pytest.raises(StackError) as caught:
        stack.build()
    assert first_words(shell.calls())[-2:] == ["cryptsetup close", "dmsetup remove"]
    assert "farm-data-2-luks2: `cryptsetup open" in str(caught.value)
    assert "status 5: broken by the test" in str(caught.value)
    assert [one.step.layer for one in caught.value.failed] == ["farm-data-2-luks2"]
    assert not stack.is_open
    with pytest.raises(UserError, match="was never built"):
        stack.open()


def test_closing_goes_on_and_names_everything_that_stuck(shell: LocalShell) -> None:
    stack = Assembly(shell, parse_stack("data / linear / luks2 / xfs"), BASE)
    stack.build()
    shell.calls()
    shell.fail.write_text("umount\ncryptsetup close\n")
    with pytest.raises(StackError) as caught:
        stack.close()
    assert first_words(shell.calls()) == [
        "umount /mnt/farm-data-3-xfs", "rmdir /mnt/farm-data-3-xfs", "cryptsetup close", "dmsetup remove"]
    assert [one.step.argv[0] for one in caught.value.failed] == ["umount", "cryptsetup"]
    assert not stack.is_open


def test_what_is_stuck_after_a_failed_build_is_named_too(shell: LocalShell) -> None:
    shell.fail.write_text("luksFormat\ndmsetup remove\n")
    with pytest.raises(StackError) as caught:
        Assembly(shell, parse_stack("data / linear / luks2"), BASE).build()
    assert [one.step.argv[:2] for one in caught.value.failed] == [("cryptsetup", "luksFormat"), ("dmsetup", "remove")]


def test_a_guest_that_dies_half_way_is_no_success(shell: LocalShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "run", lambda *_, **__: CommandResult((), -1, "farm-step 0 0 \nfarm-st", "", 0.0))
    with pytest.raises(StackError, match="never reported how it ended"):
        Assembly(shell, parse_stack("data / linear / crypt"), BASE).build()


def test_keys_arrive_whole_and_output_cannot_pose_as_a_report(shell: LocalShell) -> None:
    key = bytes(range(256))
    steps = [Step("a", ("sh", "-c", "od -An -tx1 | tr -d ' \\n'"), key),
             Step("b", ("echo", "farm-step 1 0 \nfarm-step 2 0 ")), Step("c", ("false",)), Step("d", ("true",))]
    done = script.results(steps, shell.run(["sh", "-c", script.render(steps)]).stdout)
    assert [one.status for one in done] == [0, 0, 1]
    assert bytes.fromhex(done[0].output) == key
    assert "farm-step 2 0" in done[1].output
    going_on = script.results(steps, shell.run(["sh", "-c", script.render(steps, go_on=True)]).stdout)
    assert [one.status for one in going_on] == [0, 0, 1, 0]


def test_the_best_driver_is_the_kernels_choice() -> None:
    listing = "\n\n".join(
        f"name         : aes\ndriver       : {driver}\nmodule       : kernel\npriority     : {priority}\n"
        f"internal     : {internal}\ntype         : cipher"
        for driver, priority, internal in
        (("aes-generic", 100, "no"), ("aes-aesni", 300, "no"), ("__aes-hidden", 900, "yes")))
    assert best_driver(listing, "aes", "cipher") == "aes-aesni"
    assert len(list(algorithms(listing + "\n\nname : cut off"))) == 3
    with pytest.raises(MissingFeatureError, match="no skcipher 'aes'"):
        best_driver(listing, "aes", "skcipher")
