"""The options that subcommands share, as click knows them."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from farm.options import Option

_Command = TypeVar("_Command", bound=Callable[..., Any])


def options(table: Iterable[Option]) -> Callable[[_Command], _Command]:
    """Decorator: all options of a table; the command gets each by its name."""
    def decorate(command: _Command) -> _Command:
        for option in reversed(tuple(table)):
            if option.switch:
                command = click.option(option.flag, option.name, is_flag=True, help=option.help)(command)
                continue
            kind = click.Choice(option.choices) if option.choices else option.reader(click.BadParameter)
            command = click.option(
                option.flag, option.name, metavar=option.metavar, help=option.help, type=kind,
                default=option.default, multiple=option.multiple)(command)
        return command
    return decorate
