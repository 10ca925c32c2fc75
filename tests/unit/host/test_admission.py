"""Admission across real processes: never too many, first come first served, and nothing stale after kill -9."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.deadline import Deadline
from farm.errors import InfrastructureError, UserError
from farm.host import admission
from farm.host.admission import OVERHEAD_MIB, RESERVE_MIB, Ticket, admitted, lack
from farm.host.capacity import Capacity
from farm.host.workdir import Workdir
from tests.unit.host.owners import eventually

HOST = Capacity(cpus=2, memory_mib=8000, available_mib=6000)

# Asks for a place on a made-up host and says when it has it and when it leaves. It holds the place until it is told to
# go on (`told`), for a moment (`moment`; begun when it is told), not at all (`pass`), or as another program (`exec`).
HOLDER = """
import json, os, sys, time
from pathlib import Path
from farm.deadline import Deadline
from farm.host import admission
from farm.host.capacity import Capacity
from farm.host.workdir import Workdir

root, how, cpus, memory, host_cpus, host_memory = *sys.argv[1:3], *map(int, sys.argv[3:])
def say(word):
    print(json.dumps([word, time.monotonic()]), flush=True)
admission.measure = lambda: Capacity(host_cpus, host_memory, host_memory)
say("waits")
if how == "moment":
    sys.stdin.readline()
with admission.admitted(Workdir(Path(root)), cpus=cpus, memory_mib=memory, deadline=Deadline(60)) as place:
    say("runs")
    if how == "exec":
        os.set_inheritable(place.descriptor, True)
        os.execvp("sleep", ["sleep", "600"])
    if how == "told":
        sys.stdin.readline()
    if how == "moment":
        time.sleep(0.3)
    say("leaves")
