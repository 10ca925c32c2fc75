"""Hooks that tie cells into a pytest session; imported only when the plugin is in use."""

from typing import Any

import pytest

from farm.errors import UserError
from farm.host.others import forbid_others_to_write
from farm.plugin.fixtures import *  # noqa: F403 - pytest finds fixtures by name in this module
from farm.plugin.markers import skip_reason
from farm.plugin.outcomes import CELL_KEY, Outcomes, pytest_runtest_makereport
from farm.plugin.session import SESSION_KEY, FarmSession

__all__ = [
    "pytest_collection_modifyitems", "pytest_configure", "pytest_configure_node", "pytest_pyfunc_call",
    "pytest_runtest_makereport", "pytest_runtest_setup",
]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    forbid_others_to_write()
    config.stash[SESSION_KEY] = FarmSession(config)
    controls = not hasattr(config, "workerinput")
    # `farm run` brings its own collector, to read the verdict from it.
    if controls and not any(isinstance(plugin, Outcomes) for plugin in config.pluginmanager.get_plugins()):
        config.pluginmanager.register(Outcomes(), "farm-outcomes")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: a worker gets the run directory and the seed of its controller."""
    node.config.stash[SESSION_KEY].hand_over(node.workerinput)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A session is had in one guest: that of the first testcase that was chosen."""
    if config.option.shell and len(items) > 1:
        config.hook.pytest_deselected(items=items[1:])
        del items[1:]


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """A session that ended well is no testcase that passed."""
    return ("", "", "") if config.option.shell and report.passed else None


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not pyfuncitem.config.option.shell:
        return None
    cell = pyfuncitem.stash.get(CELL_KEY, None)
    if cell is None:
        raise UserError(f"{pyfuncitem.nodeid} uses no guest, so there is none to enter.")
    cell.converse()
    return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    if reason := skip_reason(item):
        pytest.skip(reason)
