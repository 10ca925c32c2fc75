"""`farm cache`: what has been built, and making room."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from farm.host.cache import Entry, Store
from farm.host.workdir import Workdir
from farm.kernel.kept import kept, remove

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    """Bytes, with K, M, G or T for powers of 1024. A click callback."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?) ?([KMGT]?)(?:i?B)?", value, re.IGNORECASE)
    if not match:
        raise click.BadParameter(f"{value} is no size; write for example 500M or 5G.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


@dataclass(frozen=True)
class _Item:
    """A line of the list: a finished entry, or something that only makes builds quick."""

    kind: str
    # Short name for people.
    name: str
    path: Path
    size: int
    used: float
    # What it is, in words.
    what: str
    # Removes it; False when it is in use.
    remove: Callable[[], bool]

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "path": str(self.path), "size": self.size, "used": self.used,
                "what": self.what}


@click.group()
def command() -> None:
    """List and prune what has been built."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_items(*, as_json: bool) -> None:
    """List what is in the cache, most recently used last.

    Kernels and images are results; trees, outputs (O= directories) and ccache only make the next build quick.

    \b
    Example: farm cache list
    """
    items = _items()
    if as_json:
        click.echo(json.dumps([item.to_json() for item in items]))
        return
    for item in items:
        click.echo(f"{item.kind:8} {item.name:44} {size_text(item.size):>10} {_age(item.used):>8}  {item.what}")
    click.echo(f"{size_text(sum(item.size for item in items))} in {Workdir.default().root}")


@command.command()
@click.option("--max-size", metavar="SIZE", callback=parse_size, required=True, help="What may stay, e.g. 5G.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array of what was removed.")
def prune(max_size: int, *, as_json: bool) -> None:
    """Remove what was used least recently until the rest fits; what is in use stays.

    \b
    Example: farm cache prune --max-size 20G
    """
    _store().sweep()
    items = _items()
    left = sum(item.size for item in items)
    removed = []
    for item in items:
        if left > max_size and item.remove():
            removed.append(item)
            left -= item.size
    if as_json:
        click.echo(json.dumps([item.to_json() for item in removed]))
        return
    for item in removed:
        click.echo(f"removed {item.kind} {item.name}, {size_text(item.size)}, {item.what}")
    click.echo(f"{size_text(left)} left" + (", all of it in use" if left > max_size else ""))


def _store() -> Store:
    return Store(Workdir.default().root / "store")


def _items() -> list[_Item]:
    """Least recently used first."""
    workdir, store = Workdir.default(), _store()
    results = [
        _Item(entry.kind, entry.key[:12], entry.path, entry.size, entry.used, _what(entry),
              partial(store.remove, entry))
        for entry in store.entries()
    ]
    helpers = [
        _Item(one.kind, str(one.path.relative_to(workdir.root)).removeprefix("trees/"), one.path, one.size, one.used,
              "makes the next build quick", partial(remove, workdir, one))
        for one in kept(workdir)
    ]
    return sorted([*results, *helpers], key=lambda item: item.used)


def _what(entry: Entry) -> str:
    return " ".join(str(entry.meta[name]) for name in ("flavor", "release", "source", "recipe") if name in entry.meta)


def size_text(count: float) -> str:
    return f"{count / (1 << 20):.1f} MiB" if count < 1 << 30 else f"{count / (1 << 30):.1f} GiB"


def _age(used: float) -> str:
    if not used:
        return "never"
    minutes = max(0, int(time.time() - used)) // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} d"
