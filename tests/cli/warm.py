"""The real `farm` command without its start: forked from a process that has imported all of it.

Starting Python and importing cost half a second a command, of which a test of a mistake learns nothing. All else is as
ever: a process, working directory, umask, environment and standard streams of its own, and the interpreter's end but
for its taking all modules apart.
`python warm.py` is that process; it reads requests as lines of JSON, and answers each with an exit status.
"""

import atexit
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from _pytest.config import default_plugins

# Of those that commands import while they work.
LATE = (
    "alembic.command", "alembic.config", "pytest", "rich.console", "rich.progress", "rich.table", "farm.image.recipe",
    "farm.plugin", "farm.plugin.events", "farm.plugin.fixtures", "farm.plugin.outcomes", "farm.workload.runner",
    # What pytest loads by itself, at the beginning and at the end of a session.
    "hypothesis.strategies", "pytest_timeout", "xdist.plugin", *(f"_pytest.{name}" for name in default_plugins))
# Then SIGALRM ends a command that hangs.
SECONDS = 60


class Warm:
    """The process, seen from the tests."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.warm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], umask: int = 0o022,
    ) -> "subprocess.CompletedProcess[str]":
        assert self._server.stdin
        assert self._server.stdout
        with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
            request = {"argv": list(argv), "cwd": str(cwd), "env": dict(env), "streams": [out.name, err.name],
                       "umask": umask}
            print(json.dumps(request), file=self._server.stdin, flush=True)
            status = int(self._server.stdout.readline())
            return subprocess.CompletedProcess([*argv], status, out.read(), err.read())

    def close(self) -> None:
        self._server.communicate(timeout=SECONDS)


def serve() -> dict[str, Any]:
    """Answer requests until there are no more; returns in the fork, with the request that it is for."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            request: dict[str, Any] = json.loads(line)
            return request
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def become(request: dict[str, Any]) -> None:
    """The process that the command finds itself in."""
    signal.alarm(SECONDS)
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["env"])
    for number, name in enumerate([os.devnull, *request["streams"]]):
        os.dup2(os.open(name, os.O_RDWR), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the other had read ahead
    sys.argv = ["farm", *request["argv"]]


def leave(status: int) -> NoReturn:
    """The end of a process; to take a thousand modules apart costs a fork more than all that it did, for every page
    that it shares is copied."""
    threading._shutdown()
    atexit._run_exitfuncs()
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    from farm.cli import COMMANDS, main

    for module in (*(module for module, _ in COMMANDS.values()), *LATE):
        importlib.import_module(module)
    gc.freeze()  # a collection in a fork would copy all of it
    become(serve())
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, int):
            leave(end.code)
        raise
