"""Running other programs: argv lists, a deadline, a process group that never outlives the farm."""

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from farm.deadline import Deadline
from farm.errors import InfrastructureError, UserError
from farm.host import lease

# A program asked to end gets this long before it is killed.
GRACE_SECONDS = 2.0
# The lowest priority there is.
_LEAST_NICE = 19
# Bytes that are taken of a program that is not waited for.
MOST_HARVEST = 4 << 20

_MAKE_VARIABLES = frozenset({"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEFILES", "MAKEOVERRIDES", "GNUMAKEFLAGS"})


@dataclass(frozen=True)
class Completed:
    """A program that has ended."""

    # What was run.
    argv: tuple[str, ...]
    # Exit status; negative is the signal that ended it.
    returncode: int
    # Standard output, undecodable bytes replaced.
    stdout: str
    # Standard error, likewise.
    stderr: str


def as_typed(argv: Sequence[str]) -> str:
    """The command as one could paste it into a shell."""
    return shlex.join(argv)


def environment(extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """This process's environment in the C locale, marked with the lease under which children die.

    `extra` is added to it; a variable that is None there is left out.

    Debian keeps mke2fs and the like out of an ordinary user's PATH, and a `make` further up (`make run`) would hand
    its flags and its job server to the kernel's. Temporary files go where the lease ends them: a compiler that is
    killed leaves its own behind.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _MAKE_VARIABLES}
    path = search_path(inherited.get("PATH", os.defpath))
    held = lease.current()
    ours = {"PATH": path, "LC_ALL": "C", "TMPDIR": str(held.scratch), **held.environment()}
    return {name: value for name, value in {**inherited, **ours, **(extra or {})}.items() if value is not None}


def search_path(path: str) -> str:
    """A PATH that also finds the administrator's programs."""
    missing = [directory for directory in ("/usr/sbin", "/sbin") if directory not in path.split(os.pathsep)]
    return os.pathsep.join([path, *missing])


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    nice: int = 0,
    umask: int = -1,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, `nice` steps below our own priority (see nice(2)).

    It has the `umask`, or our own.

    Raises UserError when it is not installed, InfrastructureError when the system cannot start it.
    """
    try:
        child = subprocess.Popen(
            list(argv), cwd=cwd, env=environment(env), stdin=stdin, stdout=stdout, stderr=stderr,
            pass_fds=pass_fds, start_new_session=True, umask=umask,
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise InfrastructureError(f"{cwd}: no such directory, cannot run {argv[0]} there") from error
        raise UserError(f"{argv[0]} is not installed. Run `farm doctor` for the line that installs it.") from error
    except OSError as error:
        raise InfrastructureError(f"cannot start {argv[0]} ({error.strerror})") from error
    if niceness := min(_LEAST_NICE, os.nice(0) + nice):
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, child.pid, niceness)
        _set_group_niceness(child.pid, niceness)
    return child


def _set_group_niceness(pid: int, niceness: int) -> None:
    """Give a session the niceness of its processes, which has no meaning outside of it (sched(7), autogroup).

    Who is not root may do so ten times a second (kernel/sched/autogroup.c:proc_sched_autogroup_set_nice).
    """
    deadline = Deadline(2)
    while True:
        try:
            Path(f"/proc/{pid}/autogroup").write_text(str(niceness), encoding="ascii")
        except BlockingIOError:
            if deadline.sleep(0.05):
                continue
        except OSError:
            pass  # the kernel has no such groups, or the program has ended
        return


def stop(child: subprocess.Popen[bytes], grace: float = GRACE_SECONDS) -> int:
    """End a spawned program and all of its group: SIGTERM, then SIGKILL. Returns its exit status."""
    if child.returncode is None:
        _signal_group(child, signal.SIGTERM)
        _wait_unreaped(child.pid, Deadline(grace))
    _signal_group(child, signal.SIGKILL)
    return child.wait()


def scheduling(pid: int) -> tuple[str, int]:
    """State of a process (a letter, see proc(5)) and how often its first thread has been scheduled; ("", 0) when gone.

    Raises nothing: a process may end at any moment.
    """
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "", 0
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    switches = sum(int(fields.get(name, "0")) for name in ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"))
    return fields.get("State", "").strip()[:1], switches


def _wait_unreaped(pid: int, deadline: Deadline) -> None:
    """Wait for a child to end but leave it a zombie: its group's number must not go to another process yet."""
    with suppress(ChildProcessError):  # another thread reaped it
        while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) and deadline.sleep(0.01):
            pass


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


@contextmanager
def running(child: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The program for the length of a block; it is stopped however the block ends."""
    try:
        yield child
    finally:
        stop(child)


def run(
    argv: Sequence[str],
    *,
    deadline: Deadline,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    input: bytes | None = None,
    check: bool = True,
    umask: int = -1,
) -> Completed:
    """Run a program to its end.

    Raises InfrastructureError when it fails (unless `check` is false) or outlasts the deadline, with the
    end of what it said.
    """
    child = spawn(
        argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, umask=umask,
    )
    with running(child):
        try:
            out, err = child.communicate(input, timeout=deadline.remaining())
        except subprocess.TimeoutExpired as error:
            raise InfrastructureError(
                f"`{as_typed(argv)}` did not end within {deadline.seconds:.3g} s and was stopped"
            ) from error
    done = Completed(tuple(argv), child.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
    if check and done.returncode != 0:
        raise InfrastructureError(failure(done))
    return done


def harvest(
    argv: Sequence[str], *, deadline: Deadline, env: Mapping[str, str | None] | None = None, input: bytes = b""
) -> str:
    """What a program prints until it ends or the deadline stops it; its errors and its status do not matter.

    Raises UserError when it is not installed, InfrastructureError when the system cannot start it.
    """
    with tempfile.TemporaryFile() as out:
        child = spawn(argv, env=env, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL)
        with running(child), suppress(subprocess.TimeoutExpired):
            child.communicate(input, timeout=deadline.remaining())
        out.seek(0)
        return out.read(MOST_HARVEST).decode(errors="replace")


def failure(done: Completed, lines: int = 15) -> str:
    """One sentence and the end of the output of a program that failed."""
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-lines:]
    how = f"exit status {done.returncode}" if done.returncode >= 0 else f"signal {-done.returncode}"
    return "\n".join([f"`{as_typed(done.argv)}` failed with {how}" + (":" if said else ""), *said])
