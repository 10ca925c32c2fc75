"""Text that is made to keep an expression busy, or to be something that no parser expects."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from time import process_time
from typing import Any

# How Python itself reads an expression: no public module tells what its repeats are.
code: Any = import_module("re._constants")
parser: Any = import_module("re._parser")
# What is neither ASCII nor as harmless as it looks: digits that int() does not take, or takes; blanks; controls.
FRAGMENTS = (
    "²", "٣", "߁", "é", "0" * 40, "9" * 5000, "?" * 40, "(" * 40, ")", "[", "]", "<", " " * 40, "\t", "\xa0", "\u2028",
    "\x1b[", "\x85", "\0", "\n", "\r", "+0x1/0x2", "+0x" + "f" * 400, "_RNvC²a", "_R", "_ZN", "9a", "from ", ": ",
    "[inline]",
)
_POOL = "a0A_?(. :</x\t²"
_CATEGORIES = {code.CATEGORY_DIGIT: "0", code.CATEGORY_WORD: "a", code.CATEGORY_SPACE: " "}
# A repeat that goes on for longer than this may be fed for ever.
_LONG = 8
# Processor seconds that are not worth comparing.
_FLOOR = 0.1


@cache
def half_matches(pattern: re.Pattern[str], size: int) -> list[str]:
    """Lines of about `size` that begin as the expression wants, and do not end so.

    Each repeat in it is fed to the end, once by itself, and once with all that leads to it said again and again.
    """
    fed: list[tuple[str, str]] = []
    _least(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE), "", fed)
    return [line for lead, unit in dict.fromkeys(fed)
            for line in (lead + unit * (size // len(unit)), (lead + unit) * (size // len(lead + unit)))]


def _least(tree: Any, lead: str, fed: list[tuple[str, str]]) -> str:
    """The shortest text that matches, or nearly; what its repeats can be fed with goes into `fed`."""
    text = ""
    for what, value in tree:
        here = lead + text
        if what is code.LITERAL:
            text += chr(value)
        elif what is code.IN:
            text += _among(value)[0]
        elif what in (code.ANY, code.NOT_LITERAL):
            text += "a"
        elif what is code.BRANCH:
            ways = [_least(one, here, fed) for one in value[1]]
            text += ways[0]
        elif what in (code.SUBPATTERN, code.ATOMIC_GROUP):
            text += _least(value[-1] if what is code.SUBPATTERN else value, here, fed)
        elif what in (code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT):
            least, most, body = value
            unit = _least(body, here, fed)
            if most >= _LONG:
                fed += [(here, one) for one in dict.fromkeys([unit, *_units(body)]) if one]
            text += unit * max(1, least)
    return text


def _units(body: Any) -> list[str]:
    what, value = body[0]
    if len(body) > 1 or what not in (code.IN, code.ANY):
        return []
    return _among(value)[:4] if what is code.IN else [*"a0 ("]


def _among(items: Sequence[Any]) -> list[str]:
    """Characters of a set."""
    found: list[str] = []
    for what, value in items:
        if what is code.LITERAL:
            found.append(chr(value))
        elif what is code.RANGE:
            found.append(chr(value[0]))
        elif what is code.CATEGORY:
            found.append(_CATEGORIES.get(value, "("))
    return [char for char in _POOL if char not in found] if items[0][0] is code.NEGATE else found


def patterns(*modules: Any) -> Iterator[tuple[str, re.Pattern[str]]]:
    """The expressions that modules have at their top, by themselves or in tables."""
    for module in modules:
        for name, value in vars(module).items():
            rows = value if isinstance(value, tuple) else tuple(value.values()) if isinstance(value, dict) else (value,)
            for row in rows:
                pattern = getattr(row, "regex", getattr(row, "words", row))
                if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
                    yield f"{module.__name__}.{name}.{getattr(row, 'name', '')}", pattern


def grows(run: Callable[[str], object], make: Callable[[int], str], size: int) -> str:
    """"" when four times the text takes about four times as long, or hardly any time; else what it took."""
    large = _seconds(run, make(4 * size))
    if large < _FLOOR:
        return ""
    # The least of three: something else on the host may have got in between.
    small = min(_seconds(run, make(size)) for _ in range(3))
    large = min(large, *(_seconds(run, make(4 * size)) for _ in range(2)))
    return "" if large < max(12 * small, _FLOOR) else f"{small:.3f} s became {large:.3f} s"


def _seconds(run: Callable[[str], object], text: str) -> float:
    began = process_time()
    run(text)
    return process_time() - began
