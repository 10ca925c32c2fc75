"""What a search among configurations was asked; going on needs nothing else."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from farm.bisect.inputs import Inputs
from farm.bisect.request import REQUEST, name_after
from farm.bisect.values import Settings
from farm.errors import UserError

# What each side's file is called in the directory of the search.
FILES = {"good": "good.config", "bad": "bad.config"}


@dataclass(frozen=True)
class ConfigRequest:
    """What is searched."""

    # Testcases as `farm run` takes them, and its options.
    testcases: tuple[str, ...]
    run_options: tuple[str, ...]
    # Source, revision and patches of the kernel, as `BuildRequest` has them.
    source: str
    rev: str | None
    patches: tuple[Path, ...]
    # Texts of the two .config files.
    good: str
    bad: str
    settings: Settings
    # The files that it was given, but for the two.
    inputs: Inputs = ()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "patches": list(map(str, self.patches)), "inputs": list(map(list, self.inputs)),
                "kind": "config"}

    @property
    def build_options(self) -> list[str]:
        """What `farm build` is told of all that."""
        where = [f"--tree={self.source}", f"--rev={self.rev}"] if self.rev else [f"--source={self.source}"]
        return [*where, *(f"--patch={path}" for path in self.patches)]

    @property
    def name(self) -> str:
        """Name of the directory: the same request goes on in the same place."""
        return f"config-{name_after(self.testcases[0], self.to_json())}"


def holds_config(directory: Path) -> bool:
    """Whether a directory holds a search among configurations."""
    try:
        return bool(json.loads((directory / REQUEST).read_bytes())["kind"] == "config")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def load(directory: Path) -> ConfigRequest:
    """What was asked in a directory. Raises UserError when it cannot be read."""
    try:
        value = json.loads((directory / REQUEST).read_bytes())
        del value["kind"]
        lists = {name: tuple(value[name]) for name in ("testcases", "run_options")}
        settings = Settings(**{**value["settings"], "paths": tuple(value["settings"]["paths"])})
        inputs = tuple((name, digest) for name, digest in value["inputs"])
        return ConfigRequest(**{**value, **lists, "patches": tuple(map(Path, value["patches"])), "settings": settings,
                                "inputs": inputs})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{directory} holds no search that can be read ({type(error).__name__}: {error}).") from error
