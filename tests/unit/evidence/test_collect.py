"""Asking a guest that does not answer, and the scripts for one that does."""

import subprocess
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import pytest

from farm.deadline import Deadline
from farm.errors import HangError, InfrastructureError
from farm.evidence.collect import BEGIN_SECONDS, _Source, collect, contents, panicked, without_empty, write
from farm.evidence.memory import memory
from farm.evidence.questions import FILES, PATHS, QEMU_QUERIES, READ_FILES, SCRIPTS, SYSRQ_KEYS, _each
from farm.guest.patient import Patient
from farm.guest.shell import CommandResult, ConnectionLostError

NOBODY = Patient(None, None)


def test_every_file_says_why_there_is_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "console.log").write_text("")
    collect(NOBODY, tmp_path / "evidence", tmp_path / "console.log", Deadline(60))
    memory(NOBODY, tmp_path / "evidence", 1, None, Deadline(60))
    said = {path.name: path.read_text() for path in (tmp_path / "evidence").iterdir()}
    assert said.keys() == {
        *QEMU_QUERIES, *SCRIPTS, *FILES, *(f"sysrq-{key}.txt" for key in SYSRQ_KEYS), "dump.txt"}
    assert said["registers.txt"] == "not collected: QEMU does not run\n"
    assert said["sysrq-w.txt"] == "not collected: QEMU does not run\n"
    assert said["dmesg.txt"] == "not collected: QEMU does not run\n"
    assert said["meminfo.txt"] == "not collected: QEMU does not run\n"
    assert said["dump.txt"] == "not dumped: QEMU does not run\n"


class Dumping(Patient):
    """Writes its memory, and QEMU says that it did, or that it could not."""

    def __init__(self, why: str = "") -> None:
        super().__init__(None, None)
        self._why = why

    def dump_memory(self, path: Path, deadline: Deadline) -> None:
        path.write_bytes(b"all of it")
        if self._why:
            raise InfrastructureError(self._why)


def test_a_dump_that_is_whole_outlives_a_reader_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise InfrastructureError("cannot start python (Cannot allocate memory)")

    # The package's name for it is the function's.
    monkeypatch.setattr(import_module("farm.evidence.memory"), "read", fail)
    memory(Dumping(), tmp_path, 1, tmp_path / "vmlinux", Deadline(60))
    assert (tmp_path / "vmcore").read_bytes() == b"all of it"
    assert (tmp_path / "dump.txt").read_text() == "not read: cannot start python (Cannot allocate memory)\n"


def test_half_a_dump_is_removed(tmp_path: Path) -> None:
    memory(Dumping("QEMU could not write vmcore (failed)"), tmp_path, 1, tmp_path / "vmlinux", Deadline(60))
    assert not (tmp_path / "vmcore").exists()
    assert (tmp_path / "dump.txt").read_text() == "not dumped: QEMU could not write vmcore (failed)\n"


class Deaf(Patient):
    """QEMU answers, and the guest must not be asked."""

    def human_monitor(self, query: str, deadline: Deadline) -> str:
        return "answer"

    def sysrq(self, key: str, deadline: Deadline) -> None:
        pytest.fail("a key was pressed")

    def run(self, command: object, **_: object) -> NoReturn:
        pytest.fail("a command was run")


@pytest.mark.parametrize("stamp", [b"[   12.345678][   T42] ", b"[   12.345678] ", b""])
def test_a_kernel_that_panicked_is_not_asked(tmp_path: Path, stamp: bytes) -> None:
    console = tmp_path / "console.log"
    console.write_bytes(b"x" * (1 << 16) + b"\n" + stamp + b"---[ end Kernel panic - not syncing: no ]---\n")
    collect(Deaf(None, None), tmp_path / "evidence", console, Deadline(60))
    assert (tmp_path / "evidence/registers.txt").read_text() == "answer"
    for name in ("sysrq-w.txt", "sysrq-t.txt", "dmesg.txt", "block.txt"):
        assert "the kernel had panicked" in (tmp_path / "evidence" / name).read_text()


def test_a_guest_whose_cpus_stand_still_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deaf, "human_monitor", lambda *_: "VM status: paused (shutdown)\r\n")
    (tmp_path / "console.log").write_text("")
    collect(Deaf(None, None), tmp_path / "evidence", tmp_path / "console.log", Deadline(60))
    for name in ("sysrq-w.txt", "dmesg.txt", "slabinfo.txt"):
        said = (tmp_path / "evidence" / name).read_text()
        assert said == "not collected: its CPUs stand still (VM status: paused (shutdown))\n"


