"""From a testcase's markers to values: machine, stacks, duration."""

from typing import Any

import pytest

from farm.errors import UserError
from farm.guest.argv import check_machine
from farm.guest.machinetext import mebibytes, namespace, parse_machine, parse_namespace
from farm.model import Machine, Namespace
from farm.stack import Stack, check_stack, parse_stack

DEFAULT_DURATION = 10.0


def machine_of(item: pytest.Item, stacks: tuple[Stack, ...]) -> Machine:
    """The machine that the markers `machine` and `namespace` describe, checked against what lies on it.

    `--namespace` takes the place of all the markers, `--machine` that of single values. Raises UserError for an unknown
    argument, an impossible namespace or an impossible stack.
    """
    option = item.config.option
    namespaces = tuple(map(parse_namespace, option.namespace)) or tuple(
        _namespace(marker, item) for marker in _markers(item, "namespace"))
    values: dict[str, Any] = {}
    for marker in _markers(item, "machine"):
        values |= marker.kwargs
    values |= parse_machine(option.machine or "")
    unknown = values.keys() - {"cpus", "memory", "append"}
    if unknown:
        raise UserError(f"{item.nodeid}: the marker machine takes cpus, memory and append, not {', '.join(unknown)}.")
    cpus, append = values.get("cpus", 2), values.get("append", ())
    if not str(cpus).isdecimal():
        raise UserError(f"{item.nodeid}: marker machine: cpus={cpus!r} is no number.")
    if isinstance(append, str):  # whose letters would be taken for parameters
        raise UserError(f"{item.nodeid}: marker machine: append takes a list of parameters, not {append!r}.")
    machine = Machine(
        cpus=int(cpus), memory_mib=mebibytes(values.get("memory", "1G")), namespaces=namespaces, append=tuple(append))
    check_machine(machine)
    for stack in stacks:
        check_stack(stack, namespaces)
    return machine


def stacks_of(item: pytest.Item) -> tuple[Stack, ...]:
    """The stacks that `--stack` describes, else the markers `stack`, in the order in which they are written."""
    given = tuple(map(parse_stack, item.config.option.stack))
    return given or tuple(parse_stack(*marker.args, **marker.kwargs) for marker in _markers(item, "stack"))


def duration_of(item: pytest.Item) -> float:
    """Seconds of a workload: the command line's, else the testcase's, else the default."""
    given: float | None = item.config.option.duration
    marker = item.get_closest_marker("duration")
    return given if given is not None else float(marker.args[0]) if marker else DEFAULT_DURATION


def tolerated_kinds(item: pytest.Item) -> tuple[str, ...]:
    return tuple(kind for marker in _markers(item, "tolerate") for kind in marker.args)


def skip_reason(item: pytest.Item) -> str:
    """Why the testcase makes no sense in the flavor under test, or ""."""
    flavor = item.config.option.flavor
    wanted = [name for marker in _markers(item, "flavor") for name in marker.args]
    return f"made for flavor {' or '.join(wanted)}, not {flavor}" if wanted and flavor not in wanted else ""


def _namespace(marker: pytest.Mark, item: pytest.Item) -> Namespace:
    values = {**dict(zip(("serial",), marker.args, strict=False)), **marker.kwargs}
    try:
        return namespace(values)
    except TypeError as error:
        raise UserError(f"{item.nodeid}: marker namespace: {str(error).removeprefix('Namespace.__init__() ')}. "
                        "See `pytest --markers`.") from error


def _markers(item: pytest.Item, name: str) -> list[pytest.Mark]:
    """Markers in the order in which they stand in the file: pytest gives the closest, that is the last, first."""
    return list(item.iter_markers(name))[::-1]
