"""README.md, ARCHITECTURE.md, CONTRIBUTING.md and docs/ against what they speak of.

The plans, units and scripts of docs/nightly.md have tests of their own.
"""

import re
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path

import click
import pytest

from farm.cli import group
from farm.cli.run import command as run_command
from farm.kernel.flavors import compose, load
from farm.options import OPTIONS
from farm.pressure import PRESSURES
from farm.qualify.mutant import read_mutant
from farm.stack import LAYERS
from farm.workload import WORKLOADS
from tests.unit.test_floors import FLOORS

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {name: (ROOT / name).read_text() for name in (
    "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md",
    *(f"docs/{name}.md" for name in ("bisect", "nightly", "qualification", "repro")))}
README, CONTRIBUTING = TEXTS["README.md"], TEXTS["CONTRIBUTING.md"]
# An indented line that begins with the farm, or runs it behind a prompt or a pipe; behind a wide gap stands a comment.
COMMAND = re.compile(r"^    (?:\$ |[^#\n]*(?:\| |git bisect run ))?(farm [a-z].*?)(?: {2,}#.*| \|.*)?$", re.MULTILINE)


def block(text, begin):
    """The indented block that begins with these words, without what indents it."""
    lines = text[text.index(f"\n    {begin}") + 1:].splitlines()
    end = next((number for number, line in enumerate(lines) if line and not line.startswith("    ")), len(lines))
    return "\n".join(line[4:] for line in lines[:end]) + "\n"


def complaint(words):
    """What click has against a command line; "" for nothing."""
    try:
        understand(group, "farm", words)
    except click.UsageError as error:
        return error.format_message()
    except click.exceptions.Exit as end:
        return f"status {end.exit_code}" if end.exit_code else ""
    return ""


def understand(command, name, words, parent=None):
    """Read a command line as click does, down to the last subcommand."""
    context = command.make_context(name, words, parent=parent)
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if rest:
            found, sub, left = command.resolve_command(context, rest)
            understand(sub, found, left, context)


@pytest.mark.parametrize("line", sorted({line for text in TEXTS.values() for line in COMMAND.findall(text)}))
def test_a_command_that_is_shown_is_understood(line):
    words = [word for word in shlex.split(line)[1:] if not (word.startswith("[") or word.endswith("..."))]
    # The files of examples are the user's.
    assert re.fullmatch("|Invalid value.* does not exist.*", complaint(words))


@pytest.mark.parametrize("name", TEXTS)
def test_files_that_are_named_are_there(name):
    for path in re.findall(r"`((?:farm|tests|testcases|configs|images|docs|bench)/[\w./*-]+)`", TEXTS[name]):
        assert any(ROOT.glob(path.replace("NUMBER", "*").replace("NAME", "*"))), path


@pytest.mark.parametrize("registry", [LAYERS, WORKLOADS, PRESSURES], ids=lambda registry: registry.what)
def test_a_table_of_options_is_that_of_the_code(registry):
    (table,) = re.findall(rf"^\| {registry.what} \| options \|\n\| --- \| --- \|\n((?:\|.*\n)+)", README, re.MULTILINE)
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", table, re.MULTILINE))
    assert {kind: tuple(re.findall(r"`(\w+)`", options)) for kind, options in rows.items()} == {
        cls.kind: tuple(field.name for field in fields(cls)) for cls in registry.classes}


def test_the_flavors_are_those_of_the_configuration():
    listed = re.search(r"Flavors are (.*?\));", README.replace("\n", " "))[1]
    listed = re.findall(r"`(\w+)`", listed) + re.findall(r"`(debug)` \(all", README)
    known = list(tomllib.loads((ROOT / "configs/flavors.toml").read_text()))
    assert list(dict.fromkeys(listed)) == known
    shown = next(option.help for option in OPTIONS if option.flag == "--flavor")
    assert f": {', '.join(known)}, or your own" in shown


def test_pytest_takes_what_farm_run_takes(pytestconfig):
    text = re.search(r"`pytest` itself takes the options of `farm run`(.*?)and pytest-xdist's", README, re.DOTALL)[1]
    lacking = set(re.findall(r"`(--\w+)`", text))
    flags = {flag for option in run_command.params for flag in option.opts if flag.startswith("-")}
    known = {flag for option in pytestconfig._parser._anonymous.options for flag in option.names()} | {
        flag for one in pytestconfig._parser._groups for option in one.options for flag in option.names()}
    assert flags - known == lacking


def test_every_variable_of_the_environment_that_moves_things_is_named():
    used = {name for path in (ROOT / "farm").rglob("*.py")
            for name in re.findall(r"(?:environ\.get\(|envvar=)\"(FARM_\w+)\"", path.read_text())}
    assert used
    assert not {name for name in used if not any(f"`{name}`" in text for text in TEXTS.values())}


def test_the_map_has_every_module_on_its_floor():
    rows = re.findall(r"^\| (\d) \| (.*?) \|", TEXTS["ARCHITECTURE.md"], re.MULTILINE)
    found = [set() for _ in FLOORS]
    for floor, modules in rows:
        found[int(floor)] |= {name.rstrip("/") for name in re.findall(r"`([\w/]+)`", modules)} - {"bisect/config"}
    assert found == [set(floor) - {"", "__main__"} for floor in FLOORS]
    lines = TEXTS["ARCHITECTURE.md"].splitlines()
    assert sum(1 + len(line) // 100 for line in lines) < 2 * 72, "two pages"


def test_the_flavor_of_the_recipe_is_one(tmp_path):
    toml, _, fragment = block(CONTRIBUTING, "# my/flavors.toml").partition("# my/slow-slab.config.j2\n")
    (tmp_path / "flavors.toml").write_text(toml)
    (tmp_path / "slow-slab.config.j2").write_text(fragment.partition("\nfarm build")[0])
    assert load([tmp_path])["slow-slab"].output == "slow-slab"
    last = compose("slow-slab", (), [tmp_path])[-1]
    assert [one.line for one in last.wanted] == ["CONFIG_SLUB_DEBUG_ON=y"]


def test_the_mutant_of_the_recipe_is_one(tmp_path):
    (tmp_path / "mine.patch").write_text(
        block(CONTRIBUTING, "Mutant: ").rstrip() + "\n\nWhy.\n---\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
    assert read_mutant(tmp_path / "mine.patch").functions == ("skcipher_walk_first",)


@pytest.mark.parametrize(("text", "begin"), [(README, "# test_mine.py"), (CONTRIBUTING, "import pytest")])
def test_the_testcase_of_the_recipe_is_one(pytester, monkeypatch, tmp_path, text, begin):
    monkeypatch.setenv("FARM_CACHE", str(tmp_path / "cache"))
    source = block(text, begin).partition("\nfarm run")[0]
    pytester.makepyfile(source)
    result = pytester.runpytest("--collect-only", "-q")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*::test_*"])


def test_a_pattern_is_where_the_recipe_says():
    recipe = CONTRIBUTING.partition("## A console pattern")[2].partition("\n## ")[0]
    named = set(re.findall(r"(\w+\.py)`", recipe)) - {"samples.py"}
    rows = {path.name for path in (ROOT / "farm/oops").glob("*.py")
            if re.search(r"^    (Pattern|Event)\(", path.read_text(), re.MULTILINE)}
    assert named == rows
