"""Who watches a guest: the face that a monitor shows to the target."""

from collections.abc import Mapping
from typing import Any, Protocol

from farm.errors import FarmError


class Watcher(Protocol):
    """Hears what a guest says and ends the waits for it; called from several threads."""

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

    def console(self, data: bytes) -> None:
        """Let it pass."""

    def event(self, name: str, data: Mapping[str, Any]) -> None:
        """Let it pass."""

    def switched_off(self) -> None:
        """Let it pass."""

    def failure(self) -> FarmError | None:
        return None
