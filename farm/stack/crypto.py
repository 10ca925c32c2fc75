"""Reading the guest's /proc/crypto: drivers have different names on different kernels and processors."""

from collections.abc import Iterator
from dataclasses import dataclass

from farm.errors import MissingFeatureError


@dataclass(frozen=True)
class Algorithm:
    """One entry of /proc/crypto."""

    # What it computes, e.g. `xts(aes)`.
    name: str
    # Who computes it, e.g. `xts-aes-aesni-avx`.
    driver: str
    # `cipher`, `skcipher`, `shash`, `ahash`, `aead` and so on.
    type: str
    # The kernel takes the highest.
    priority: int
    # True when only other algorithms may use it.
    internal: bool


def algorithms(proc_crypto: str) -> Iterator[Algorithm]:
    """The entries; incomplete ones are left out."""
    for block in proc_crypto.split("\n\n"):
        facts = {}
        for line in block.splitlines():
            name, colon, value = line.partition(":")
            if colon:
                facts[name.strip()] = value.strip()
        priority = facts.get("priority", "")
        if {"name", "driver", "type"} <= facts.keys() and priority.isdecimal() and len(priority) <= 10:
            internal = facts.get("internal") == "yes"
            yield Algorithm(facts["name"], facts["driver"], facts["type"], int(priority), internal)


def best_driver(proc_crypto: str, name: str, type_: str) -> str:
    """The driver that the kernel would choose. Raises MissingFeatureError when this kernel has none."""
    found = [one for one in algorithms(proc_crypto) if (one.name, one.type, one.internal) == (name, type_, False)]
    if not found:
        raise MissingFeatureError(
            f"The kernel under test has no {type_} {name!r} in /proc/crypto. Enable it in the kernel's configuration, "
            "or choose another cipher for the stack."
        )
    return max(found, key=lambda one: one.priority).driver
