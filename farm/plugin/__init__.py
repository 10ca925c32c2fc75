"""The pytest plugin: options, markers and fixtures that make a testcase a cell on a real kernel."""

from argparse import ArgumentTypeError

import pytest

from farm.options import OPTIONS

pytest_plugins = ["farm.plugin.hooks"]

MARKERS = (
    "smoke: part of the smoke plan, which `farm run` runs when no testcase is named",
    "machine(cpus=2, memory='1G', append=()): the emulated machine of a testcase",
    "namespace(serial, size='256M', block=512, pi=0, ms=0, pi_first=False, guard=16, zone=None): one emulated NVMe "
    "namespace; may be repeated",
    "stack(text): what lies on a namespace, bottom first, e.g. 'data / luks2:integrity=hmac-sha256 / xfs'; may be "
    "repeated: the fixture `stack` is the first, `stacks` all of them",
    "duration(seconds): length of each workload, on the guest's clock, unless --duration says otherwise",
    "flavor(*names): flavors in which the testcase makes sense; it is skipped in others",
    "tolerate(*kinds): console reports that do not fail the testcase, e.g. 'oom'",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("farm", "kernel test farm")
    for option in OPTIONS:
        if option.switch:
            group.addoption(option.flag, action="store_true", help=option.help)
            continue
        group.addoption(
            option.flag, metavar=option.metavar, help=option.help, type=option.reader(ArgumentTypeError),
            action="append" if option.multiple else "store", default=[] if option.multiple else option.default,
            **({"choices": option.choices} if option.choices else {}))


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
