"""Configuration symbols: what fragments ask for, what the final .config says, and where they differ. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from farm.errors import UserError

_SET = re.compile(r"^CONFIG_(?P<symbol>\w+)=(?P<value>.*?)(?P<optional>\s+# optional)?\s*$")
_UNSET = re.compile(r"^# CONFIG_(?P<symbol>\w+) is not set(?P<optional>\s+# optional)?\s*$")
_OVERRIDE = re.compile(r"^(?:CONFIG_)?(?P<symbol>[A-Za-z0-9_]+)=(?P<value>.*)$", re.DOTALL)
_NUMBER = re.compile(r"^-?(?:0[xX][0-9a-fA-F]+|\d+)$")
# How .config writes a symbol that is off.
OFF = "n"


@dataclass(frozen=True)
class Wanted:
    """One symbol that a fragment or the command line asks for."""

    # Without CONFIG_.
    symbol: str
    # As .config writes it: y, m, a number, a quoted string; n for "is not set".
    value: str
    # Where it was asked for, `file:line` or `--config`.
    place: str
    # True when a tree that lacks the symbol, or what it depends on, will do.
    optional: bool = False

    @property
    def line(self) -> str:
        """As a line of a .config."""
        return f"# CONFIG_{self.symbol} is not set" if self.value == OFF else f"CONFIG_{self.symbol}={self.value}"


@dataclass(frozen=True)
class Fragment:
    """A template, rendered."""

    name: str
    # Where the template lies.
    path: Path
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True)
class Difference:
    """A symbol that did not become what was asked for."""

    wanted: Wanted
    # What the final .config says, n when it says nothing.
    got: str
    # False when the final .config does not mention the symbol at all.
    mentioned: bool


def parse_fragment(text: str, place: Mapping[str, str] | None = None, name: str = "fragment") -> list[Wanted]:
    """The symbols of a rendered fragment, in order; `place` gives `file:line` by symbol where known.

    Raises UserError for a line that is neither a symbol, a comment nor empty.
    """
    wanted = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = _SET.match(line) or _UNSET.match(line)
        if match:
            symbol = match["symbol"]
            value = match.groupdict().get("value", OFF)
            where = (place or {}).get(symbol, f"{name}:{number}")
            wanted.append(Wanted(symbol, value, where, bool(match["optional"])))
        elif line.strip() and not line.lstrip().startswith("#"):
            raise UserError(
                f"{name}: `{line.strip()}` is no configuration line. Write CONFIG_SYMBOL=value, "
                "`# CONFIG_SYMBOL is not set`, or a comment."
            )
    return wanted


def parse_override(text: str) -> Wanted:
    """`SYMBOL=value` from the command line. Raises UserError when it is not of that form."""
    match = _OVERRIDE.match(text)
    if not match or match["value"] == "" or "\n" in text:
        raise UserError(f"--config {text} is not of the form SYMBOL=value (y, m, n, a number or a string).")
    value = match["value"]
    plain = value in {"y", "m", "n"} or _NUMBER.match(value) or re.match(r'^".*"$', value)
    if not plain:
        value = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return Wanted(match["symbol"], value, f"--config {text}")


def effective(wanted: Iterable[Wanted]) -> dict[str, Wanted]:
    """The last word on each symbol."""
    return {one.symbol: one for one in wanted}


def parse_config(text: str) -> dict[str, str]:
    """Symbols of a .config, those that are not set as n."""
    return {one.symbol: one.value for one in parse_fragment(text, name=".config")}


def differences(wanted: Mapping[str, Wanted], final: Mapping[str, str]) -> list[Difference]:
    """Where the final .config is not what was asked for, in the order of asking."""
    return [
        Difference(one, final.get(symbol, OFF), symbol in final)
        for symbol, one in wanted.items()
        if _plain(final.get(symbol, OFF)) != _plain(one.value)
    ]


def different(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The symbols on which two .configs differ, in the order of the second; one that is absent is off."""
    return [symbol for symbol in dict.fromkeys((*other, *one)) if one.get(symbol, OFF) != other.get(symbol, OFF)]


def unmentioned(wanted: Mapping[str, Wanted], final: Mapping[str, str]) -> list[Wanted]:
    """What the final .config does not know: unknown symbols, and known ones whose dependencies are off."""
    return [one for symbol, one in wanted.items() if symbol not in final]


def _plain(value: str) -> str:
    return str(int(value, 0)) if _NUMBER.match(value) and not re.match(r"^-?0\d", value) else value
