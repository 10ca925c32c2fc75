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

# Waits for its place on a made-up host, says so, holds the place until told to go on, and says when it left.
HOLDER = """
import json, os, sys, time
from pathlib import Path
from farm.deadline import Deadline
from farm.host import admission
from farm.host.capacity import Capacity
from farm.host.workdir import Workdir

root, cpus, memory, host_cpus, host_memory, hold = sys.argv[1], *map(float, sys.argv[2:])
admission.measure = lambda: Capacity(int(host_cpus), int(host_memory), int(host_memory))
print(json.dumps(["waits", time.monotonic()]), flush=True)
with admission.admitted(Workdir(Path(root)), cpus=int(cpus), memory_mib=int(memory), deadline=Deadline(60)) as place:
    print(json.dumps(["runs", time.monotonic()]), flush=True)
    if hold < 0:
        os.set_inheritable(place.descriptor, True)
        os.execvp("sleep", ["sleep", "600"])
    time.sleep(hold)
    print(json.dumps(["leaves", time.monotonic()]), flush=True)
"""


class Holder:
    def __init__(self, root: Path, *, cpus: int, memory: int, host: tuple[int, int], hold: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(root), *map(str, (cpus, memory, *host, hold))],
            stdout=subprocess.PIPE, text=True,
        )

    def said(self, word: str) -> float:
        assert self.process.stdout is not None
        said: list[Any] = json.loads(self.process.stdout.readline())
        assert said[0] == word
        return float(said[1])


Start = Callable[..., Holder]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Holder] = []

    def make(*, cpus: int = 2, memory: int = 500, host: tuple[int, int] = (2, 8000), hold: float = 600.0) -> Holder:
        started.append(Holder(tmp_path, cpus=cpus, memory=memory, host=host, hold=hold))
        return started[-1]

    yield make
    for one in started:
        one.process.kill()
        one.process.wait()


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


def test_overcommit_lets_more_cpus_in() -> None:
    assert lack(Ticket(2, 500), [Ticket(2, 500)], HOST)
    assert not lack(Ticket(2, 500), [Ticket(2, 500)], HOST, overcommit=2)


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
    first = start()
    first.said("waits")
    first.said("runs")
    with pytest.raises(InfrastructureError, match=r"no room for a guest of 2 CPUs .* within 0\.5 s: 2 of 2 CPUs"):
        come_and_go(tmp_path, cpus=2, seconds=0.5)
    assert len(tickets(tmp_path)) == 1, "the one who gave up has left the queue"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_place_of_a_killed_process_is_free_at_once(start: Start, number: signal.Signals) -> None:
    first, second = start(), start(hold=0)
    for one in (first, second):
        one.said("waits")
    first.said("runs")
    time.sleep(0.3)
    first.process.send_signal(number)
    first.process.wait()
    killed = time.monotonic()
    assert second.said("runs") - killed < 3


def test_a_killed_waiter_leaves_the_queue(start: Start, tmp_path: Path) -> None:
    first = start()
    first.said("waits")
    first.said("runs")
    second = start()
    assert eventually(lambda: waiting(tmp_path, 2))
    third = start(hold=0)
    assert eventually(lambda: waiting(tmp_path, 3))
    second.process.kill()
    second.process.wait()
    first.process.kill()
    third.said("waits")
    third.said("runs")
    assert third.process.wait(10) == 0
    assert tickets(tmp_path) == []


def test_first_come_first_served_and_the_small_do_not_overtake(start: Start, tmp_path: Path) -> None:
    """A large machine waits for an empty host; small ones that would fit meanwhile must not keep it out."""
    first = start(cpus=1, hold=1.5)
    first.said("waits")
    first.said("runs")
    large = start(cpus=2, hold=0.2)
    assert eventually(lambda: waiting(tmp_path, 2))
    small = start(cpus=1, hold=0)
    assert eventually(lambda: waiting(tmp_path, 3))
    for one in (large, small):
        one.said("waits")
    left, ran = first.said("leaves"), large.said("runs")
    assert ran > left
    assert small.said("runs") > large.said("leaves")
    assert large.process.wait(10) == small.process.wait(10) == 0


def test_never_too_many_at_once(start: Start) -> None:
    holders = [start(cpus=1, memory=100, host=(2, 8000), hold=0.3) for _ in range(6)]
    spans = []
    for one in holders:
        one.said("waits")
    for one in holders:
        spans.append((one.said("runs"), one.said("leaves")))
        assert one.process.wait(20) == 0
    together = [sum(begin <= moment < end for begin, end in spans) for moment, _ in spans]
    assert max(together) == 2, "two single CPUs fit on two CPUs, and no more"


def test_memory_is_never_promised_twice(start: Start) -> None:
    memory = (8000 - RESERVE_MIB) // 2 - OVERHEAD_MIB
    holders = [start(cpus=1, memory=memory, host=(64, 8000), hold=0.3) for _ in range(5)]
    spans = []
    for one in holders:
        one.said("waits")
        spans.append((one.said("runs"), one.said("leaves")))
    together = [sum(begin <= moment < end for begin, end in spans) for moment, _ in spans]
    assert max(together) == 2


def test_a_child_that_inherits_the_place_keeps_it(start: Start) -> None:
    """QEMU may live a moment longer than a killed farm; its memory is not promised away in between."""
    first = start(hold=-1)  # becomes another program that has the descriptor
    first.said("waits")
    first.said("runs")
    second = start(hold=0)
    second.said("waits")
    time.sleep(0.7)
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
