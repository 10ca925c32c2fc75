"""Why a configuration symbol is not what was asked for, in the words of the kernel's own Kconfig parser.

`explain.c` is linked with the tree's scripts/kconfig and prints what `menuconfig` shows for a symbol; the
functions here read that text. They are pure but for `ask`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from farm.deadline import Deadline
from farm.host import process
from farm.kernel.config import OFF, Difference

# Runs `make TARGET` with more variables in the tree's O= directory; False when that fails.
Make = Callable[[Sequence[str]], bool]

_PARSER = ("confdata", "expr", "lexer.lex", "menu", "parser.tab", "preprocess", "symbol", "util")
_SECONDS = 120.0
_TOKEN = re.compile(r"\s*(?:(?P<op>&&|\|\||!=|<=|>=|=|<|>|!|\(|\))|(?P<name>\"[^\"]*\"|'[^']*'|[\w.-]+)"
                    r"(?: \[=(?P<value>[^\]]*)\])?)")


@dataclass(frozen=True)
class Relations:
    """What Kconfig says of one symbol."""

    # The dependency of each definition, with values: `BLOCK [=y] && NET [=n]`.
    depends: list[str] = field(default_factory=list)
    # What forces it on: `RAID6_PQ [=y] && ...`, one for each symbol that does.
    selected_by: list[str] = field(default_factory=list)
    # Allowed numbers, as Kconfig writes them.
    range: str = ""


def ask(symbols: Sequence[str], source: Path, output: Path, scratch: Path, make: Make) -> dict[str, Relations | None]:
    """Relations by symbol, None for a symbol that no Kconfig file defines; empty when the tree cannot be asked.

    scripts/kconfig/conf is run by make on a Kconfig file of ours, whose only line runs our program: that way it
    gets the very environment (compiler, architecture, versions) in which the kernel's Kconfig files are read.
    """
    program, answer, kconfig = scratch / "explain", scratch / "answer", scratch / "Kconfig.explain"
    objects = [str(output / "scripts" / "kconfig" / f"{name}.o") for name in _PARSER]
    built = process.run(
        ["gcc", "-O1", "-w", f"-I{source / 'scripts' / 'kconfig'}", f"-I{source / 'scripts' / 'include'}",
         "-o", str(program), str(Path(__file__).with_suffix(".c")), *objects],
        deadline=Deadline(_SECONDS), check=False,
    )
    if built.returncode != 0:
        return {}
    words = " ".join([f"'{program}'", "Kconfig", *symbols, f"> '{answer}'"])
    kconfig.write_text(f"$(shell,{words})\nconfig FARM_UNUSED\n\tbool\n", encoding="utf-8")
    answered = make([f"KBUILD_KCONFIG={kconfig}", "listnewconfig"]) and answer.is_file()
    return parse(answer.read_text(encoding="utf-8", errors="replace")) if answered else {}


def parse(text: str) -> dict[str, Relations | None]:
    """Read the program's output."""
    found: dict[str, Relations | None] = {}
    for block in re.split(r"^@ ", text.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        name, _, body = block.partition("\n")
        found[name.strip()] = _relations(body) if body.strip() else None
    return found


def _relations(body: str) -> Relations:
    relations = Relations(range="".join(re.findall(r"^Range : (.*)$", body, re.MULTILINE)[:1]))
    section = ""
    for line in body.splitlines():
        if match := re.match(r"^ *Depends on: (.*)$", line):
            relations.depends.append(" ".join(match[1].split()))
        elif match := re.match(r"^(\w[\w ]*(?: \[\w\])?): ?", line):
            section = match[1]
        elif section in {"Selected by [y]", "Selected by [m]"} and line.startswith("  - "):
            relations.selected_by.append(line[4:].strip())
    return relations


def reason(difference: Difference, relations: Relations | None) -> str:
    """Why the symbol is not what was asked for, as the end of a sentence; "" when Kconfig does not tell."""
    if relations is None:
        return ""
    wanted, got = difference.wanted.value, difference.got
    if wanted == OFF and got != OFF and relations.selected_by:
        return "selected by " + ", ".join(_names(one)[0] for one in relations.selected_by if _names(one))
    missing = [unmet(one) for one in relations.depends]
    if missing and all(missing):
        return "its dependency is not met: " + "; or ".join(" && ".join(one) for one in missing)
    if relations.range:
        return f"its range is {relations.range}"
    if wanted != OFF and got == OFF:
        return (f"its dependencies are met, but it cannot be set: {wanted} is no value of it, another member of its "
                "choice is on, or it has no prompt")
    return ""


def unmet(expression: str) -> list[str]:
    """The conjuncts of a dependency that are false, as Kconfig writes them. Modules count as met."""
    return [text for text in _conjuncts(expression) if _Evaluator(text).value() == 0]


def _conjuncts(expression: str) -> list[str]:
    """Split at the && outside of parentheses; an expression with || outside of them is one conjunct."""
    parts, depth, current = [], 0, ""
    for piece in re.split(r"(\(|\)|&&|\|\|)", expression):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece == "||" and depth == 0:
            return [expression.strip()]
        if piece == "&&" and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += piece
    return [*parts, current.strip()]


def _names(expression: str) -> list[str]:
    return [match["name"] for match in _TOKEN.finditer(expression) if match["name"]]


class _Evaluator:
    """Kconfig's expressions over n, m, y = 0, 1, 2 with the values printed in them.

    Grammar and meaning: Documentation/kbuild/kconfig-language.rst, "Menu dependencies".
    """

    def __init__(self, text: str) -> None:
        self._tokens = list(_TOKEN.finditer(text))
        self._next = 0

    def value(self) -> int:
        return self._either()

    def _peek(self) -> str:
        return (self._tokens[self._next]["op"] or "") if self._next < len(self._tokens) else ""

    def _take(self) -> "re.Match[str] | None":
        self._next += 1
        return self._tokens[self._next - 1] if self._next <= len(self._tokens) else None

    def _either(self) -> int:
        value = self._both()
        while self._peek() == "||":
            self._take()
            value = max(value, self._both())
        return value

    def _both(self) -> int:
        value = self._one()
        while self._peek() == "&&":
            self._take()
            value = min(value, self._one())
        return value

    def _one(self) -> int:
        if self._peek() == "!":
            self._take()
            return 2 - self._one()
        if self._peek() == "(":
            self._take()
            value = self._either()
            self._take()
            return value
        left = self._text(self._take())
        if self._peek() in {"=", "!=", "<", ">", "<=", ">="}:
            token = self._take()
            return 2 if token and _compare(token["op"], left, self._text(self._take())) else 0
        return {"y": 2, "m": 1}.get(left, 0)

    @staticmethod
    def _text(token: "re.Match[str] | None") -> str:
        if token is None or token["name"] is None:
            return OFF
        return token["value"] if token["value"] is not None else token["name"].strip("\"'")


def _compare(operator: str, left: str, right: str) -> bool:
    if operator in {"=", "!="}:
        return (left == right) == (operator == "=")
    try:
        first, second = int(left, 0), int(right, 0)
    except ValueError:
        return False
    return {"<": first < second, ">": first > second, "<=": first <= second, ">=": first >= second}[operator]
