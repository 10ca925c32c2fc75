"""The options that subcommands share, as click knows them."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from farm.options import Option

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _number(option: Option) -> Callable[[str], int | float]:
    """What click reads a number within limits by; it adds the name of the option to what is raised."""
    def number(text: str) -> int | float:
        try:
            return option.number(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return number


def options(table: Iterable[Option]) -> Callable[[_Command], _Command]:
    """Decorator: all options of a table; the command gets each by its name."""
    def decorate(command: _Command) -> _Command:
        for option in reversed(tuple(table)):
            if option.switch:
                command = click.option(option.flag, option.name, is_flag=True, help=option.help)(command)
                continue
            kind = (click.Choice(option.choices) if option.choices else _number(option) if option.within
                    else option.kind)
            command = click.option(
                option.flag, option.name, metavar=option.metavar, help=option.help, type=kind,
                default=option.default, multiple=option.multiple)(command)
        return command
    return decorate
