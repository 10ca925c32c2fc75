"""Fixtures for tests that kill farm processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.host.owners import Owner


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Callable[[str], Owner]]:
    """Starts owners; they and their leftovers are killed after the test whatever happened."""
    started: list[Owner] = []

    def start(code: str) -> Owner:
        directory = tmp_path / f"owner{len(started)}"
        directory.mkdir()
        started.append(Owner(code, directory))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
