"""`farm classify`: crash reports out of console logs."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

import click

from farm.errors import UserError
from farm.model import Finding
from farm.oops import findings
from farm.textform import printable

_CHUNK = 1 << 20
_STDIN = "-"
# How files begin that are sometimes taken for logs.
_NO_LOGS = {
    b"\x1f\x8b": "compressed by gzip", b"\xfd7zXZ\0": "compressed by xz", b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"BZh": "compressed by bzip2", b"PK\x03\x04": "a zip archive", b"\x7fELF": "an ELF file",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and finding, earliest first.")
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR|-")
def command(paths: tuple[str, ...], *, as_json: bool) -> int:
    """Find the crash reports in console logs.

    A directory stands for its *.log files, `-` for standard input. Without --json: a table of the findings and, below
    it, each report as it was cut out of its log.

    \b
    Example: journalctl -k | farm classify --json -
    """
    # A terminal or pipe of another encoding gets escapes instead of characters that it lacks.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    write = _write_json if as_json else _write_text
    write((name, finding) for name, path in _sources(paths) for finding in _findings(name, path))
    return 0


def _sources(paths: tuple[str, ...]) -> list[tuple[str, Path | None]]:
    """Name to print and path (None for standard input) of every log asked for. Raises UserError for a missing one."""
    found: list[tuple[str, Path | None]] = []
    for text in paths:
        path = Path(text)
        if text == _STDIN:
            found.append((_STDIN, None))
        elif path.is_dir():
            logs = sorted(one for one in path.glob("*.log") if one.is_file())
            if not logs:
                raise UserError(f"There is no *.log file in the directory {path}. Name the files one by one.")
            found.extend((one.name, one) for one in logs)
        elif path.exists():
            found.append((text, path))
        else:
            raise UserError(f"There is no file {path} to classify. Check the name, or use - for standard input.")
    return found


def _findings(name: str, path: Path | None) -> Iterator[Finding]:
    """Findings of one log, each as soon as it is known. Raises UserError for a file that is no log."""
    try:
        with nullcontext(sys.stdin.buffer) if path is None else path.open("rb") as stream:
            yield from findings(_chunks(name, stream))
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}. Check the file and its permissions.") from error


def _chunks(name: str, stream: IO[bytes]) -> Iterator[bytes]:
    """What there is to read, as it comes: a pipe may be slow, and may never end."""
    read = getattr(stream, "read1", stream.read)
    first = True
    while chunk := read(_CHUNK):
        kind = next((kind for magic, kind in _NO_LOGS.items() if first and chunk.startswith(magic)), None)
        if kind:
            raise UserError(f"{name} is {kind}, no console log. What it may hold can be piped into `farm classify -`.")
        first = False
        yield chunk


def to_json(name: str, finding: Finding) -> dict[str, Any]:
    """A finding as `--json` prints it: everything but the raw text."""
    fields = asdict(finding)
    del fields["text"]
    return {"file": name, **fields}


def _write_json(found: Iterator[tuple[str, Finding]]) -> None:
    for name, finding in found:
        sys.stdout.write(json.dumps(to_json(name, finding)) + "\n")
        sys.stdout.flush()


_COLUMNS = ("file", "kind", "title", "process", "notes")


def _row(name: str, finding: Finding) -> tuple[str, ...]:
    notes = [word for word, said in (("suppressed", finding.suppressed), ("corrupted", finding.corrupted)) if said]
    if finding.layer:
        notes.append(finding.layer)
    if finding.sector >= 0:
        notes.append(f"sector {finding.sector}")
    return tuple(printable(text) for text in (name, finding.kind, finding.title, finding.process, ", ".join(notes)))


def _write_text(found: Iterator[tuple[str, Finding]]) -> None:
    rows: list[tuple[str, ...]] = []
    faint: list[bool] = []
    # The reports wait in a file: those of a long log may be larger than memory.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace") as reports:
        for name, finding in found:
            rows.append(_row(name, finding))
            faint.append(finding.suppressed)
            reports.write(f"\n{printable(name)}, bytes {finding.start} to {finding.end}: {printable(finding.title)}\n")
            reports.writelines(f"    {printable(line)}\n" for line in finding.text.split("\n"))
        if not rows:
            click.echo("no crash reports")
            return
        if sys.stdout.isatty():
            _rich_table(rows, faint)
        else:
            click.echo("\t".join(_COLUMNS))
            for row in rows:
                click.echo("\t".join(text.replace("\t", " ") for text in row))
        reports.seek(0)
        sys.stdout.writelines(reports)


def _rich_table(rows: list[tuple[str, ...]], faint: list[bool]) -> None:
    from rich.console import Console  # noqa: PLC0415  (a piped run should not wait for it)
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for row, dim in zip(rows, faint, strict=True):
        table.add_row(*(Text(cell) for cell in row), style="dim" if dim else "")
    Console(highlight=False).print(table)
