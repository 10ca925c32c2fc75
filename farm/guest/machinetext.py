"""Machines and namespaces as text: `cpus=4,memory=512M`, and `data:size=256M,block=4096,pi=1,ms=8`."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from farm.errors import UserError
from farm.model import Machine, Namespace

_NUMBER = re.compile(r"[0-9]{1,9}")
_SIZES = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}
# Options of a namespace that are sizes, by the field that they fill.
_NAMESPACE_SIZES = {"size": "size_mib", "zone": "zone_mib"}
_NAMESPACE_OPTIONS = [*_NAMESPACE_SIZES, *(one.name for one in fields(Namespace)
                                           if one.name != "serial" and one.name not in _NAMESPACE_SIZES.values())]


def mebibytes(text: str | int) -> int:
    """`512M`, `1G` or a plain number of MiB. Raises UserError for anything else, or less than 1 MiB."""
    match = re.fullmatch(r"(\d{1,12})([KMGT]?)(i?B)?", str(text))
    size = int(int(match[1]) * _SIZES[match[2] or "M"]) if match else 0
    if size < 1:
        raise UserError(f"`{text}` is not a size. Write a number with M or G, for example 512M.")
    return size


def namespace(values: Mapping[str, Any]) -> Namespace:
    """From options as people write them. Raises UserError for a bad size, TypeError for an unknown option."""
    sizes = {field: mebibytes(values[name]) for name, field in _NAMESPACE_SIZES.items() if values.get(name)}
    return Namespace(**{**{name: value for name, value in values.items() if name not in _NAMESPACE_SIZES}, **sizes})


def parse_namespace(text: str) -> Namespace:
    """`SERIAL:option=value,…`. Raises UserError."""
    serial, _, rest = text.partition(":")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,20}", serial):
        raise UserError(f"the namespace {text!r} has no serial. Write for example data:size=256M,block=4096.")
    values: dict[str, Any] = {"serial": serial}
    for name, value in _options(rest, f"the namespace {text!r}", _NAMESPACE_OPTIONS):
        if name not in _NAMESPACE_SIZES and not _NUMBER.fullmatch(value):
            raise UserError(f"the namespace {text!r}: {name}={value} is no number.")
        values[name] = value if name in _NAMESPACE_SIZES else value == "1" if name == "pi_first" else int(value)
    return namespace(values)


def namespace_text(one: Namespace) -> str:
    """The text that `parse_namespace` takes for this namespace; what is at its default is left out."""
    plain = Namespace(one.serial, one.size_mib)
    options = [f"size={one.size_mib}M", *([f"zone={one.zone_mib}M"] if one.zone_mib else [])]
    options += [f"{name}={int(getattr(one, name))}" for name in _NAMESPACE_OPTIONS
                if name not in _NAMESPACE_SIZES and getattr(one, name) != getattr(plain, name)]
    return f"{one.serial}:{','.join(options)}"


def machine_text(machine: Machine) -> str:
    """The text that `parse_machine` takes for this machine, its namespaces and parameters apart."""
    return f"cpus={machine.cpus},memory={machine.memory_mib}M"


def parse_machine(text: str) -> dict[str, Any]:
    """`cpus=N,memory=SIZE` as the marker `machine` takes them. Raises UserError."""
    values: dict[str, Any] = dict(_options(text, f"the machine {text!r}", ["cpus", "memory"]))
    if not _NUMBER.fullmatch(values.get("cpus", "1")):
        raise UserError(f"the machine {text!r}: cpus={values['cpus']} is no number.")
    mebibytes(values.get("memory", "1G"))
    return values


def _options(text: str, what: str, known: list[str]) -> list[tuple[str, str]]:
    found = []
    for option in filter(None, text.split(",")):
        name, equals, value = option.partition("=")
        if name not in known or not equals:
            raise UserError(f"{what}: {option!r} is none of its options. Known are {', '.join(known)}.")
        found.append((name, value))
    return found
