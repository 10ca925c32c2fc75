"""What all tests share."""

import pytest
from hypothesis import settings

# How long an example takes says more about the host than about the farm.
settings.register_profile("farm", deadline=None)
settings.load_profile("farm")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files stay together where workers share the tests (--dist loadgroup): so do their fixtures."""
    for item in items:
        if "e2e" not in item.keywords:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
