"""What stacks need that not every kernel has; the kernel under test itself is asked, for features are backported."""

from collections.abc import Callable
from dataclasses import dataclass

from farm.errors import MissingFeatureError
from farm.stack.layers import Integrity, Layer, Stack

# How the guest is asked.
ASK = ("dmsetup", "targets")


@dataclass(frozen=True)
class Feature:
    """Something that came with a version of a device-mapper target."""

    # Of what it is a feature, for people.
    name: str
    # True for a layer that needs it.
    wanted: Callable[[Layer], bool]
    # Device-mapper target, and its first version that has it (struct target_type, .version).
    target: str
    version: tuple[int, ...]


FEATURES: tuple[Feature, ...] = (
    Feature("dm-integrity's inline mode", lambda layer: isinstance(layer, Integrity) and layer.mode == "inline",
            "integrity", (1, 12, 0)),
)


def wanted(stack: Stack) -> tuple[Feature, ...]:
    """The features without which a stack cannot be built."""
    return tuple(one for one in FEATURES if any(map(one.wanted, stack.layers)))


def check_features(stack: Stack, targets: str) -> None:
    """Hold a stack against what `dmsetup targets` said in the guest. Raises MissingFeatureError."""
    have = {name: version for name, _, version in (line.partition(" ") for line in targets.splitlines())}
    for feature in wanted(stack):
        there = have.get(feature.target, "").strip()
        if _numbers(there) < feature.version:
            raise MissingFeatureError(
                f"The kernel under test lacks {feature.name}, which the stack '{stack}' needs: its device-mapper "
                f"target {feature.target} is {there or 'missing'}, and v{'.'.join(map(str, feature.version))} brought "
                "it.")


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.removeprefix("v").split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() and len(part) < 10 for part in parts) else ()
