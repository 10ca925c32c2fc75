"""`farm classify`: crash reports out of console logs."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import click

from farm.errors import UserError
from farm.model import Finding
from farm.oops import Parser

_CHUNK = 1 << 20
_STDIN = "-"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and finding, earliest first.")
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR|-")
def command(paths: tuple[str, ...], *, as_json: bool) -> int:
    """Find the crash reports in console logs.

    A directory stands for its *.log files, `-` for standard input. Without --json: a table of the findings and, below
    it, each report as it was cut out of its log.
    """
    write = _write_json if as_json else _write_text
    write(((name, finding) for name, path in _sources(paths) for finding in _findings(name, path)))
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


def _findings(name: str, path: Path | None) -> list[Finding]:
    try:
        if path is None:
            return _read(sys.stdin.buffer)
        with path.open("rb") as stream:
            return _read(stream)
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}. Check the file and its permissions.") from error


def _read(stream: IO[bytes]) -> list[Finding]:
    parser = Parser()
    found: list[Finding] = []
    while chunk := stream.read(_CHUNK):
        found += parser.feed(chunk)
    found += parser.close()
    return sorted(found, key=lambda finding: (finding.start, finding.end))


def to_json(name: str, finding: Finding) -> dict[str, Any]:
    """A finding as `--json` prints it: everything but the raw text."""
    fields = asdict(finding)
    del fields["text"]
    return {"file": name, **fields}


def _write_json(findings: Iterator[tuple[str, Finding]]) -> None:
    for name, finding in findings:
        sys.stdout.write(json.dumps(to_json(name, finding)) + "\n")


def visible(text: str) -> str:
    """Text that cannot control a terminal: what is not printable is written as an escape. A log is hostile input."""
    return "".join(char if char.isprintable() or char == "\t" else _escaped(ord(char)) for char in text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_COLUMNS = ("file", "kind", "title", "process", "notes")


def _row(name: str, finding: Finding) -> tuple[str, ...]:
    notes = [word for word, said in (("suppressed", finding.suppressed), ("corrupted", finding.corrupted)) if said]
    if finding.layer:
        notes.append(finding.layer)
    if finding.sector >= 0:
        notes.append(f"sector {finding.sector}")
    return tuple(visible(text) for text in (name, finding.kind, finding.title, finding.process, ", ".join(notes)))


def _write_text(findings: Iterator[tuple[str, Finding]]) -> None:
    found = list(findings)
    if not found:
        click.echo("no crash reports")
        return
    rows = [_row(name, finding) for name, finding in found]
    if sys.stdout.isatty():
        _rich_table(rows, [finding.suppressed for _, finding in found])
    else:
        click.echo("\t".join(_COLUMNS))
        for row in rows:
            click.echo("\t".join(text.replace("\t", " ") for text in row))
    for name, finding in found:
        click.echo(f"\n{visible(name)}, bytes {finding.start} to {finding.end}: {visible(finding.title)}")
        for line in finding.text.split("\n"):
            click.echo("    " + visible(line))


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
