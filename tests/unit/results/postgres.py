"""A PostgreSQL server of the tests' own, from Debian's package."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from farm.deadline import Deadline
from farm.host import process
from farm.host.tools import TOOLS

PROGRAM = next(tool for tool in TOOLS if tool.name == "postgres")


def _as_somebody() -> tuple[str, list[str]]:
    """initdb and postgres refuse root: who runs them, and what changes to that user."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name, []
    user = next(name for name in ("postgres", "nobody") if any(one.pw_name == name for one in pwd.getpwall()))
    return user, ["setpriv", f"--reuid={user}", "--init-groups", "--"]


class Server:
    """A server on a unix socket in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._user, self._prefix = _as_somebody()
        self._programs = PROGRAM.find().parent
        shutil.chown(directory, self._user)
        process.run([*self._prefix, str(self._programs / "initdb"), "--no-sync", "--auth=trust", "--encoding=UTF8",
                     "--username=farm", str(directory / "data")], deadline=Deadline(120), cwd=directory)
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._child = process.spawn(
                [*self._prefix, str(self._programs / "postgres"), "-D", str(self._directory / "data"), "-F",
                 "-k", str(self._directory), "-c", "listen_addresses="], stderr=log, cwd=self._directory)
        deadline = Deadline(60)
        asked = [str(self._programs / "pg_isready"), "-q", "-h", str(self._directory)]
        while process.run(asked, deadline=deadline, check=False).returncode != 0:
            assert self._child.poll() is None, (self._directory / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, without a checkpoint; a killed one would leave its children, and they the memory that they share."""
        if self._child:
            self._child.send_signal(signal.SIGQUIT)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(30)
            process.stop(self._child)
            self._child = None

    def url(self, name: str) -> str:
        return f"postgresql://farm@/{name}?host={self._directory}"

    def fresh(self, name: str) -> str:
        """The URL of a new, empty database."""
        process.run(["psql", "-q", "-h", str(self._directory), "-U", "farm", "-d", "postgres",
                     "-c", f"CREATE DATABASE {name}"], deadline=Deadline(60))
        return self.url(name)


@contextmanager
def server() -> Iterator[Server]:
    """A running server; nothing of it is left. Skips where there is none to run."""
    if PROGRAM.find() is None:
        pytest.skip("this host has no PostgreSQL: `make deps` installs Debian's postgresql")
    directory = Path(tempfile.mkdtemp(prefix="farm-postgres-"))
    try:
        made = Server(directory)
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
