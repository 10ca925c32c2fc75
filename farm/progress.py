"""Progress of builds, on stderr."""

import sys
import time
from typing import Any

import click

from farm.kernel import Progress, Report

# Where no terminal shows a bar, a line is printed this often.
_LINE_SECONDS = 10.0


class Display:
    """A progress bar on a terminal, a line now and then elsewhere; always on stderr."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._last = 0.0

    def __enter__(self) -> Report:
        return self._bar_progress if sys.stderr.isatty() else self._line_progress

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _bar_progress(self, progress: Progress) -> None:
        if self._bar is None:
            from rich.console import Console  # noqa: PLC0415 - a build that is cached needs no bar
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
            from rich.progress import Progress as Bar  # noqa: PLC0415

            self._bar = Bar(
                TextColumn("{task.percentage:>3.0f} %"), BarColumn(),
                TextColumn("{task.completed}/{task.total} objects"), TimeElapsedColumn(),
                TextColumn("{task.description}", markup=False), console=Console(stderr=True),
            )
            self._task = self._bar.add_task("")
            self._bar.start()
        self._bar.update(self._task, completed=progress.done, total=progress.total, description=progress.what)

    def _line_progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.done == progress.total or now - self._last >= _LINE_SECONDS:
            self._last = now
            share = 100 * progress.done // progress.total
            click.echo(f"{share:3} %  {progress.done}/{progress.total} objects  {progress.what}", err=True)
