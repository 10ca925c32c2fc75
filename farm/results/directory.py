"""The run directory: one directory a run, one directory a cell in it, complete enough to repeat the cell.

    runs/20261120-213000-1f3a/
        test_pi.test_guard/     a cell
            result.json         outcome, crash reports, durations, cell; written first as "did not finish"
            console.log         every byte of the serial console
            commands.jsonl      commands run in the guest, with status and output
            config              the kernel's .config
            qemu.txt            QEMU's argv, one argument a line
            command             the command that repeats this cell
            testcase.py         the file that the testcase was in
            patches/            the patches of the kernel, in the order in which they were applied
            reports/            the crash reports cut out of the console; with debug information also decoded to
                                file:line
            evidence/           what was collected before the end
"""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from farm.errors import InfrastructureError
from farm.model import Cell, Finding, Outcome

RESULT = "result.json"
TESTCASE = "testcase.py"
PATCHES = "patches"


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step: a reader, or a restart after a crash, sees the old text or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InfrastructureError(f"cannot write {path} ({error.strerror})") from error


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=1, sort_keys=True, default=str) + "\n")


def new_run_directory(base: Path) -> Path:
    """The path of a new run directory below `base`, named by time so that listing sorts it; not made yet."""
    return base.absolute() / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


class CellDirectory:
    """The directory of one cell."""

    def __init__(self, run: Path, testcase: str) -> None:
        slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", testcase.rpartition("/")[2].replace(".py::", ".")).strip("-")
        self.path = self._fresh(run, slug[:120])

    @staticmethod
    def _fresh(run: Path, slug: str) -> Path:
        """Repetitions of a testcase get `-2`, `-3`, …; several workers may ask at once."""
        for number in range(1, 100_000):
            path = run / (slug if number == 1 else f"{slug}-{number}")
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise InfrastructureError(f"cannot make the cell's directory {path} ({error.strerror})") from error
            return path
        raise InfrastructureError(f"{run} holds 100,000 cells called {slug}. Remove some.")

    @property
    def console(self) -> Path:
        return self.path / "console.log"

    @property
    def evidence(self) -> Path:
        return self.path / "evidence"

    def record_command(self, entry: Mapping[str, Any]) -> None:
        """Append one guest command with its status and output."""
        with (self.path / "commands.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(entry, default=str) + "\n")

    def write_text(self, name: str, text: str) -> None:
        write_atomically(self.path / name, text)

    def keep(self, path: Path, name: str) -> None:
        """Copy a file into the directory. Raises InfrastructureError."""
        copy = self.path / name
        try:
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, copy)
        except OSError as error:
            raise InfrastructureError(f"cannot copy {path} to {copy} ({error.strerror})") from error

    def write_reports(self, findings: tuple[Finding, ...], decode: Callable[[str], str] | None = None) -> None:
        """Cut the crash reports out, numbered in the order in which they appeared.

        With `decode`, which puts places in the sources into a text, each gets a `.decoded.txt` beside it.
        """
        if findings:
            (self.path / "reports").mkdir(exist_ok=True)
        for number, finding in enumerate(findings, 1):
            name = f"reports/{number:02d}-{finding.kind}"
            self.write_text(f"{name}.txt", f"{finding.title}\n\n{finding.text}\n")
            if decode is not None:
                self.write_text(f"{name}.decoded.txt", f"{finding.title}\n\n{decode(finding.text)}\n")

    def write_result(
        self,
        cell: Cell,
        outcome: Outcome,
        *,
        title: str,
        findings: tuple[Finding, ...] = (),
        durations: Mapping[str, float] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write result.json; the last write wins.

        `title` says in a line what happened, `durations` are seconds of wall time by phase, `facts` whatever
        else describes the run (accelerator, host, versions).
        """
        write_json(self.path / RESULT, {
            "outcome": outcome.value,
            "title": title,
            "findings": [asdict(finding) for finding in findings],
            "durations": {name: round(seconds, 3) for name, seconds in (durations or {}).items()},
            "cell": cell.to_json(),
            "digest": cell.digest,
            **(facts or {}),
        })
