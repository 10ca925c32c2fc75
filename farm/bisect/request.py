"""What a bisection was asked; `farm bisect resume` needs nothing else."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from farm.bisect.inputs import Inputs, require_unchanged
from farm.bisect.judge import Subject
from farm.bisect.values import Settings
from farm.errors import UserError
from farm.model import json_digest
from farm.results.alone import LOCK
from farm.results.directory import write_json

REQUEST = "request.json"


@dataclass(frozen=True)
class Request:
    """What is bisected."""

    subject: Subject
    # Full ids of the commits.
    good: str
    bad: str
    settings: Settings
    # The files that it was given.
    inputs: Inputs = ()

    @property
    def old(self) -> str:
        """The end that comes first in history."""
        return self.bad if self.settings.fix else self.good

    @property
    def new(self) -> str:
        return self.good if self.settings.fix else self.bad

    def to_json(self) -> dict[str, Any]:
        return {"subject": {**asdict(self.subject), "tree": str(self.subject.tree)}, "good": self.good,
                "bad": self.bad, "settings": asdict(self.settings), "inputs": list(map(list, self.inputs))}

    @property
    def name(self) -> str:
        """Name of the directory: the same request goes on in the same place."""
        return name_after(self.subject.testcases[0], self.to_json())


def name_after(testcase: str, request: Mapping[str, Any]) -> str:
    """A name for the directory of a request: its first testcase for people, its digest for the farm."""
    words = re.sub(r"[^A-Za-z0-9_-]+", "-", testcase.rpartition("/")[2].replace(".py", ""))
    return f"{words.strip('-')[:60]}-{json_digest(request)[:8]}"


class Asked(Protocol):
    """What a directory is for."""

    @property
    def inputs(self) -> Inputs:
        """The files that it was given."""

    def to_json(self) -> dict[str, Any]:
        """All of it, to be written down."""


def claim(directory: Path, request: Asked, known: Callable[[Path], Asked]) -> bool:
    """Make a directory that of a request, or go on in it; whether it was nobody's before. `known` reads what it holds.

    Raises UserError for a directory that holds something else, and when a file has changed since the first time.
    """
    path = directory / REQUEST
    fresh = not path.exists()
    if fresh and (others := sorted(one.name for one in directory.iterdir() if one.name != LOCK)):
        raise UserError(f"{directory} is no bisection's, and not empty: it has {others[0]}. Choose another --dir.")
    if not fresh and known(directory) != request:
        raise UserError(f"{directory} holds another bisection. Choose another --dir, or remove it.")
    require_unchanged(request.inputs)
    write_json(path, request.to_json())
    return fresh


def from_json(value: dict[str, Any]) -> Request:
    """The inverse of `Request.to_json`. Raises KeyError or TypeError for anything else."""
    subject, settings = value["subject"], value["settings"]
    return Request(
        Subject(Path(subject["tree"]), tuple(subject["testcases"]), tuple(subject["build_options"]),
                tuple(subject["run_options"])),
        value["good"], value["bad"], Settings(**{**settings, "paths": tuple(settings["paths"])}),
        tuple((name, digest) for name, digest in value["inputs"]))


def load(directory: Path) -> Request:
    """What was asked in a directory. Raises UserError when it holds no bisection."""
    try:
        return from_json(json.loads((directory / REQUEST).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{directory} holds no bisection that can be read ({type(error).__name__}: {error}).") \
            from error
