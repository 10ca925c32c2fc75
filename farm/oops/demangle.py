"""Names of Rust (v0 mangling) and C++ functions, as far as kernel symbols need it.

The grammar is that of Rust RFC 2603; of the Itanium C++ ABI only plain nested names are understood. A name that
uses anything else is returned as it is: a mangled name in a title is ugly, a wrong one is worse.
"""

import re

_CXX = re.compile(r"_Z(?P<nested>N[KVrRO]*)?(?=\d)", re.ASCII)
# How long a part of a name is: no more digits than any name needs, and none that only Unicode takes for one ("²").
_LENGTH = re.compile(r"0|[1-9]\d{0,3}", re.ASCII)
_BASIC = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize", "j": "usize",
    "l": "i32", "m": "u32", "n": "i128", "o": "u128", "p": "_", "s": "i16", "t": "u16", "u": "()", "v": "...",
    "x": "i64", "y": "u64", "z": "!",
}  # fmt: skip
_MAX_STEPS = 500


class _UnknownError(Exception):
    """The name uses a part of the grammar that is not implemented."""


class _Rust:
    """Recursive descent over a v0 symbol, without its `_R`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.steps = 0

    def take(self) -> str:
        if self.at >= len(self.text):
            raise _UnknownError
        self.steps += 1
        if self.steps > _MAX_STEPS:
            raise _UnknownError
        self.at += 1
        return self.text[self.at - 1]

    def eat(self, char: str) -> bool:
        if self.text[self.at : self.at + 1] == char:
            self.at += 1
            return True
        return False

    def base62(self) -> int:
        value = 0
        if self.eat("_"):
            return 0
        while not self.eat("_"):
            char = self.take()
            digit = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".find(char)
            if digit < 0:
                raise _UnknownError
            value = value * 62 + digit
        return value + 1

    def identifier(self) -> str:
        if self.eat("s"):
            self.base62()
        if self.eat("u"):
            raise _UnknownError
        digits = _LENGTH.match(self.text, self.at)
        if digits is None:
            raise _UnknownError
        self.at = digits.end()
        self.eat("_")
        length = int(digits[0])
        if self.at + length > len(self.text):
            raise _UnknownError
        word = self.text[self.at : self.at + length]
        self.at += length
        return word

    def back(self, what: str) -> str:
        target = self.base62()
        if target >= self.at:
            raise _UnknownError
        here, self.at = self.at, target
        word = self.path() if what == "path" else self.type()
        self.at = here
        return word

    def path(self) -> str:
        tag = self.take()
        if tag == "C":
            return self.identifier()
        if tag == "B":
            return self.back("path")
        if tag == "N":
            return self.nested()
        if tag in "MX":
            if self.eat("s"):
                self.base62()
            self.path()
            owner = self.type()
            return f"<{owner}>" if tag == "M" else f"<{owner} as {self.path()}>"
        if tag == "Y":
            return f"<{self.type()} as {self.path()}>"
        if tag == "I":
            base = self.path()
            arguments = []
            while not self.eat("E"):
                arguments.append(self.argument())
            return f"{base}<{', '.join(arguments)}>"
        raise _UnknownError

    def nested(self) -> str:
        space = self.take()
        parent = self.path()
        word = self.identifier()
        if space == "C":
            return f"{parent}::{{closure}}"
        return f"{parent}::{word}" if word else parent

    def argument(self) -> str:
        if self.eat("L"):
            self.base62()
            return "'_"
        if self.eat("K"):
            raise _UnknownError
        return self.type()

    def type(self) -> str:
        tag = self.text[self.at : self.at + 1]
        if tag in _BASIC and tag:
            self.take()
            return _BASIC[tag]
        if tag in ("R", "Q", "P", "O"):
            self.take()
            if tag in "RQ" and self.eat("L"):
                self.base62()
            return {"R": "&", "Q": "&mut ", "P": "*const ", "O": "*mut "}[tag] + self.type()
        if tag == "S":
            self.take()
            return f"[{self.type()}]"
        if tag == "T":
            self.take()
            parts = []
            while not self.eat("E"):
                parts.append(self.type())
            return f"({', '.join(parts)})"
        if tag == "B":
            self.take()
            return self.back("type")
        return self.path()


def demangle(name: str) -> str:
    """The readable form of a mangled name, or the name itself; raises nothing, whatever the name."""
    if name.startswith("_R"):
        try:
            return _Rust(name[2:]).path()
        except (_UnknownError, RecursionError):
            return name
    match = _CXX.match(name)
    if match is None:
        return name
    parts = []
    at = match.end()
    while (digits := _LENGTH.match(name, at)) is not None:
        at = digits.end() + int(digits[0])
        if at > len(name):
            return name
        parts.append(name[digits.end() : at])
        if not match["nested"]:
            break
    return "::".join(parts) or name
