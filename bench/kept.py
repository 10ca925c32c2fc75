"""A directory in which a benchmark goes on after an interruption."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.measure import BenchError
from farm.results.directory import write_json


def claim(directory: Path, rows: str, wanted: Mapping[str, Any]) -> None:
    """Make a directory that of these options, or see that it is; they are written down beside the file of its `rows`.

    Raises BenchError where it is that of others, or nobody knows of which: their rows would be counted.
    """
    path = (directory / rows).with_suffix(".json")
    if (directory / rows).exists() and not path.exists():
        raise BenchError(f"{directory} has rows of which nobody wrote down how they came about. Choose another --dir.")
    known = json.loads(path.read_bytes()) if path.exists() else wanted
    if other := [f"--{option} {known.get(option)}" for option in wanted if known.get(option) != wanted[option]]:
        raise BenchError(f"{directory} was begun with {', '.join(other)}. Choose another --dir.")
    directory.mkdir(parents=True, exist_ok=True)
    write_json(path, dict(wanted))
