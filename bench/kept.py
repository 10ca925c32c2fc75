"""A directory in which a benchmark goes on after an interruption."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.measure import BenchError
from farm.results.directory import write_json


def claim(directory: Path, name: str, wanted: Mapping[str, Any]) -> None:
    """Make a directory that of these options, written down as `name`, or see that it is.

    Raises BenchError where it is that of others, whose rows would be counted.
    """
    path = directory / name
    known = json.loads(path.read_bytes()) if path.exists() else wanted
    if other := [f"--{option} {known.get(option)}" for option in wanted if known.get(option) != wanted[option]]:
        raise BenchError(f"{directory} was begun with {', '.join(other)}. Choose another --dir.")
    directory.mkdir(parents=True, exist_ok=True)
    write_json(path, dict(wanted))
