"""Results databases of both kinds."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.unit.results import postgres

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    with postgres.server() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, as a URL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/results.db"
    fresh: Callable[[str], str] = request.getfixturevalue("server").fresh
    return fresh(f"farm{next(_NUMBERS)}")
