"""Hooks that tie cells into a pytest session; imported only when the plugin is in use."""

from typing import Any

import pytest

from farm.plugin.fixtures import *  # noqa: F403 - pytest finds fixtures by name in this module
from farm.plugin.markers import skip_reason
from farm.plugin.outcomes import Outcomes, pytest_runtest_makereport
from farm.plugin.session import SESSION_KEY, FarmSession

__all__ = ["pytest_configure", "pytest_configure_node", "pytest_runtest_makereport", "pytest_runtest_setup"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[SESSION_KEY] = FarmSession(config)
    controls = not hasattr(config, "workerinput")
    # `farm run` brings its own collector, to read the verdict from it.
    if controls and not any(isinstance(plugin, Outcomes) for plugin in config.pluginmanager.get_plugins()):
        config.pluginmanager.register(Outcomes(), "farm-outcomes")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: a worker gets the run directory and the seed of its controller."""
    node.config.stash[SESSION_KEY].hand_over(node.workerinput)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if reason := skip_reason(item):
        pytest.skip(reason)
