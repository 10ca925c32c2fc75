"""A database with a month of nights, and its site, made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.report.site import Site
from farm.results.database import Database
from tests.unit.report import nights


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nights")


@pytest.fixture(scope="session")
def database(directory: Path) -> Iterator[Database]:
    with Database(f"sqlite:///{directory}/results.db") as made:
        nights.make(made, directory)
        yield made


@pytest.fixture(scope="session")
def site(directory: Path, database: Database) -> Path:
    return Site(directory / "site", database, "nightly", 30).write({nights.NIGHTS: ["look at this"]})