class Dull(Deaf):
    """A kernel that answers no key but the third, on a clock that goes on while somebody waits."""

    def __init__(self, console: Path, clock: Callable[[], float]) -> None:
        super().__init__(None, None)
        self._console, self._clock, self.asked = console, clock, list[float]()

    def sysrq(self, key: str, deadline: Deadline) -> None:
        self.asked.append(self._clock())
        if key == SYSRQ_KEYS[2]:
            self._console.write_text("[   12.345678] task:init\n")

    def run(self, command: object, **_: object) -> NoReturn:
        self.asked.append(self._clock())
        raise ConnectionLostError("gone")


def test_a_kernel_that_was_silent_is_not_waited_for_as_long_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    # How long it would wait is asked, and nobody has to wait for that.
    monkeypatch.setattr("farm.deadline.time.sleep", pass_time)
    (tmp_path / "console.log").write_text("")
    target = Dull(tmp_path / "console.log", lambda: now[0])
    collect(target, tmp_path / "evidence", tmp_path / "console.log", Deadline(60, clock=lambda: now[0]))
    silent, again, _, after_an_answer = [round(later - before, 1) for before, later in pairwise(target.asked)]
    assert min(silent, after_an_answer) >= BEGIN_SECONDS > 2 * again
    said = [(tmp_path / f"evidence/sysrq-{key}.txt").read_text() for key in SYSRQ_KEYS]
    assert said == [*["the kernel did not answer\n"] * 2, "[   12.345678] task:init\n", "the kernel did not answer\n"]


class Panicking(Deaf):
    """Panics while the first key is pressed."""

    def __init__(self, console: Path) -> None:
        super().__init__(None, None)
        self._console, self.keys = console, ""

    def sysrq(self, key: str, deadline: Deadline) -> None:
        self.keys += key
        with self._console.open("a") as log:
            log.write("[   12.345678] ---[ end Kernel panic - not syncing: no ]---\n")


def test_a_kernel_that_panics_meanwhile_is_asked_nothing_more(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    console.write_text("[   12.1] Oops: 0010 [#1] SMP\n")
    target = Panicking(console)
    collect(target, tmp_path / "evidence", console, Deadline(60))
    assert target.keys == SYSRQ_KEYS[0]
    assert "end Kernel panic" in (tmp_path / f"evidence/sysrq-{SYSRQ_KEYS[0]}.txt").read_text()
    for name in (f"sysrq-{SYSRQ_KEYS[1]}.txt", "dmesg.txt", "slabinfo.txt"):
        assert "the kernel had panicked" in (tmp_path / "evidence" / name).read_text()


@pytest.mark.parametrize("text", [
    b"", b"who says ---[ end Kernel panic - x ]---\n", b"[  1.0] Kernel panic - not syncing: x"])
def test_any_other_kernel_is(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "console.log").write_bytes(text)
    assert not panicked(tmp_path / "console.log")


class TestWhoIsSilent:
    """How many questions a dead guest costs the wait for an answer."""

    def asked(self, directory: Path, answers: list[Exception | str]) -> tuple[int, str]:
        """How many of the questions were put, and what the last file says."""
        source = _Source(directory, Deadline(60))
        put = []

        def question(answer: Exception | str) -> str:
            put.append(answer)
            if isinstance(answer, Exception):
                raise answer
            return answer

        for number, answer in enumerate(answers):
            source.keep(f"{number}.txt", lambda _, answer=answer: question(answer), 8)  # type: ignore[misc]
        return len(put), (directory / f"{len(answers) - 1}.txt").read_text()

    def test_one_who_never_answered_is_asked_once(self, tmp_path: Path) -> None:
        assert self.asked(tmp_path, [HangError("x"), "a", "b"]) == (1, "not collected: no answer within 8 s\n")

    def test_one_slow_answer_costs_only_itself(self, tmp_path: Path) -> None:
        assert self.asked(tmp_path, ["a", HangError("x"), "b"]) == (3, "b")

    def test_a_second_failure_is_the_last(self, tmp_path: Path) -> None:
        assert self.asked(tmp_path, ["a", HangError("x"), "b", HangError("x"), "c"])[0] == 4

    def test_a_lost_connection_is_the_last_at_once(self, tmp_path: Path) -> None:
        assert self.asked(tmp_path, ["a", ConnectionLostError("gone"), "b"]) == (2, "not collected: gone\n")

    def test_the_reason_of_qemu_is_its_own(self, tmp_path: Path) -> None:
        assert self.asked(tmp_path, [InfrastructureError("QEMU is gone"), "b"])[1] == "not collected: QEMU is gone\n"

    def test_a_bug_of_the_farm_costs_only_its_own_answer(self, tmp_path: Path) -> None:
        assert self.asked(tmp_path, ["a", ValueError("x"), "b"]) == (3, "b")
        assert (tmp_path / "1.txt").read_text() == "not collected: x\n"

    def test_an_empty_answer_is_said_to_be_empty(self, tmp_path: Path) -> None:
        assert self.asked(tmp_path, [""]) == (1, "(nothing)\n")

    def test_what_one_question_has_brought_until_it_failed_is_kept(self, tmp_path: Path) -> None:
        source = _Source(tmp_path, Deadline(60))

        def question(_: Deadline, answers: dict[str, str]) -> NoReturn:
            answers["a"] = "whole"
            raise HangError("x")

        source.keep_all("ab", question, 8)
        assert (tmp_path / "a").read_text() == "whole"
        assert (tmp_path / "b").read_text() == "not collected: no answer within 8 s\n"
        source.keep("c", lambda _: "it has answered before, so it is asked again", 8)
        assert "asked again" in (tmp_path / "c").read_text()


def test_a_slow_console_leaves_time_for_ssh(tmp_path: Path) -> None:
    now = [0.0]

    class Slow(Patient):
        def sysrq(self, key: str, deadline: Deadline) -> None:
            now[0] += deadline.remaining()
            raise HangError("x")

        def human_monitor(self, query: str, deadline: Deadline) -> str:
            return "answer"

        def run(self, command: object, **_: object) -> CommandResult:
            return CommandResult((), 0, "answer\n", "", 0.0)

    (tmp_path / "console.log").write_text("")
    collect(Slow(None, None), tmp_path / "evidence", tmp_path / "console.log", Deadline(10, clock=lambda: now[0]))
    assert "not collected" in (tmp_path / "evidence/sysrq-t.txt").read_text()
    assert {(tmp_path / "evidence" / name).read_text() for name in SCRIPTS} == {"answer\n"}


def test_nobody_is_asked_after_the_deadline(tmp_path: Path) -> None:
    _Source(tmp_path, Deadline(0)).keep("a.txt", lambda _: pytest.fail("asked"), 8)
    assert "the 0 s for asking the guest had passed" in (tmp_path / "a.txt").read_text()


def test_a_file_is_bounded(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "begin" + "x" * (5 << 20) + "end\n")
    text = (tmp_path / "a.txt").read_text()
    assert len(text) < (1 << 20) + 100
    assert text.startswith("begin")
    assert text.endswith("end\n")


def sh(script: str) -> str:
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False).stdout


