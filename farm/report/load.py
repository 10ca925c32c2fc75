"""A run's report from the database, and the files that a plan wants of it."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from farm.errors import InfrastructureError
from farm.model import Outcome
from farm.report.junit import junit
from farm.report.kcidb import kcidb
from farm.report.texts import mail, markdown
from farm.report.values import NightReport
from farm.results import queries
from farm.results.database import Database
from farm.results.directory import write_atomically
from farm.results.values import CellRow, RunRow

# What a run remarked lies in its directory.
ABOUT = "night.json"

FORMATS: Mapping[str, Callable[[NightReport], str]] = {
    "junit": junit, "markdown": markdown, "mail": mail, "kcidb": kcidb,
}


def load(database: Database, run: RunRow) -> NightReport:
    """Everything that is recorded of a run."""
    verdicts = queries.verdicts_of(database, [run.number])[run.number]
    good = {one.series.key: last for one in verdicts if one.signature
            if (last := last_good(database, one.series.key, run.number))}
    return NightReport(run, queries.cells_of_run(database, run.number), verdicts, remarks_of(run), good,
                       culprits_of(run))


def last_good(database: Database, key: str, before: int) -> CellRow | None:
    """The last cell of a series that passed before a run."""
    return next((cell for _, cell in queries.history(database, key, before=before)
                 if cell.outcome is Outcome.PASS), None)


def remarks_of(run: RunRow) -> tuple[str, ...]:
    """What the run remarked; nothing when its directory is gone."""
    with suppress(TypeError):
        return tuple(map(str, _about(run).get("remarks", ())))
    return ()


def culprits_of(run: RunRow) -> dict[str, str]:
    """The commits that the run's bisections found, by signature; nothing when its directory is gone."""
    found = _about(run).get("culprits")
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _about(run: RunRow) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        about = json.loads((Path(run.directory) / ABOUT).read_bytes())
        return about if isinstance(about, dict) else {}
    return {}


def write(path: Path, text: str) -> None:
    """Raises InfrastructureError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfrastructureError(f"cannot make the directory of {path} ({error.strerror})") from error
    write_atomically(path, text)
