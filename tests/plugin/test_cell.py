"""How a cell ends, with a guest of which nothing is left but what its kernel said."""

import json
from types import SimpleNamespace

import pytest

from farm.errors import CrashError, HangError, InfrastructureError
from farm.guest.patient import Patient
from farm.host.accel import KVM, Acceleration
from farm.model import Finding, KernelId, Outcome
from farm.oops.tasks import Stuck
from farm.plugin import aftermath
from farm.plugin.aftermath import Evidence
from farm.plugin.cell import CellRun
from farm.plugin.outcomes import CELL_KEY, explanation

PANIC = b"[   12.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n"


@pytest.fixture
def item(pytester):
    return pytester.getitem("def test_it(): pass", "test_it")


@pytest.fixture
def cell(pytester, item, monkeypatch):
    monkeypatch.setattr("farm.monitor.TICK", 0.02)  # this guest says nothing more
    monkeypatch.setattr("farm.monitor.QUIET", 0.05)
    kernel = SimpleNamespace(id=KernelId("debian:linux-source-6.12", "6.12", "base"), vmlinux=None)
    session = SimpleNamespace(
        kernel=kernel, image=SimpleNamespace(digest=""), acceleration=Acceleration(KVM, "", 0.8), seed=1,
        run_directory=pytester.path / "runs")
    cell = CellRun(session, item)
    item.stash[CELL_KEY] = cell
    cell.target = SimpleNamespace(patient=Patient(None, None), trouble=lambda: None, alive=False)
    return cell


def test_a_skip_does_not_hide_what_the_kernel_reported(cell):
    cell.monitor.console(PANIC)
    assert isinstance(cell.conclude(pytest.skip.Exception("no such module")), CrashError)
    assert cell.record.outcome is Outcome.FAIL


def test_a_skip_of_a_guest_that_is_well_is_one(cell):
    skip = pytest.skip.Exception("no such module")
    cell.monitor.console(b"[   12.000000] all is well\n")
    assert cell.conclude(skip) is skip
    assert cell.record.outcome is Outcome.SKIP


def test_a_tear_down_that_fails_is_no_pass(cell):
    def fail():
        raise ValueError("a bug of the monitor, which the console heard of")

    cell.monitor.console(b"[   12.000000] all is well\n")
    assert cell.conclude(None) is None
    cell._exit.callback(fail)
    with pytest.raises(ValueError, match="a bug of the monitor"):
        cell.close()
    assert cell.record.outcome is Outcome.ERROR
    assert json.loads((cell.record.directory.path / "result.json").read_text())["outcome"] == "error"


def reported(item, work):
    """The report on a testcase whose body is `work`."""
    call = pytest.CallInfo.from_call(work, "call")
    return item.ihook.pytest_runtest_makereport(item=item, call=call)


def buggy():
    return ().nosuch


def written(cell):
    """What result.json says of the cell."""
    result = json.loads((cell.record.directory.path / "result.json").read_text())
    return result["outcome"], (result["cause"] or {}).get("kind"), result["title"]


def test_a_bug_of_a_testcase_says_nothing_of_the_kernel(item, cell):
    cell.monitor.console(b"[   12.000000] all is well\n")
    report = reported(item, buggy)
    assert (report.outcome, report.when) == ("failed", "setup")
    outcome, kind, title = written(cell)
    assert (outcome, kind) == ("error", "internal")
    assert title.endswith(": AttributeError: 'tuple' object has no attribute 'nosuch'")


def test_what_the_kernel_reported_outranks_a_bug_that_followed(item, cell):
    cell.monitor.console(PANIC)
    report = reported(item, buggy)
    assert (report.outcome, report.when) == ("failed", "call")
    assert written(cell)[:2] == ("fail", "panic")
    assert "AttributeError" not in str(report.longrepr)


def test_a_hang_without_a_report_names_where_tasks_stood(cell):
    cell.evidence = Evidence((
        Stuck("blocked", "crypt_map", ("fio (412)", "fio (413)")), Stuck("running", "zswap_store", ("dd (7)",))))
    said = explanation(HangError("`sync` did not end within 120 s."), cell)
    assert "120 s.\n\nblocked in crypt_map: fio (412) and 1 more\nrunning in zswap_store: dd (7)\n\ncell: " in said
    assert "crypt_map" not in explanation(CrashError("the kernel panicked"), cell)


def test_one_line_of_a_guest_stays_one(cell):
    error = CrashError("the kernel panicked")
    error.reports = (Finding("panic", "kernel panic: no", "f", text="Kernel panic: a\fb\u2028c\nsecond\n"),)
    assert "\n\nKernel panic: a\\x0cb\\u2028c\nsecond\n\ncell: " in explanation(error, cell)


@pytest.mark.parametrize(("problem", "kind"), [
    (InfrastructureError("cannot write result.json (No space left on device)"), "infrastructure"),
    (OSError(28, "No space left on device"), "internal"), (KeyError("a bug of the farm's"), "internal")])
def test_a_cell_that_cannot_be_concluded_ends_no_session(item, cell, monkeypatch, problem, kind):
    def fail(*_):
        raise problem

    cell.monitor.console(b"[   12.000000] all is well\n")
    with monkeypatch.context() as full:
        full.setattr(cell.record, "write", fail)
        report = reported(item, lambda: None)
    assert (report.outcome, report.when) == ("failed", "setup")
    assert "had failed by then" not in str(report.longrepr)
    cell.close()
    assert written(cell)[:2] == ("error", kind)


def test_what_the_kernel_reported_stands_below_what_could_not_be_written(item, cell, monkeypatch):
    def fail(*_):
        raise InfrastructureError("cannot write result.json (No space left on device)")

    cell.monitor.console(PANIC)
    monkeypatch.setattr(cell.record, "write", fail)
    report = reported(item, lambda: None)
    assert (report.outcome, report.when) == ("failed", "setup")
    said = str(report.longrepr)
    assert said.startswith("cannot write result.json")
    assert "The testcase had failed by then: kernel panic: Attempted to kill init!" in said


def test_the_console_may_ask_while_stacks_are_built(cell):
    """Its thread looks for a device, or for the places of changes, while another stack is entered."""
    class Growing:
        @property
        def base(self):
            cell._assemblies[str(len(cell._assemblies))] = self
            return SimpleNamespace(path="/dev/nvme0n1", namespace=SimpleNamespace(block=4096))

        def extents(self, _):
            cell._assemblies[str(len(cell._assemblies))] = self
            return ()

    cell.target.disk = SimpleNamespace(changes=())
    cell._assemblies["0"] = Growing()
    assert cell._block_of("nvme1n1") == 0
    assert cell._block_of("nvme0n1") == 4096
    assert cell._changed() == ()


@pytest.mark.parametrize("piece", ["collect", "memory", "decode"])
def test_evidence_that_fails_costs_no_other(cell, monkeypatch, piece):
    def fail(*_):
        raise ValueError("a bug of the farm's")

    cell._session.kernel.vmlinux, cell._session.kernel.decoder = cell.record.directory.path / "vmlinux", None
    cell._option = SimpleNamespace(dump_memory=True)
    cell.target.machine = cell.record.machine
    cell.record.directory.evidence.mkdir()
    monkeypatch.setattr(aftermath, piece, fail)
    cell.monitor.console(PANIC)
    assert isinstance(cell.conclude(None), CrashError)
    found = {path.name for path in cell.record.directory.evidence.iterdir()}
    assert "stacks.txt" in found
    assert ("dmesg.txt" in found, "dump.txt" in found) == (piece != "collect", piece != "memory")
    assert (cell.evidence.places is not None) is (piece != "decode")
