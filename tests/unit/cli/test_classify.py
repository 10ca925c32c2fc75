"""The command: files, directories, standard input, JSON and plain text."""

import gzip
import json
import os
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from farm.cli.classify import command
from farm.errors import UserError

KASAN = """\
[   12.001000] BUG: KASAN: slab-use-after-free in crypt_dec_pending+0x3b/0x120
[   12.002000] Read of size 8 at addr ffff888004c1a408 by task kworker/u8:3/57
[   12.003000] Call Trace:
[   12.004000]  kasan_report+0xd1/0x110
[   12.005000]  crypt_dec_pending+0x3b/0x120
"""
HUNG = """\
[  212.001000] INFO: task kworker/u8:3:57 blocked for more than 122 seconds.
[  212.002000] Call Trace:
[  212.003000]  __schedule+0x3f1/0xa20
[  212.004000]  blk_mq_get_tag+0x11c/0x2b0
"""


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "b.log").write_text(KASAN)
    (tmp_path / "a.log").write_text(HUNG)
    (tmp_path / "clean.log").write_text("[    1.000000] Linux version 6.12\n")
    (tmp_path / "notes.txt").write_text(KASAN)
    return tmp_path


def _run(*arguments: str, stdin: bytes | None = None) -> str:
    result = CliRunner().invoke(command, list(arguments), input=stdin, catch_exceptions=False, standalone_mode=False)
    return result.stdout


def test_json_of_a_directory(logs: Path) -> None:
    found = [json.loads(line) for line in _run("--json", str(logs)).splitlines()]
    assert [(one["file"], one["kind"]) for one in found] == [("a.log", "hung-task"), ("b.log", "kasan")]
    assert set(found[0]) >= {
        "file", "kind", "title", "function", "frames", "signature", "alt_titles", "process", "workqueue", "taint",
        "kernel", "corrupted", "suppressed", "start", "end",
    }  # fmt: skip
    assert found[0]["frames"][0] == {
        "function": "__schedule", "offset": "0x3f1/0xa20", "place": "", "module": "", "inlined": False, "generic": True,
    }  # fmt: skip


def test_standard_input() -> None:
    (line,) = _run("--json", "-", stdin=KASAN.encode()).splitlines()
    assert json.loads(line)["file"] == "-"


def test_text_has_the_table_and_the_report(logs: Path) -> None:
    text = _run(str(logs / "b.log"))
    assert "KASAN: slab-use-after-free Read in crypt_dec_pending" in text.splitlines()[1]
    assert "    Read of size 8 at addr ffff888004c1a408 by task kworker/u8:3/57" in text


def test_a_clean_log_says_so(logs: Path) -> None:
    assert _run(str(logs / "clean.log")) == "no crash reports\n"
    assert _run("--json", str(logs / "clean.log")) == ""


def test_missing_file_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        _run(str(tmp_path / "absent"))


def test_directory_without_logs_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \*.log file"):
        _run(str(tmp_path))


def test_hostile_log_cannot_control_the_terminal() -> None:
    text = HUNG.replace("kworker/u8:3", "\x1b]0;owned\x07\x9b31m\u202e")
    shown = _run("-", stdin=text.encode())
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert "\\u202e" in shown


def test_table_on_a_terminal(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(TextIOWrapper):
        def isatty(self) -> bool:
            return True

    screen = Terminal(BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", screen)
    command.callback((str(logs / "b.log"),), as_json=False)  # type: ignore[misc]
    screen.seek(0)
    assert "KASAN: slab-use-after-free" in screen.read()


class TestAsAProgram:
    """What only shows with real pipes and files."""

    def start(self, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "farm", "classify", *arguments]
        return subprocess.Popen(argv, stderr=subprocess.PIPE, **streams)

    def test_a_reader_that_has_seen_enough_ends_it_quietly(self, tmp_path: Path) -> None:
        (tmp_path / "long.log").write_text("".join(KASAN.replace("crypt_dec", f"f{n}") for n in range(4000)))
        child = self.start("--json", str(tmp_path), stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["kind"] == "kasan"
        child.stdout.close()
        assert child.stderr is not None
        assert child.stderr.read() == b""
        assert child.wait(60) == 141

    def test_a_finding_is_told_before_the_stream_ends(self) -> None:
        child = self.start("--json", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(KASAN.encode() + b"[   12.006000] " + b"=" * 66 + b"\n")
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["kind"] == "kasan"
        child.stdin.close()
        assert child.wait(60) == 0

    def test_a_terminal_that_lacks_characters_gets_escapes(self, tmp_path: Path) -> None:
        (tmp_path / "a.log").write_text(KASAN.replace("kworker", "kw\u00f6rker"))
        child = self.start(str(tmp_path), stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "ascii"})
        assert b"kw\\xf6rker" in child.communicate()[0]
        assert child.returncode == 0


@pytest.mark.parametrize(("name", "content", "words"), [
    ("a.log", gzip.compress(KASAN.encode()), "compressed by gzip"),
    ("vmlinux", b"\x7fELF\2\1", "an ELF file"),
])
def test_what_is_no_log_is_said_to_be_none(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        _run(str(tmp_path / name))


def test_binary_garbage_around_a_report_does_not_hide_it(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(bytes(range(256)) * 40 + b"\n" + KASAN.encode() + b"\0" * 5000)
    assert json.loads(_run("--json", str(tmp_path)))["kind"] == "kasan"
