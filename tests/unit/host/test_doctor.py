"""The doctor tells what is there, also of tools that misbehave."""

import dataclasses
import json
import resource
from pathlib import Path

import click.testing
import pytest

from farm.cli import doctor as cli
from farm.host import doctor
from farm.host.accel import Acceleration
from farm.host.capacity import Capacity
from farm.host.tools import Need, Tool
from farm.host.workdir import Workdir
from farm.model import Verdict


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a program `name` with the given shell text and returns its row of the table."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(text: str, **row) -> Tool:
        path = folder / "gizmo"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return dataclasses.replace(Tool("gizmo", "gizmo-package", "turning"), **row)

    return make


def test_version_from_either_stream(program) -> None:
    assert doctor.examine(program("echo gizmo 1.2.3-4 >&2")).version == "1.2.3-4"
    assert doctor.examine(program("echo gizmo v4.5")).version == "4.5"


def test_a_version_with_a_status_of_its_own_is_still_a_version(program) -> None:
    one = doctor.examine(program("echo gizmo 1.2; exit 3"))
    assert (one.usable, one.version) == (True, "1.2")


@pytest.mark.parametrize("text", [
    "true", "echo", "echo no number", "head -c 100000 /dev/urandom", "yes | head -c 9000000", "exec >&- 2>&-",
    r"printf '\0\0\377\033[2J'",
])
def test_odd_output_is_no_version_and_no_crash(program, text: str) -> None:
    one = doctor.examine(program(text))
    assert one.usable
    assert one.version.isprintable()


def test_a_hostile_version_cannot_steer_the_terminal(program) -> None:
    one = doctor.examine(program(r"printf '1.2\033[2J\007%0500d' 0"))
    assert one.version.startswith("1.2")
    assert one.version.isprintable()
    assert len(one.version) <= 40


def test_a_tool_that_hangs_is_broken_and_does_not_hold_the_doctor(program) -> None:
    one = doctor.examine(program("trap '' TERM; sleep 600"), seconds=0.2)
    assert not one.usable
    assert "did not end within 0.2 s" in one.problem


def test_a_tool_that_never_stops_talking_is_broken_and_does_not_fill_the_memory(program) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "did not end within 0.3 s" in doctor.examine(program("yes"), seconds=0.3).problem
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_a_tool_that_closes_its_output_and_stays_is_broken(program) -> None:
    assert "did not end within 0.2 s" in doctor.examine(program("exec >&- 2>&-; sleep 600"), seconds=0.2).problem


def test_a_tool_that_fails_silently_is_broken(program) -> None:
    assert doctor.examine(program("exit 127")).problem == "does not work (exit status 127)"


def test_a_tool_whose_library_is_gone_says_so(program) -> None:
    one = doctor.examine(program("echo 'error while loading shared libraries: libx.so' >&2; exit 127"))
    assert "libraries: libx.so" in one.problem


def test_a_program_that_is_no_program(program) -> None:
    tool = program("")
    path = tool.find()
    assert path is not None
    path.write_bytes(b"\x7fELF nonsense")
    assert "cannot start" in doctor.examine(tool).problem


def test_a_missing_tool() -> None:
    one = doctor.examine(Tool("no-such-program", "x", "x"))
    assert (one.path, one.usable) == (None, False)


def test_files_get_the_version_of_their_package() -> None:
    assert doctor.examine(Tool("passwd file", "base-files", "x", files=("etc/debian_version",))).version


def made(*tools: doctor.Examined, **changes) -> doctor.Report:
    report = doctor.Report(
        tools=tools, apt="", cache=Path("/cache"), disk_mib=50_000, needed_disk_mib=6000,
        capacity=Capacity(2, 8000, 7000), accelerator="", accelerator_reason="Not decided yet.",
    )
    return dataclasses.replace(report, **changes)


FOUND = doctor.Examined(Tool("a", "pkg-a", "x"), Path("/bin/a"), "1.0")
GONE = doctor.Examined(Tool("b", "pkg-b", "turning"), None, "")
BROKEN = doctor.Examined(Tool("c", "pkg-c", "turning"), Path("/bin/c"), "", "does not work (no)")
UNNEEDED = doctor.Examined(Tool("d", "pkg-d", "x", need=Need.OPTIONAL), None, "")


