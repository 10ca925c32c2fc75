"""Places in the sources: what the script is given, and what is made of its answer."""

from pathlib import Path
from typing import NoReturn

import pytest

from farm.deadline import Deadline
from farm.errors import InfrastructureError
from farm.evidence.decode import Places, decode, parse, symbols
from farm.host import process
from farm.model import Finding, Frame

REPORT = """\
WARNING: CPU: 1 PID: 97 at drivers/misc/lkdtm/bugs.c:99 lkdtm_WARNING+0x1c/0x30
RIP: 0010:lkdtm_WARNING+0x1c/0x30
 ? lkdtm_do_action.constprop.0+0x20/0x40
 ext_function+0x1/0x2 [some_module]
 full_proxy_write+0x5c/0x90"""


def test_each_function_once_the_certain_ones_first_and_none_of_modules() -> None:
    assert symbols([REPORT, REPORT]) == [
        "lkdtm_WARNING+0x1c/0x30", "full_proxy_write+0x5c/0x90", "lkdtm_do_action.constprop.0+0x20/0x40"]


@pytest.mark.parametrize("hostile", [
    '"||system("touch${IFS}pwned")||"+0x1/0x2',
    "a[$(touch${IFS}pwned)]+0x1/0x2",
    "$(touch${IFS}pwned)+0x1/0x2",
    "f+0x1[$(touch${IFS}pwned)]/0x2",
    "-e+0x1/0x2",
    "a/b+0x1/0x2 [$(touch${IFS}pwned)]",
    "f+0x1/0x2\x00;touch${IFS}pwned",
])
def test_only_plain_symbols_reach_the_script(hostile: str) -> None:
    """The kernel's script runs what stands in such names as commands."""
    for symbol in symbols([f" {hostile}"]):
        assert set(symbol) <= set("abcdefghijklmnopqrstuvwxyz_+/0123456789")


def test_the_script_s_answer() -> None:
    said = ("0 f (fs/a.c:12 (discriminator 3) include/linux/b.h:7) \n1 g+0x1/0x2 \nnoise\n"
            "7 h (x.c:1) \n2 i (/build/mm/c.c:3) \n3 j (k.c:4")
    assert parse(said, ["f+0x1/0x2", "g+0x1/0x2", "i+0x1/0x2", "j+0x1/0x2"]) == {
        "f+0x1/0x2": "fs/a.c:12 include/linux/b.h:7", "i+0x1/0x2": "mm/c.c:3"}


def test_places_are_put_into_text_and_frames() -> None:
    places = Places({"f.isra.0+0x1/0x2": "fs/a.c:12 fs/b.h:7"})
    assert places.text(" ? f.isra.0+0x1/0x2\n g+0x1/0x2 [m]") == \
        " ? f.isra.0+0x1/0x2 (fs/a.c:12 fs/b.h:7)\n g+0x1/0x2 [m]"
    frames = (Frame("f", "0x1/0x2"), Frame("f", "0x9/0x2"), Frame("f", "0x1/0x2", module="m"))
    assert [frame.place for frame in places.finding(Finding("oops", "", frames=frames)).frames] == ["fs/a.c:12", "", ""]


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vmlinux = tmp_path / "vmlinux"
    assert "no scripts/decode_stacktrace.sh" in decode([REPORT], vmlinux, None, Deadline(60)).text(REPORT)
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = decode([REPORT], vmlinux, tmp_path / "script", Deadline(60)).reason
    assert reason == "scripts/decode_stacktrace.sh needs bash, awk, nm, addr2line, which this host lacks"


class TestRunning:
    """A script in the kernel's place, because the kernel's own takes a kernel: tests/e2e/test_evidence.py has both."""

    def run(self, script: str, tmp_path: Path, seconds: float = 60) -> Places:
        (tmp_path / "script").write_text(script)
        return decode([REPORT], tmp_path / "vmlinux", tmp_path / "script", Deadline(seconds))

    def test_it_is_given_numbered_symbols_on_its_input(self, tmp_path: Path) -> None:
        places = self.run('while read number symbol; do echo "$number f ($symbol:1) "; done', tmp_path)
        assert places.of["full_proxy_write+0x5c/0x90"] == "full_proxy_write+0x5c/0x90:1"
        assert places.reason == ""

    def test_one_that_knows_nothing(self, tmp_path: Path) -> None:
        assert "knows none of 3 functions" in self.run("cat", tmp_path).reason

    def test_one_that_does_not_end_keeps_what_it_said(self, tmp_path: Path) -> None:
        places = self.run("echo '0 f (a.c:1) '; sleep 60", tmp_path, 1)
        assert places.of == {"lkdtm_WARNING+0x1c/0x30": "a.c:1"}
        assert places.reason == "1 of 3 functions within 1 s"

    @pytest.mark.parametrize("error", [InfrastructureError("cannot start bash (Cannot allocate memory)"),
                                       OSError(28, "No space left on device")])
    def test_one_that_cannot_be_run_is_a_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def fail(*_: object, **__: object) -> NoReturn:
            raise error

        monkeypatch.setattr(process, "harvest", fail)
        assert self.run("", tmp_path) == Places(reason=f"scripts/decode_stacktrace.sh did not run: {error}")
