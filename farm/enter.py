"""Entering a guest that runs: by ssh in the user's terminal, by gdb, and by whoever comes later.

A guest belongs to the farm process that started it and ends with it. What others need to enter it lies in its cell's
directory for as long as it may be entered; whoever removes that file lets the guest go.
"""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import InfrastructureError, UserError
from farm.host import lease, process
from farm.host.process import as_typed
from farm.target import Target

FILE = "enter.json"
# How often is looked whether a guest that is kept may go, in seconds.
_POLL_SECONDS = 0.3
_QEMU_SECONDS = 5.0
# What of the kernel's scripts for gdb is loaded, and loads the others.
_LOADER = "vmlinux-gdb.py"


@dataclass(frozen=True)
class Entrance:
    """How to enter one guest."""

    # Port of this host's loopback that leads to its sshd, the private key it accepts, and its own public key.
    port: int
    key_file: str
    host_key: str
    # The console so far.
    console: str
    # Process id of its QEMU.
    qemu: int
    # Unix socket of QEMU's gdb stub; "" while that is closed.
    gdb: str = ""
    # Its kernel with debug information; "" for none.
    vmlinux: str = ""
    # The kernel's script that gives gdb its commands; "" for none.
    gdb_script: str = ""

    @property
    def gdb_line(self) -> str:
        """The command that attaches gdb, as one types it; "" without a stub."""
        symbols = [self.vmlinux] if self.vmlinux else []
        # The script by name: what lies beside vmlinux is loaded only from where gdb was told that it is safe.
        script = ["-ex", f"source {self.gdb_script}"] if self.gdb_script else []
        return as_typed(["gdb", *symbols, *script, "-ex", f"target remote {self.gdb}"]) if self.gdb else ""

    def ssh(self, known_hosts: Path, *, terminal: bool) -> list[str]:
        """The ssh client's argv; the guest's key is written to `known_hosts`."""
        known_hosts.write_text(f"[127.0.0.1]:{self.port} {self.host_key}\n", encoding="ascii")
        return [
            "ssh", "-F", "none", "-p", str(self.port), "-i", self.key_file, "-tt" if terminal else "-T",
            *(word for option in ("IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=yes", "LogLevel=ERROR",
                                  f"UserKnownHostsFile={known_hosts}") for word in ("-o", option)),
            "root@127.0.0.1"]

    def write(self, directory: Path) -> Path:
        """Let others enter: only this user may read it."""
        path = directory / FILE
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(asdict(self), out)
        return path


def open_gdb(target: Target) -> str:
    """Open QEMU's gdb stub on a socket that only this user can reach; its path."""
    path = lease.scratch_directory("gdb") / "stub"
    answer = target.qmp.human(f"gdbserver unix:{path},server=on,wait=off", deadline=Deadline(_QEMU_SECONDS))
    if not path.exists():
        raise InfrastructureError(f"QEMU did not open its gdb stub: {answer.strip() or 'it says nothing'}")
    return str(path)


def gdb_script(archive: Path | None) -> str:
    """Unpack a kernel's scripts for gdb, for as long as this process lives; the one to load, "" without any."""
    if archive is None:
        return ""
    directory = lease.scratch_directory("lx")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(directory)
    return str(directory / _LOADER)


def find(run: Path) -> tuple[Path, Entrance]:
    """The cell of a run that may be entered. Raises UserError, with the choices, when there is not exactly one."""
    found = [path for path in sorted([run / FILE, *run.glob(f"*/{FILE}")]) if path.is_file()]
    if not found:
        raise UserError(f"No guest of {run} can be entered: it was not kept, or has ended. A run keeps the guest of a "
                        "failure with --keep-on-failure, for as long as it is not interrupted.")
    if len(found) > 1:
        raise UserError(f"{run} has several guests: {', '.join(str(path.parent) for path in found)}. Name one of them.")
    try:
        entrance = Entrance(**json.loads(found[0].read_bytes()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{found[0]} does not say how to enter a guest: {error}.") from error
    if not Path(f"/proc/{entrance.qemu}").exists():
        raise UserError(f"The guest of {found[0].parent} has ended. Its run was killed; {found[0]} can be removed.")
    return found[0], entrance


def converse(
    entrance: Entrance, ended: Callable[[], bool] = lambda: False, on_tick: Callable[[], None] = lambda: None
) -> int:
    """A session in the user's terminal, or with what standard input says; the status of the shell in the guest.

    It is over early when `ended` says so; `on_tick` is called every now and then before that is asked. Raises UserError
    when ssh is not installed.
    """
    argv = entrance.ssh(lease.scratch_directory("ssh") / "known_hosts", terminal=sys.stdin.isatty())
    try:
        # In the foreground of the terminal, not in a session of its own: it is the user who types.
        child = subprocess.Popen(argv, env=process.environment({"TERM": os.environ.get("TERM", "dumb")}))
    except FileNotFoundError as error:
        raise UserError("ssh is not installed. Run `farm doctor` for the line that installs it.") from error
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(_POLL_SECONDS)
            on_tick()
            if ended():
                return -1
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()


def hold(target: Target, released: Callable[[], bool], on_tick: Callable[[], None] = lambda: None) -> None:
    """Leave a guest as it is until it is released, ends by itself, or the user interrupts.

    `on_tick` is called every now and then while the guest runs.
    """
    with suppress(KeyboardInterrupt):
        while target.alive:
            on_tick()
            if released():
                return
            Deadline(_POLL_SECONDS).sleep(_POLL_SECONDS)


def instructions(entrance: Entrance, directory: Path, *, kept: bool) -> Sequence[str]:
    """What the user is told, a line each."""
    lines = [f"console: tail -f {as_typed([entrance.console])}"]
    if entrance.gdb:
        lines.append(f"gdb:     {entrance.gdb_line}")
        lines.append(f"         ({_about_gdb(entrance)})")
    if kept:
        where = as_typed([str(directory)])
        lines += [f"enter:   farm shell --attach {where}",
                  f"let go:  farm shell --attach {where} --end, or Ctrl-C here"]
    return lines


def _about_gdb(entrance: Entrance) -> str:
    """What gdb can do with this kernel, and why not more."""
    if not entrance.vmlinux:
        return "without symbols: --flavor debuginfo or debug has them, and the kernel's own commands"
    if not entrance.gdb_script:
        return "without the kernel's own commands: it was built without CONFIG_GDB_SCRIPTS"
    return "with the kernel's own commands, lx-ps, lx-dmesg, and so on: apropos lx"
