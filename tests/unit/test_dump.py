"""Which dump is meant, what is said when there is none, and how the keeper of a guest is asked for one."""

import importlib.util
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farm import dump
from farm.enter import Entrance
from farm.errors import InfrastructureError, UserError
from farm.evidence.memory import lacking
from farm.guest.patient import Patient
from farm.host.cache import Store
from farm.model import Cell, KernelId, Machine, Outcome
from farm.results.directory import CellDirectory

KERNEL = KernelId("debian:linux-source-6.12", "6.12.117-farm", "debug", build="b" * 64)
HERE = Entrance(22, "/key", "ssh-ed25519 AAAA", "/console.log", os.getpid(), vmlinux="/cache/vmlinux")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Makes cells of one run, with a dump or an entrance in them."""
    def make(*, dumped: bool = False, entrance: Entrance | None = None, kernel: KernelId = KERNEL) -> Path:
        cell = CellDirectory(tmp_path / "runs" / "one", "test_it.py::test_it")
        cell.write_result(Cell(kernel, Machine(), testcase="test_it.py::test_it"), Outcome.FAIL, title="it failed")
        if dumped:
            cell.evidence.mkdir()
            (cell.evidence / "vmcore").touch()
        if entrance is not None:
            entrance.write(cell.path)
        return cell.path

    return make


def built(store: Store, *names: str) -> None:
    def fill(directory: Path) -> dict[str, Any]:
        for name in names:
            (directory / name).touch()
        return {}

    store.build("kernel", KERNEL.build, fill)


def test_the_dump_of_a_run_with_its_kernel(make: Callable[..., Path], store: Store, tmp_path: Path) -> None:
    built(store, "vmlinux")
    cell = make(dumped=True)
    make()
    for what in (cell, cell.parent):
        found = dump.find(str(what), tmp_path, store)
        assert (found.directory, found.dump) == (cell, cell / "evidence/vmcore")
        assert found.vmlinux is not None
        assert found.vmlinux.parent.name == KERNEL.build
    own = dump.find(str(cell), tmp_path, store, tmp_path / "mine")
    assert own.vmlinux == tmp_path / "mine"


def test_a_kernel_without_debug_information(make: Callable[..., Path], store: Store, tmp_path: Path) -> None:
    built(store, "bzImage")
    found = dump.find(str(make(dumped=True)), tmp_path, store)
    with pytest.raises(UserError, match="was not read: this kernel was built without debug information"):
        dump.report(found, tmp_path / "vmcore")


def test_a_farm_without_drgn(make: Callable[..., Path], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    built(store, "vmlinux")
    found = dump.find(str(make(dumped=True)), Path("runs"), store)
    assert lacking(found.vmlinux) == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"drgn is not installed\. `pip install 'kernel-farm\[dump\]'`"):
        dump.report(found, Path("vmcore"))


def test_what_cannot_be_found_is_a_sentence(make: Callable[..., Path], store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run directory"):
        dump.find(str(tmp_path), tmp_path, store)
    cell = make()
    with pytest.raises(UserError, match=r"has no dump of a guest's memory\. `farm run --dump-memory` leaves one"):
        dump.find(str(cell), tmp_path, store)
    with pytest.raises(UserError, match="No guest of a run in"):
        dump.find("live", tmp_path / "runs", store)
    dumped = make(dumped=True)
    with pytest.raises(UserError, match=r"6\.12\.117-farm debug\) is not in the cache any more"):
        dump.find(str(dumped), tmp_path, store)
    make(dumped=True)
    with pytest.raises(UserError, match=r"several dumps\. Name the cell:\n.*test_it-2\n.*test_it-3"):
        dump.find(str(cell.parent), tmp_path, store)


def test_the_only_guest_that_runs(make: Callable[..., Path], store: Store, tmp_path: Path) -> None:
    cell = make(entrance=HERE)
    make(entrance=Entrance(22, "/key", "ssh", "/console.log", qemu=2 ** 22 + 1))
    found = dump.find("live", tmp_path / "runs", store)
    assert (found.directory, found.dump, found.vmlinux) == (cell, None, Path("/cache/vmlinux"))
    assert dump.find(str(cell), tmp_path, store).dump is None
    make(entrance=HERE)
    with pytest.raises(UserError, match=r"Several guests of runs in .* run\. Name one"):
        dump.find("live", tmp_path / "runs", store)


def test_the_keeper_answers_whoever_asks(make: Callable[..., Path]) -> None:
    cell, over = make(entrance=HERE), threading.Event()
    keeper: Any = SimpleNamespace(patient=Patient(None, None), machine=Machine(memory_mib=1))

    def keep() -> None:
        while not over.wait(0.02):
            dump.answer_requests(keeper, cell)

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        with pytest.raises(InfrastructureError, match="was not dumped: QEMU does not run"):
            dump.request(cell, cell / "vmcore")
    finally:
        over.set()
        thread.join()
    assert not [path for path in cell.iterdir() if "dump" in path.name]


@contextmanager
def taker(cell: Path, and_then: Callable[[], object] = lambda: None) -> Iterator[None]:
    """A keeper that takes the request, does something, and never answers."""
    def take() -> None:
        while not (cell / dump.REQUEST).exists():
            time.sleep(0.01)
        (cell / "vmcore").write_text("the beginning of a dump")
        and_then()
        (cell / dump.REQUEST).unlink()

    thread = threading.Thread(target=take)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize(("entrance", "said"), [
    # Let go by its keeper, and killed together with it.
    (None, r"No guest of .* can be entered"), (replace(HERE, qemu=2 ** 22 + 1), r"The guest of .* has ended"),
])
def test_a_guest_that_ends_meanwhile(make: Callable[..., Path], entrance: Entrance | None, said: str) -> None:
    cell = make(entrance=entrance)
    with taker(cell), pytest.raises(UserError, match=said):
        dump.request(cell, cell / "vmcore")
    assert not [path for path in cell.iterdir() if "dump" in path.name or path.name == "vmcore"]


def test_a_keeper_that_never_says_what_came_of_it(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make(entrance=HERE)
    monkeypatch.setattr(dump, "DUMP_SECONDS", 0.2)
    # Shorter only when it has taken the request.
    with taker(cell, lambda: monkeypatch.setattr(dump, "NOTICE_SECONDS", 0.2)), \
            pytest.raises(InfrastructureError, match="does not say what came of the dump"):
        dump.request(cell, cell / "vmcore")
    assert not (cell / "vmcore").exists()


def test_an_answer_counts_although_the_guest_has_ended(make: Callable[..., Path]) -> None:
    cell = make()
    with taker(cell, lambda: (cell / dump.ANSWER).write_text('{"error": ""}')):
        dump.request(cell, cell / "vmcore")
    assert (cell / "vmcore").exists()
    assert not (cell / dump.ANSWER).exists()


def test_nobody_answers(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "NOTICE_SECONDS", 0.2)
    cell = make()
    with pytest.raises(InfrastructureError, match="does not answer"):
        dump.request(cell, cell / "vmcore")
    assert not (cell / dump.REQUEST).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"dump": 7}'])
def test_a_request_that_is_none_is_dropped(make: Callable[..., Path], text: str) -> None:
    cell = make()
    (cell / dump.REQUEST).write_text(text)
    dump.answer_requests(SimpleNamespace(), cell)  # type: ignore[arg-type]
    assert not (cell / dump.REQUEST).exists()
    assert not (cell / dump.ANSWER).exists()


def test_the_parts_of_a_report() -> None:
    assert dump.sections("noise\n==> disks <==\nvda: 1\n\nvdb: 2\n\n==> tables <==\nnone\n") == [
        ("disks", ["vda: 1", "vdb: 2"]), ("tables", ["none"])]
    assert json.dumps(dump.sections("")) == "[]"
