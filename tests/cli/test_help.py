"""Every command says how it is used, completes in the shell, and keeps a pipe free of colours."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from farm.cli import group


def leaves(command, path=()):
    """Every command that does something, with the words that lead to it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        yield from leaves(command.get_command(context, name), (*path, name))


COMMANDS = dict(leaves(group))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_an_example_whose_words_are_understood(path):
    text = COMMANDS[path].get_help(click.Context(COMMANDS[path], info_name=" ".join(path)))
    assert "Example: " in text
    lines = text.partition("Example: ")[2].partition("\n\n")[0].splitlines()
    used = [part for line in lines for part in line.split("|") if shlex.split(part)[:1] == ["farm"]]
    assert used or "git bisect run farm" in "\n".join(lines)
    for line in used:
        words = shlex.split(line.partition(" > ")[0])[1:]
        try:
            context = click.Context(group, info_name="farm")
            name, command, rest = group.resolve_command(context, words)
            command.make_context(name, rest, parent=context)
        except click.BadParameter as error:
            assert "does not exist" in error.message, error.message  # noqa: PT017


@pytest.mark.parametrize(("shell", "words", "found"), [
    ("bash", "farm bun", "plain,bundle"), ("bash", "farm run --fla", "plain,--flavor"),
    ("bash", "farm cache pr", "plain,prune"), ("zsh", "farm bun", "plain\nbundle"),
])
def test_commands_and_options_complete(shell, words, found):
    done = subprocess.run(
        [Path(sys.executable).with_name("farm")], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "_FARM_COMPLETE": f"{shell}_complete", "COMP_WORDS": words,
             "COMP_CWORD": str(len(words.split()) - 1)})
    assert found in done.stdout, done.stderr


@pytest.mark.parametrize("argv", [["--help"], ["doctor"], ["repro", "-"], ["cache", "list"], ["run", "--help"]])
def test_a_pipe_gets_no_colours(argv, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "farm", *argv], capture_output=True, check=False, timeout=60, cwd=tmp_path,
        input=b"crypt_convert() hangs in dm-crypt\n",
        env={**os.environ, "TERM": "xterm-256color", "FARM_CACHE": str(tmp_path)})
    assert done.stdout
    assert b"\x1b" not in done.stdout + done.stderr
