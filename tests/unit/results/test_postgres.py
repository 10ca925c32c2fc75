"""The tests' own server ends with them, however they end."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from farm.host import lease
from tests.unit.host.owners import Owner, eventually
from tests.unit.results import postgres

OWNER = f"""
import json, sys, time
sys.path.insert(0, {os.fspath(Path(__file__).parents[3])!r})
from tests.unit.results import postgres
print(json.dumps("begins"), flush=True)
with postgres.server() as made:
    made.fresh("mine")
    print(json.dumps("runs"), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def owner() -> Iterator[Owner]:
    if why := postgres.missing():
        pytest.skip(why)
    # Not pytest's directory for a test: with xdist that is too long for a socket (107 bytes).
    one = Owner(OWNER, lease.scratch_directory("owner"))
    yield one
    one.process.kill()
    one.process.wait()


def inside(directory: Path) -> list[int]:
    """Processes that stand in a directory, or in one that was removed from it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(directory):
                found.append(int(entry.name))
    return found


def shared(keys: str, files: Path) -> set[str]:
    """Shared memory, by its name: System V's by key, POSIX's by file."""
    return {line.split()[0] for line in keys.splitlines()[1:]} | {path.name for path in files.iterdir()}


def of_host() -> set[str]:
    return shared(Path("/proc/sysvipc/shm").read_text(), Path("/dev/shm"))


def of_server(directory: Path, pid: int) -> set[str]:
    """Also what the server's own view of the host shows; its System V segment is written in its lock file."""
    (lock,) = directory.glob("*/postgres-*/data/postmaster.pid")
    key = lock.read_text().splitlines()[6].split()[0]
    return {key} | {path.name for path in Path(f"/proc/{pid}/root/dev/shm").iterdir()}


def left(one: Owner) -> dict[str, list[str]]:
    """What is left, by kind, with what a failure needs to be understood."""
    processes = [f"{pid} {stat(pid)}" for pid in inside(one.directory)]
    return {kind: found for kind, found in {"processes": processes, "files": one.left()}.items() if found}


def stat(pid: int) -> str:
    """Name, state and parents of a process as /proc has them; "" when it is gone."""
    with suppress(OSError):
        return " ".join(Path(f"/proc/{pid}/stat").read_text().split()[1:6])
    return ""


def test_a_kill_leaves_neither_processes_nor_files_nor_shared_memory(owner: Owner) -> None:
    assert [owner.said(), owner.said()] == ["begins", "runs"]
    pids = inside(owner.directory)
    assert len(pids) > 1, "the server has children"
    memory = of_server(owner.directory, pids[0])
    assert len(memory) > 1, "of both kinds"
    owner.process.kill()
    assert eventually(lambda: not left(owner)), left(owner)
    assert not memory & of_host()


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_kill_while_it_starts(owner: Owner, seconds: float) -> None:
    before = of_host()
    assert owner.said() == "begins"
    time.sleep(seconds)
    owner.process.kill()
    assert eventually(lambda: not left(owner)), left(owner)
    assert of_host() <= before
