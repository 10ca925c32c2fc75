"""Configurations between two: each is what the kernel's own tools make of the good one with some options changed.

    configs/good.config                 the good one as the tree understands it, and what it leaves out of the bad one
    configs/solved.jsonl                each set of options that was asked about, and what became of it
    configs/ID/flavors.toml             a flavor that `farm build --config-dir` takes
    configs/ID/candidate.config.j2      all its symbols
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from farm.bisect.config.minimal import Options
from farm.errors import UserError
from farm.kernel.config import OFF, Wanted, different, parse_config
from farm.model import json_digest
from farm.results import records
from farm.results.directory import write_atomically

FLAVOR = "bisect-config"
DIRECTORY = "configs"
_BASE, _SOLVED = "good.config", "solved.jsonl"
_FLAVORS = f"""[{FLAVOR}]
description = "a configuration between two"
fragments = ["candidate"]
output = "{{output}}"
"""


class Solver(Protocol):
    """The kernel's configuration tools; `farm.kernel.solve.Solver` is one."""

    def solve(self, base: Path, changes: Mapping[str, str]) -> dict[str, str]:
        """The .config that they make of `base` with the changes merged in."""

    def nearest(self, symbols: Mapping[str, str]) -> str | None:
        """The kept `O=` directory whose .config is most like those symbols; None when there is none like them."""


@dataclass(frozen=True)
class Candidate:
    """One configuration."""

    # Digest of its symbols: equal for equal configurations.
    name: str
    # The options that were to be as in the bad configuration, in its order.
    options: tuple[str, ...]
    # Those of them that the kernel's tools did not let through: what they depend on is off.
    dropped: tuple[str, ...]
    # Other symbols that changed with them, and to what.
    dragged: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Difference:
    """One option on which the two configurations differ, as each of them has it."""

    option: str
    good: str
    bad: str


def read(path: Path) -> dict[str, str]:
    """Symbols of a .config file. Raises UserError when it is none."""
    try:
        symbols = parse_config(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    except UserError as error:
        raise UserError(f"{path} is no .config: {error}") from error
    if not symbols:
        raise UserError(f"{path} is no .config: it sets no symbol. Name a kernel's .config, or the file `config` of a "
                        "run directory.")
    return symbols


def differences(good: Mapping[str, str], bad: Mapping[str, str]) -> list[Difference]:
    """In the order of the bad configuration, where what belongs together stands together; a symbol that is absent is
    off."""
    return [Difference(one, good.get(one, OFF), bad.get(one, OFF)) for one in different(good, bad)]


def name_of(symbols: Mapping[str, str]) -> str:
    """The name of a configuration; a symbol that is off and one that is absent are the same."""
    return json_digest(sorted((symbol, value) for symbol, value in symbols.items() if value != OFF))


class Candidates:
    """All configurations between two, solved when they are asked for and remembered on disk."""

    def __init__(self, directory: Path, solver: Solver, good: Path, bad: Path) -> None:
        """Raises UserError when the two are the same to this tree, or none."""
        self._directory = directory / DIRECTORY
        self._directory.mkdir(parents=True, exist_ok=True)
        self._solver, self._base = solver, self._directory / _BASE
        self._output = ""
        asked = {side: read(path) for side, path in (("good", good), ("bad", bad))}
        self._good, self._bad = (self._understood(side, path) for side, path in (("good", good), ("bad", bad)))
        # Symbol -> its value in the file, for those that this tree did not take as they stand there.
        self.refused = {side: [one for one in differences(asked[side], mine) if one.good != OFF]
                        for side, mine in (("good", self._good), ("bad", self._bad))}
        self.differences = tuple(differences(self._good, self._bad))
        if not self.differences:
            raise UserError(f"{good} and {bad} come to the same configuration of this kernel. Give two that differ.")
        self.options = tuple(one.option for one in self.differences)
        # Switching a menu on shows symbols that the good one says nothing of; what is off in the bad one stays off.
        silent = {one: OFF for one, value in self._bad.items() if value == OFF and one not in self._good}
        write_atomically(self._base, _text({**self._good, **silent}))
        self._solved: dict[Options, Candidate] = {}
        self._named: dict[str, Candidate] = {}
        for row in records.read(self._directory / _SOLVED):
            self._learn(_candidate(row))

    def _understood(self, side: str, path: Path) -> dict[str, str]:
        """What the tree makes of a whole file; solved once."""
        known = self._directory / f"{side}.solved"
        if not known.exists():
            write_atomically(known, _text(self._solver.solve(path, {})))
        return parse_config(known.read_text(encoding="utf-8"))

    def known(self, options: Options) -> Candidate | None:
        """The configuration with these options as in the bad one, if it was solved before."""
        return self._solved.get(options)

    def get(self, options: Options) -> Candidate:
        """The configuration with these options as in the bad one and all others as in the good one."""
        found = self._solved.get(options)
        if found is None:
            changes = {one.option: one.bad for one in self.differences if one.option in options}
            found = self._keep(tuple(changes), changes, self._solver.solve(self._base, changes))
        return found

    def _keep(self, options: tuple[str, ...], changes: Mapping[str, str], symbols: Mapping[str, str]) -> Candidate:
        dropped = tuple(one for one, value in changes.items() if symbols.get(one, OFF) != value)
        dragged = tuple((one.option, one.bad) for one in differences(self._good, symbols) if one.option not in changes)
        found = Candidate(name_of(symbols), options, dropped, dragged)
        place = self._directory / found.name
        place.mkdir(exist_ok=True)
        # In the same directory for all: each then compiles only what depends on the options that differ.
        self._output = self._output or self._solver.nearest(self._good) or FLAVOR
        write_atomically(place / "flavors.toml", _FLAVORS.format(output=self._output))
        # Everything is optional: what must be there is decided by the tools, and already was.
        lines = (f"{_escaped(Wanted(symbol, value, '').line)} # optional\n" for symbol, value in symbols.items())
        write_atomically(place / "candidate.config.j2", "".join(lines))
        records.append(self._directory / _SOLVED, asdict(found))
        self._learn(found)
        return found

    def _learn(self, candidate: Candidate) -> None:
        self._solved[frozenset(candidate.options)] = candidate
        known = self._named.get(candidate.name)
        if known is None or len(candidate.options) < len(known.options):
            self._named[candidate.name] = candidate

    def named(self, name: str) -> Candidate:
        """A configuration that was solved before; of several sets that come to it, the smallest."""
        return self._named[name]

    def kernel(self, name: str) -> list[str]:
        """The options of `farm build` that name the kernel of a configuration."""
        return [f"--config-dir={self._directory / name}", f"--flavor={FLAVOR}"]

    def settings(self, options: Iterable[str]) -> list[Difference]:
        """How those options stand on either side."""
        wanted = set(options)
        return [one for one in self.differences if one.option in wanted]


def _text(symbols: Mapping[str, str]) -> str:
    return "".join(f"{Wanted(symbol, value, '').line}\n" for symbol, value in symbols.items())


def _escaped(line: str) -> str:
    """A line as a template that renders to it: a string of the user's may hold what templates are made of."""
    return line.replace("{", "{{ '{' }}")


def _candidate(row: Mapping[str, Any]) -> Candidate:
    return Candidate(row["name"], tuple(row["options"]), tuple(row["dropped"]),
                     tuple((one, value) for one, value in row["dragged"]))