@pytest.mark.parametrize(("report", "problem"), [
    (made(FOUND), None),
    (made(FOUND, UNNEEDED), None),
    (made(FOUND, GONE), "b is missing: needed for turning."),
    (made(BROKEN), "c does not work (no): needed for turning."),
    (made(FOUND, disk_mib=100), "100 MiB of disk left and a run needs 6000"),
    (made(FOUND, capacity=Capacity(2, 512, 500)), "512 MiB of memory"),
])
def test_what_makes_a_run_impossible(report: doctor.Report, problem: str | None) -> None:
    assert len(report.problems) == (problem is not None)
    assert problem is None or problem in report.problems[0]
    assert report.to_json()["possible"] is (problem is None)


def test_one_apt_line_mends_all_that_is_missing(tmp_path: Path) -> None:
    lacking = [Tool("no-1", "pkg-1", "x"), Tool("no-2", "pkg-2", "x", need=Need.OPTIONAL), Tool("no-3", "pkg-1", "x")]
    report = doctor.report(Workdir(tmp_path), lacking, root=True)
    assert report.apt == "apt-get install --yes --no-install-recommends pkg-1 pkg-2"


def test_a_filled_cache_needs_less_room(tmp_path: Path) -> None:
    assert doctor.report(Workdir(tmp_path), []).needed_disk_mib == doctor.FIRST_DISK_MIB
    (tmp_path / "store/kernel/abc").mkdir(parents=True)
    assert doctor.report(Workdir(tmp_path), []).needed_disk_mib == doctor.LATER_DISK_MIB


def test_the_cache_need_not_exist_and_is_not_made(tmp_path: Path) -> None:
    report = doctor.report(Workdir(tmp_path / "deep" / "cache"), [])
    assert report.disk_mib > 0
    assert not (tmp_path / "deep").exists()


def test_the_remembered_accelerator_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Not decided yet" in doctor.report(Workdir(tmp_path), []).accelerator_reason
    monkeypatch.setattr(doctor.accel, "recall", lambda _: Acceleration("tcg", "KVM hangs.", 4.0))
    report = doctor.report(Workdir(tmp_path), [])
    assert (report.accelerator, report.accelerator_reason) == ("tcg", "KVM hangs.")


def call(report: doctor.Report, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(cli.doctor, "report", lambda _: report)
    result = click.testing.CliRunner().invoke(cli.command, arguments, standalone_mode=False)
    assert result.exception is None
    return result.return_value, result.output


def test_the_command_shows_every_tool_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    status, output = call(made(FOUND, GONE, BROKEN, UNNEEDED, apt="apt-get install pkg-b pkg-d"), monkeypatch)
    assert status == Verdict.STOP
    for words in ("1.0", "missing (package pkg-b)", "broken", "optional, package pkg-d", "apt-get install pkg-b pkg-d"):
        assert words in output


def test_square_brackets_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    report = made(doctor.Examined(Tool("a", "p", "[red]x[/]"), Path("/a"), "1[/bold]"), cache=Path("/[red]"))
    status, output = call(report, monkeypatch)
    assert status == 0
    assert "[red]x[/]" in output
    assert "1[/bold]" in output


def test_the_command_speaks_json(monkeypatch: pytest.MonkeyPatch) -> None:
    status, output = call(made(FOUND, GONE, apt="line"), monkeypatch, "--json")
    said = json.loads(output)
    assert (status, said["possible"], said["apt"]) == (Verdict.STOP, False, "line")
    assert [tool["name"] for tool in said["tools"]] == ["a", "b"]


def test_this_host_as_it_is(tmp_path: Path) -> None:
    report = doctor.report(Workdir(tmp_path))
    assert json.loads(json.dumps(report.to_json()))["cpus"] >= 1
    unknown = [one.tool.name for one in report.tools if one.usable and not one.version and one.tool.version]
    assert unknown == [], "the pattern does not fit what the tool of this host prints"
