"""The text form of layers, pressures and workloads: `kind`, or `kind:option=value,flag`.

Every kind is a frozen dataclass whose fields are its options; a registry of them reads and writes the text. Values may
hold colons and brackets (`capi:cryptd(xts(ecb(aes)))-plain64`); commas within brackets do not separate options.
"""

import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Generic, TypeVar

from farm.errors import UserError

_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Value:
    """What an option accepts, kept in the metadata of its field."""

    # How it is described to the user, e.g. `a whole number of sectors`.
    hint: str
    # Accepted values; empty when a pattern decides.
    choices: tuple[str, ...] = ()
    # Regular expression for the whole value.
    pattern: str = ""
    # `text`, `number`, `flag` or `size` (a number of bytes with K, M or G behind it).
    type: str = "text"
    # Smallest number or size accepted.
    least: int = 0


def choice(default: str, *others: str) -> Any:
    """An option with a closed list of values, the default first."""
    values = (default, *others)
    return field(default=default, metadata={"value": Value(f"one of {', '.join(values)}", choices=values)})


def text(default: str | None, pattern: str, hint: str) -> Any:
    """An option whose whole value matches a regular expression; `hint` says in words what it is.

    No default makes it required.
    """
    return field(default=MISSING if default is None else default, metadata={"value": Value(hint, pattern=pattern)})


def number(default: int = 0, *, hint: str, choices: tuple[int, ...] = (), least: int = 0) -> Any:
    """A whole number, not negative, optionally out of a closed list."""
    listed = tuple(str(value) for value in choices)
    form = Value(f"one of {', '.join(listed)}" if listed else hint, listed, r"[0-9]{1,15}", "number", least)
    return field(default=default, metadata={"value": form})


def size(default: int | None = None, *, hint: str, least: int = 0) -> Any:
    """A number of bytes, written with K, M or G behind it where that is exact; no default makes it required."""
    form = Value(hint, (), r"[0-9]{1,12}[KMG]?", "size", least)
    return field(default=MISSING if default is None else default, metadata={"value": form})


def flag() -> Any:
    """An option that is there or not."""
    return field(default=False, metadata={"value": Value("a flag without a value", type="flag")})


def bytes_of(word: str) -> int:
    """`64M` -> 67108864. Raises UserError for anything else than digits and one of K, M, G."""
    match = re.fullmatch(r"([0-9]{1,12})([KMG]?)", word)
    if match is None:
        raise UserError(f"{word!r} is not a size. Write a number of bytes, with K, M or G behind it if you like.")
    return int(match[1]) * _FACTORS[match[2]]


def size_text(count: int) -> str:
    """The shortest exact text of a number of bytes: 67108864 -> `64M`."""
    for suffix in ("G", "M", "K"):
        if count and count % _FACTORS[suffix] == 0:
            return f"{count // _FACTORS[suffix]}{suffix}"
    return str(count)


@dataclass(frozen=True)
class Kind:
    """Base of everything that has a text form."""

    # The word before the colon.
    kind: ClassVar[str] = ""


T = TypeVar("T", bound=Kind)


class Registry(Generic[T]):
    """The table of kinds of one sort of thing (`layer`, `pressure`, `workload`)."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._classes: dict[str, type[T]] = {}

    def register(self, cls: type[T]) -> type[T]:
        """Class decorator: makes `cls.kind` known."""
        self._classes[cls.kind] = cls
        return cls

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self._classes)

    @property
    def classes(self) -> tuple[type[T], ...]:
        return tuple(self._classes.values())

    def parse(self, written: str, where: str) -> T:
        """The value that `written` stands for; `where` names the place in messages.

        Raises UserError for an unknown kind, option or value, with the choices.
        """
        kind, _, rest = written.strip().partition(":")
        cls = self._classes.get(kind)
        if cls is None:
            raise UserError(f"{where}: unknown {self.what} {kind!r}. Choose one of {', '.join(self.kinds)}.")
        known = {item.name: item.metadata["value"] for item in fields(cls)}
        arguments: dict[str, str | int | bool] = {}
        for option in split_options(rest):
            name, equals, value = option.partition("=")
            if name not in known:
                choices = ", ".join(known) or "none, it takes no options"
                raise UserError(f"{where}: {kind} has no option {name!r}. Its options are: {choices}.")
            if name in arguments:
                raise UserError(f"{where}: {kind} has the option {name!r} twice. Leave one of them out.")
            arguments[name] = _value(known[name], value if equals else None, f"{where}: option {name!r} of {kind}")
        for item in fields(cls):
            if item.default is MISSING and item.name not in arguments:
                raise UserError(f"{where}: {kind} needs the option {item.name!r}: {known[item.name].hint}.")
        return cls(**arguments)

    def render(self, value: T) -> str:
        """The canonical text: options in the order of their fields, defaults left out."""
        words = ",".join(_options(value))
        return f"{value.kind}:{words}" if words else value.kind


def split_options(written: str) -> list[str]:
    """Split at commas outside of brackets; empty text has no options."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(written):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(written[start:place])
            start = place + 1
    parts.append(written[start:])
    return [part.strip() for part in parts if part.strip()]


def _options(value: Kind) -> Iterator[str]:
    for item in fields(value):
        here = getattr(value, item.name)
        if here == item.default:
            continue
        form: Value = item.metadata["value"]
        if form.type == "flag":
            yield item.name
        else:
            yield f"{item.name}={size_text(here) if form.type == 'size' else here}"


def _value(form: Value, written: str | None, where: str) -> str | int | bool:
    if form.type == "flag":
        if written is not None:
            raise UserError(f"{where} is {form.hint}. Write its name alone.")
        return True
    if written is not None and (not form.choices or written in form.choices):
        if form.type == "text" and (not form.pattern or re.fullmatch(form.pattern, written)):
            return written
        if form.type != "text" and re.fullmatch(form.pattern, written, re.ASCII):
            counted = bytes_of(written) if form.type == "size" else int(written)
            if counted >= form.least:
                return counted
    raise UserError(f"{where} cannot be {written or ''!r}. It takes {form.hint}.")


def printable(line: str) -> str:
    """A line that cannot control a terminal: what is not printable is written as Python's escape of it.

    What a guest, a log or a report says is hostile input.
    """
    return "".join(char if char.isprintable() or char == "\t" else _escaped(ord(char)) for char in line)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def printable_lines(text: str) -> str:
    """The same for a text of several lines, such as the message of an error."""
    return "\n".join(map(printable, text.split("\n")))