def test_a_pattern_that_matches_nothing_leaves_nothing(tmp_path: Path) -> None:
    assert sh(_each(f"{tmp_path}/no*", f"{tmp_path}/none")) == ""
    (tmp_path / "one").write_text("1\n")
    assert sh(_each(f"{tmp_path}/no*", f"{tmp_path}/o*")) == f"==> {tmp_path}/one <==\n1\n"


def test_files_with_nothing_in_them_are_left_out(tmp_path: Path) -> None:
    for name, text in (("a", ""), ("b", "busy\n"), ("c", "\n"), ("d", "")):
        (tmp_path / name).write_text(text)
    assert without_empty(sh(_each(f"{tmp_path}/*"))) == f"==> {tmp_path}/b <==\nbusy\n\n"
    assert without_empty("no heading\n") == "no heading\n"


def test_files_of_one_directory_stand_together(tmp_path: Path) -> None:
    for name in ("sda", "sdb"):
        (tmp_path / name).mkdir()
        for file in ("busy", "state"):
            (tmp_path / name / file).write_text("1\n")
    shown = without_empty(sh(_each(f"{tmp_path}/*/state", f"{tmp_path}/*/busy")))
    places = [line.split("/")[-2:] for line in shown.splitlines() if "==>" in line]
    assert places == [[name, f"{file} <=="] for name in ("sda", "sdb") for file in ("busy", "state")]


def test_one_command_reads_many_files_and_each_has_its_answer() -> None:
    done = subprocess.run(["sh", "-c", READ_FILES], capture_output=True, text=True, check=False)
    answers = contents(done.stdout, done.stderr)
    assert list(answers) == list(FILES)
    assert answers["meminfo.txt"].startswith("MemTotal:")
    assert "==> /proc/pressure/io <==\n" in answers["pressure.txt"]
    assert answers["swaps.txt"].startswith("Filename")
    assert all(answers.values())


def test_what_cannot_be_read_says_why_and_what_was_cut_off_says_nothing() -> None:
    mark = "5f0c\n"
    whole = {path: f"{path}'s\n" for path in PATHS} | {"/proc/crypto": ""}
    text = mark + "".join(said + mark for said in whole.values())
    errors = "cat: /proc/crypto: No such file or directory\n"
    answers = contents(text, errors)
    assert answers["crypto.txt"] == errors
    assert answers["slabinfo.txt"] == "/proc/slabinfo's\n"
    for cut_off in (text.removesuffix(mark), text.removesuffix(f"slabinfo's\n{mark}"), text.removesuffix("c\n")):
        assert contents(cut_off, errors) == {name: said for name, said in answers.items() if name != "slabinfo.txt"}
    assert contents("") == contents("5f0") == contents(mark) == {}
