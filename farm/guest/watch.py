"""Who watches a guest: the face that a monitor shows to the target."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from farm.errors import FarmError
from farm.model import Finding


def never(_: Finding) -> bool:
    """No report is excused."""
    return False


class Watcher(Protocol):
    """Hears what a guest says and ends the waits for it; called from several threads."""

    # Whether a report is no fault of the kernel's; asked once for each.
    excuse: Callable[[Finding], bool]

    def console(self, data: bytes) -> None:
        """Take console bytes as they come."""

    def event(self, name: str, data: Mapping[str, Any]) -> None:
        """Take an event of QEMU's."""

    def switched_off(self) -> None:
        """Learn that the machine was switched off from outside: the next boot on the console is no reboot."""

    @property
    def tripped(self) -> bool:
        """True once whoever waits for the guest has to stop."""

    def failure(self) -> FarmError | None:
        """Why."""


class Unwatched:
    """Watches nothing."""

    tripped = False

    def __init__(self) -> None:
        self.excuse: Callable[[Finding], bool] = never

    def console(self, data: bytes) -> None:
        """Let it pass."""

    def event(self, name: str, data: Mapping[str, Any]) -> None:
        """Let it pass."""

    def switched_off(self) -> None:
        """Let it pass."""

    def failure(self) -> FarmError | None:
        return None
