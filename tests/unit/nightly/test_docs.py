"""What docs/nightly.md promises: every key of a plan, examples that parse, options that there are."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from farm.cli import group
from farm.nightly.known import Known
from farm.nightly.plan import Kernel, Plan, Reports, Testcases

TEXT = (Path(__file__).parents[3] / "docs" / "nightly.md").read_text()


def block(begin: str) -> str:
    """The indented block that begins with these words."""
    lines = TEXT[TEXT.index(f"\n    {begin}") + 1:].splitlines()
    end = next(number for number, line in enumerate(lines) if line and not line.startswith("    "))
    return "\n".join(line[4:] for line in lines[:end])


@pytest.mark.parametrize("model", [Plan, Kernel, Testcases, Reports])
def test_every_key_is_described(model):
    for name in model.model_fields:
        assert re.search(rf"`(\[\[?)?{name}\b", TEXT), name


def test_the_known_failure_is_one():
    entry, = tomllib.loads(block("[[known]]"))["known"]
    assert Known.model_validate(entry).fixed_by == "0123456789ab"


@pytest.mark.parametrize("begin", ["[Unit]\n    Description=Nightly kernel tests\n\n    [Service]",
                                   "[Unit]\n    Description=Nightly kernel tests\n\n    [Timer]"])
def test_units_are_what_systemd_reads(tmp_path, begin):
    text = block(begin)
    assert all(re.fullmatch(r"\[\w+\]|[A-Z]\w+=.+|", line) for line in text.splitlines())


@pytest.mark.parametrize(("answers", "runs", "status"), [([0], 1, 0), ([1], 1, 1), ([2, 0], 2, 0), ([2, 2], 2, 2)])
def test_the_unit_goes_on_or_begins(tmp_path, answers, runs, status):
    """The service's own line, with something else in the farm's place."""
    farm = tmp_path / "farm"
    farm.write_text(f"#!/bin/sh\necho \"$@\" >> {tmp_path}/asked\nset -- {' '.join(map(str, answers))}\n"
                    f"shift $(($(wc -l < {tmp_path}/asked) - 1))\nexit $1\n")
    farm.chmod(0o755)
    line = re.search(r"ExecStart=/bin/sh -c '(.*)'", TEXT)[1].replace("/home/farm/farm/.venv/bin/farm", str(farm))
    assert subprocess.run(["sh", "-c", line], check=False).returncode == status
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["nightly plan.toml --resume", "nightly plan.toml"][:runs]


@pytest.mark.parametrize("line", re.findall(r"^    (farm .*?)(?:  +#.*)?$", TEXT, re.MULTILINE))
def test_commands_have_the_options_that_are_shown(line):
    words = line.split()
    shown = CliRunner().invoke(group, [words[1], "--help"]).output
    for option in (word for word in words[2:] if word.startswith("--")):
        assert option in shown
