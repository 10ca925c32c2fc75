"""`python3 -m farm.host.packages`: install what the farm needs and this host lacks, and nothing otherwise.

Runs before the virtual environment exists: standard library only. Quiet and quick when nothing is missing.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from farm.host.tools import Need, Tool, apt_line, missing, packages_of

# Runs argv and returns its exit status and what it printed.
Run = Callable[[Sequence[str]], tuple[int, str]]

# What `python3 -m venv` needs; Debian packs it apart from python3.
VENV = Tool("venv", "python3-venv", "the virtual environment", ())

_DEBIAN_PYTHON = "/usr/bin/python3"
# Seconds to wait while another apt (a nightly upgrade, say) holds the lock.
_PATIENT = ("-o", "DPkg::Lock::Timeout=300")


class CannotInstallError(Exception):
    """Says in whole sentences what the user has to do."""


def wanted(python: str = sys.executable) -> list[Tool]:
    """What is missing, the means to make a virtual environment included."""
    lacks_venv = importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None
    if lacks_venv and os.path.realpath(python) != os.path.realpath(_DEBIAN_PYTHON):
        raise CannotInstallError(
            f"{python} has no venv module and is not Debian's own Python: install its ensurepip, or call make with "
            f"PYTHON={_DEBIAN_PYTHON}."
        )
    return [*([VENV] if lacks_venv else []), *missing()]


def _lists_exist() -> bool:
    return any(Path("/var/lib/apt/lists").glob("*_Packages*"))


def install(
    tools: Sequence[Tool], run: Run, say: Callable[[str], None], *, root: bool,
    lists_exist: Callable[[], bool] = _lists_exist,
) -> None:
    """Install the packages of what is missing; raises CannotInstallError with the line to type when that fails.

    The package lists are fetched only when they do not know a package or when installing fails (they may name
    versions that the archive no longer has). An optional package that the archive does not have is left out.
    """
    line = apt_line(packages_of(tools), root=root)
    if not root and line[0] != "sudo":
        raise CannotInstallError(f"packages are missing and there is no sudo. As root, run: {shlex.join(line)}")
    prefix = line[: line.index("apt-get")]
    unknown = _unknown(tools, run)
    updated = not lists_exist() or any(tool.need is Need.REQUIRED for tool in unknown)
    if updated:
        _update(prefix, run, say)
        unknown = _unknown(tools, run)
    left_out = [tool for tool in unknown if tool.need is Need.OPTIONAL]
    for tool in left_out:
        say(f"{tool.package} is not in this host's package archive and is left out: {tool.purpose}")
    tools = [tool for tool in tools if tool not in left_out]
    if not tools:
        return
    line = apt_line(packages_of(tools), root=root)
    say(("asking sudo for: " if prefix else "") + shlex.join(line))
    status, said = run(_settled(line))
    if status != 0 and not updated:
        _update(prefix, run, say)
        status, said = run(_settled(line))
    if status != 0:
        raise CannotInstallError(f"{said.strip()}\nThe packages could not be installed. Try: {shlex.join(line)}")


def _settled(line: Sequence[str]) -> list[str]:
    """The line without questions; sudo resets the environment, so env stands behind it."""
    at = line.index("apt-get")
    return [*line[:at], "env", "DEBIAN_FRONTEND=noninteractive", line[at], "-q", *_PATIENT, *line[at + 1:]]


def _update(prefix: Sequence[str], run: Run, say: Callable[[str], None]) -> None:
    say("fetching the package lists")
    run([*prefix, "apt-get", "-q", "update"])


def _unknown(tools: Sequence[Tool], run: Run) -> list[Tool]:
    return [tool for tool in tools if run(["apt-cache", "show", "--no-all-versions", tool.package])[0] != 0]


def _run(argv: Sequence[str]) -> tuple[int, str]:
    # Not farm.host.process: sudo asks for the password on this terminal, so it has to stay in its session.
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          check=False)
    return done.returncode, done.stdout


def main() -> int:
    try:
        tools = wanted()
        if tools:
            if shutil.which("apt-get") is None:
                raise CannotInstallError(
                    "this host has no apt-get. Install what brings these: " + ", ".join(tool.name for tool in tools)
                )
            install(tools, _run, lambda text: print(f"deps: {text}", flush=True), root=os.geteuid() == 0)
            still = [tool.name for tool in wanted() if tool.need is Need.REQUIRED]
            if still:
                raise CannotInstallError(f"still missing after the packages were installed: {', '.join(still)}.")
    except CannotInstallError as error:
        print(f"deps: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
