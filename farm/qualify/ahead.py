"""Builds the kernels of later steps while guests run, one at a time: all lie in one kept tree."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol

from farm.qualify.plan import Step


class Building(Protocol):
    """A build under way."""

    @property
    def is_running(self) -> bool:
        """Whether it has yet to end."""

    def wait(self) -> object:
        """Wait for its end, however it ends."""

    def stop(self) -> None:
        """End it."""


class Ahead:
    """What is built ahead; use it in a `with` block, or what runs outlives it."""

    def __init__(self, build: Callable[[Step], Building]) -> None:
        """`build` starts building the kernel of a step."""
        self._build = build
        self._kernel = ""
        self._building: Building | None = None
        # Kernels that need no build of ours: begun before, or built by their own runs.
        self._begun: set[str] = set()

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._building is not None:
            self._building.stop()
            self._building.wait()

    def before(self, step: Step, later: Iterable[Step]) -> None:
        """Call it before each run: waits for the build of that kernel, and begins the next one of `later`.

        A build of another kernel goes on: it is never waited for before its own runs.
        """
        if self._building is not None and (self._kernel == step.kernel or not self._building.is_running):
            self._building.wait()
            self._building = None
        self._begun.add(step.kernel)
        if self._building is None:
            following = next((one for one in later if one.kernel not in self._begun), None)
            if following is not None:
                self._begun.add(following.kernel)
                self._kernel, self._building = following.kernel, self._build(following)