"""


class Holder:
    def __init__(self, root: Path, how: str, *, cpus: int, memory: int, host: tuple[int, int]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(root), how, *map(str, (cpus, memory, *host))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.said("waits")

    def said(self, word: str) -> float:
        assert self.process.stdout is not None
        said: list[Any] = json.loads(self.process.stdout.readline())
        assert said[0] == word
        return float(said[1])

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


Start = Callable[..., Holder]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Holder] = []

    def make(how: str = "told", *, cpus: int = 2, memory: int = 500, host: tuple[int, int] = (2, 8000)) -> Holder:
        started.append(Holder(tmp_path, how, cpus=cpus, memory=memory, host=host))
        return started[-1]

    yield make
    for one in started:
        one.process.kill()
        one.process.communicate()


def tickets(root: Path) -> list[Path]:
    return sorted(root.rglob("*.ticket"))


def come_and_go(root: Path, *, cpus: int, memory: int = 64, seconds: float = 10) -> None:
    with admitted(Workdir(root), cpus=cpus, memory_mib=memory, deadline=Deadline(seconds)):
        pass


def waiting(root: Path, number: int) -> bool:
    return len(tickets(root)) == number


@pytest.mark.parametrize(("running", "wanted", "fits"), [
    ([], Ticket(1, 500), True),
    ([], Ticket(64, 500), True),  # slow, but alone it runs
    ([Ticket(1, 500)], Ticket(1, 500), True),
    ([Ticket(2, 500)], Ticket(1, 500), False),
    ([Ticket(1, 500)], Ticket(2, 500), False),
    ([Ticket(1, 500)], Ticket(64, 500), False),  # does not squeeze in beside another
    ([Ticket(64, 500)], Ticket(1, 500), False),
    ([], Ticket(1, 6000 - RESERVE_MIB), True),
    ([], Ticket(1, 6001 - RESERVE_MIB), False),
    ([Ticket(1, 3000)], Ticket(1, 3000 - RESERVE_MIB), True),
    ([Ticket(1, 3000)], Ticket(1, 3001 - RESERVE_MIB), False),
])
def test_what_fits(running: list[Ticket], wanted: Ticket, fits: bool) -> None:
    assert (lack(wanted, running, HOST) == "") is fits


def test_a_machine_at_rest_gives_its_cpus_away_and_keeps_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "measure", lambda: HOST)
    with admitted(Workdir(tmp_path), cpus=2, memory_mib=3000, deadline=Deadline(10)) as place:
        place.covers(os.getpid())
        place.rest()
        come_and_go(tmp_path, cpus=2)
        with pytest.raises(InfrastructureError, match="promised to 1 running machine"):
            come_and_go(tmp_path, cpus=1, memory=3000, seconds=0.3)


def test_memory_that_a_machine_has_taken_is_not_counted_twice() -> None:
    resident = admission._resident_mib(os.getpid())
    assert resident > 5
    most = HOST.available_mib - RESERVE_MIB
    running = [Ticket(1, 3000, vm=os.getpid())]
    assert not lack(Ticket(1, most - 3000 + resident - 2), running, HOST)
    assert lack(Ticket(1, most - 3000 + resident + 20), running, HOST)


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_a_machine_without_a_process_has_taken_nothing(pid: int) -> None:
    assert admission._resident_mib(pid) == 0


def test_a_refusal_names_its_numbers() -> None:
    assert lack(Ticket(1, 500), [Ticket(2, 500)], HOST) == "2 of 2 CPUs are taken"
    assert "6000 MiB of memory are available" in lack(Ticket(1, 9999), [], HOST)


def test_a_guest_larger_than_the_host_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"9000000 MiB of memory takes {9_000_000 + OVERHEAD_MIB} MiB, and this host"):
        come_and_go(tmp_path, cpus=1, memory=9_000_000, seconds=1)
    assert tickets(tmp_path) == []


def test_the_place_is_given_back_also_by_an_exception(tmp_path: Path) -> None:
    def interrupted() -> None:
        with admitted(Workdir(tmp_path), cpus=64, memory_mib=64, deadline=Deadline(10)):
            assert len(tickets(tmp_path)) == 1
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert tickets(tmp_path) == []


def test_one_process_can_hold_several_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "measure", lambda: HOST)
    with admitted(Workdir(tmp_path), cpus=1, memory_mib=64, deadline=Deadline(10)):
        come_and_go(tmp_path, cpus=1)
        second = admitted(Workdir(tmp_path), cpus=1, memory_mib=64, deadline=Deadline(10))
        with second, pytest.raises(InfrastructureError, match="2 of 2 CPUs are taken"):
            come_and_go(tmp_path, cpus=1, seconds=0.3)
        come_and_go(tmp_path, cpus=1)


def test_the_deadline_is_kept_and_says_why(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "measure", lambda: HOST)
    start().said("runs")
    with pytest.raises(InfrastructureError, match=r"no room for a guest of 2 CPUs .* within 0\.3 s: 2 of 2 CPUs"):
        come_and_go(tmp_path, cpus=2, seconds=0.3)
    assert len(tickets(tmp_path)) == 1, "the one who gave up has left the queue"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_place_of_a_killed_process_is_free_at_once(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    first = start()
    first.said("runs")
    second = start("pass")
    assert eventually(lambda: waiting(tmp_path, 2))
    killed = time.monotonic()
    first.process.send_signal(number)
    assert 0 < second.said("runs") - killed < 3


def test_a_killed_waiter_leaves_the_queue(start: Start, tmp_path: Path) -> None:
    first = start()
    first.said("runs")
    second = start()
    assert eventually(lambda: waiting(tmp_path, 2))
    third = start("pass")
    assert eventually(lambda: waiting(tmp_path, 3))
    second.process.kill()
    second.process.wait()
    first.process.kill()
    third.said("runs")
    assert third.process.wait(10) == 0
    assert tickets(tmp_path) == []


def test_first_come_first_served_and_the_small_do_not_overtake(start: Start, tmp_path: Path) -> None:
    """A large machine waits for an empty host; small ones that would fit meanwhile must not keep it out."""
    first = start(cpus=1)
    first.said("runs")
    large = start("pass", cpus=2)
    assert eventually(lambda: waiting(tmp_path, 2))
    small = start("pass", cpus=1)
    assert eventually(lambda: waiting(tmp_path, 3))
    first.tell()
    left, ran = first.said("leaves"), large.said("runs")
    assert ran > left
    assert small.said("runs") > large.said("leaves")
    assert large.process.wait(10) == small.process.wait(10) == 0


@pytest.mark.parametrize(("memory", "host"), [
    (100, (2, 8000)), ((8000 - RESERVE_MIB) // 2 - OVERHEAD_MIB, (64, 8000))], ids=["cpus", "memory"])
def test_neither_cpus_nor_memory_are_given_away_twice(start: Start, memory: int, host: tuple[int, int]) -> None:
    """There is room for two, and five ask at the same moment."""
    holders = [start("moment", cpus=1, memory=memory, host=host) for _ in range(5)]
    for one in holders:
        one.tell()
    spans = [(one.said("runs"), one.said("leaves")) for one in holders]
    together = [sum(begin <= moment < end for begin, end in spans) for moment, _ in spans]
    assert max(together) == 2


def test_a_child_that_inherits_the_place_keeps_it(start: Start, tmp_path: Path) -> None:
    """QEMU may live a moment longer than a killed farm; its memory is not promised away in between."""
    first = start("exec")
    first.said("runs")
    second = start("pass")
    assert eventually(lambda: waiting(tmp_path, 2))
    time.sleep(0.3)  # in which it looks several times
    assert second.process.poll() is None
    first.process.kill()
    second.said("runs")


def test_a_forked_child_does_not_keep_a_place_that_was_given_back(tmp_path: Path) -> None:
    with admitted(Workdir(tmp_path), cpus=64, memory_mib=64, deadline=Deadline(10)):
        child = os.fork()
        if child == 0:
            time.sleep(600)
    try:
        come_and_go(tmp_path, cpus=64, seconds=5)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_rubbish_in_the_ledger_is_passed_over(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    ledger = workdir.directory("admission", os.uname().nodename)
    (ledger / "notes.ticket").write_text("rubbish")
    (ledger / "000000000007.ticket").write_text("")
    with admitted(workdir, cpus=1, memory_mib=64, deadline=Deadline(10)):
        assert [path.name for path in tickets(tmp_path)] == ["000000000008.ticket"]


def test_the_process_of_the_machine_is_noted(tmp_path: Path) -> None:
    with admitted(Workdir(tmp_path), cpus=1, memory_mib=64, deadline=Deadline(10)) as place:
        place.covers(os.getpid())
        assert json.loads(tickets(tmp_path)[0].read_text())["vm"] == os.getpid()
    place.end()
