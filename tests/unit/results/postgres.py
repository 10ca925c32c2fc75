"""A PostgreSQL server of the tests' own, from Debian's package."""

import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from farm.deadline import Deadline
from farm.host import lease, process
from farm.host.tools import TOOLS

PROGRAM = next(tool for tool in TOOLS if tool.name == "postgres")


# Who it believes to be: initdb and postgres refuse root, and initdb wants a name. To the host it is who runs the tests,
# so it may enter the lease's scratch directory, and its files belong to whoever sweeps that.
_SEEN_AS = next(one for one in pwd.getpwall() if one.pw_uid)
# Shared memory of its own, of System V and in /dev/shm: it ends with the last process, also when the server is killed.
_APART = ["unshare", f"--map-user={_SEEN_AS.pw_uid}", f"--map-group={_SEEN_AS.pw_gid}", "--keep-caps",
          "--ipc", "--mount", "--", "sh", "-c", 'mount -t tmpfs farm /dev/shm && exec "$@"', "sh"]


class Server:
    """A server on a unix socket in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._programs = PROGRAM.find().parent
        process.run([*_APART, str(self._programs / "initdb"), "--no-sync", "--auth=trust", "--encoding=UTF8",
                     "--username=farm", str(directory / "data")], deadline=Deadline(120), cwd=directory)
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._child = process.spawn(
                [*_APART, str(self._programs / "postgres"), "-D", str(self._directory / "data"), "-F",
                 "-k", str(self._directory), "-c", "listen_addresses="], stderr=log, cwd=self._directory)
        deadline = Deadline(60)
        asked = [str(self._programs / "pg_isready"), "-q", "-h", str(self._directory)]
        while process.run(asked, deadline=deadline, check=False).returncode != 0:
            assert self._child.poll() is None, (self._directory / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, without a checkpoint; it waits for its children, which a killed one would not."""
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


def missing() -> str:
    """Why this host can run none, in a sentence; "" when it can."""
    if PROGRAM.find() is None:
        return "this host has no PostgreSQL: `make deps` installs Debian's postgresql"
    if process.run([*_APART, "true"], deadline=Deadline(60), check=False).returncode != 0:
        return "this host lets nobody make user namespaces"
    return ""


@contextmanager
def server() -> Iterator[Server]:
    """A running server; nothing of it is left. Skips where there is none to run."""
    if why := missing():
        pytest.skip(why)
    directory = lease.scratch_directory("postgres")
    try:
        made = Server(directory)
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
