"""From a stack and a resolved namespace to the commands that format, open and close it: pure functions."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from farm.model import Namespace
from farm.stack.layers import Crypt, Luks2, Stack
from farm.stack.planners import PLANNERS
from farm.stack.rules import check
from farm.stack.steps import LayerPlan, Place, Step, undoing


@dataclass(frozen=True)
class Base:
    """A namespace as it was found in the guest."""

    namespace: Namespace
    # Block device, e.g. `/dev/nvme1n1`.
    path: str

    @property
    def sysfs(self) -> str:
        """The directory of its queue, integrity profile and statistics."""
        return f"/sys/block/{self.path.rpartition('/')[2]}"


@dataclass(frozen=True)
class Plan:
    """A whole stack as commands."""

    stack: Stack
    base: Base
    layers: tuple[LayerPlan, ...]

    @property
    def build(self) -> tuple[Step, ...]:
        """Format and open, bottom first."""
        return tuple(step for layer in self.layers for step in (*layer.format, *layer.open, *layer.settle))

    @property
    def open(self) -> tuple[Step, ...]:
        return tuple(step for layer in self.layers for step in layer.open)

    @property
    def close(self) -> tuple[Step, ...]:
        """The undoing of `open`, top first."""
        return undoing(self.open)

    @property
    def forget(self) -> tuple[Step, ...]:
        return tuple(step for layer in self.layers for step in layer.forget)

    @property
    def device(self) -> str:
        """The top block device."""
        return self.layers[-1].device if self.layers else self.base.path

    @property
    def mountpoint(self) -> str:
        return self.layers[-1].mountpoint if self.layers else ""


def needs_drivers(stack: Stack) -> bool:
    """True when a plan must be told the guest's crypto drivers."""
    return any(isinstance(layer, Crypt | Luks2) and layer.cryptd for layer in stack.layers)


def key_material(seed: int, serial: str, index: int, length: int) -> bytes:
    """The same bytes for the same cell, different ones for each layer."""
    return hashlib.shake_256(f"farm {seed} {serial} {index}".encode()).digest(length)


def plan(stack: Stack, base: Base, seed: int = 0, drivers: Mapping[str, str] | None = None) -> Plan:
    """The commands for a stack on a namespace.

    `drivers` maps a kernel algorithm to its driver and is needed for `cryptd` only. Raises UserError when a rule
    forbids the stack.
    """
    grounds = check(stack, base.namespace)
    below, layers = base.path, []
    for index, layer in enumerate(stack.layers):
        def key(length: int, index: int = index) -> bytes:
            return key_material(seed, stack.serial, index, length)

        place = Place(stack.name(index), below, grounds[index], key, drivers or {})
        made = PLANNERS[type(layer)](layer, place)
        layers.append(made)
        below = made.device
    return Plan(stack, base, tuple(layers))
