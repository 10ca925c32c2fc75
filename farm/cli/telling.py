"""What commands that take long tell their user, and the reports they end with."""

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from farm.errors import FarmError
from farm.textform import printable_lines


def announcer() -> Callable[[str], None]:
    """Tells the user lines of progress, with the seconds since the beginning."""
    logging.basicConfig(format="farm: %(message)s", level=logging.INFO, stream=sys.stderr)
    began = time.monotonic()

    def say(line: str) -> None:
        click.echo(f"{time.monotonic() - began:7.1f} s  {line}", err=True)

    return say


def echo(data: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print a report in one of its two forms."""
    click.echo(json.dumps(data) if as_json else text, nl=as_json)


def complain(error: FarmError) -> None:
    """Tell what went wrong; what a compiler or a guest said may be in it."""
    click.echo(f"farm: {printable_lines(str(error))}", err=True)
