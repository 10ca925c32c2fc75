"""`--update-golden` writes what is found instead of comparing it; read the difference before committing it."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/*.json anew")


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    # The option is unknown when pytest is started from above and reads this file too late.
    return bool(request.config.getoption("--update-golden", default=False))
