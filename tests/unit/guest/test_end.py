"""The end of a command with all that it started, by the script that runs in the guest; here on this host."""

import os
import signal
import subprocess
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

from farm.guest.command import ending
from tests.unit.host.owners import eventually, lives

# As fio does: each job, forked, makes a session of its own, and forks again. Who that forks in the second job loses its
# parent at once, but not its session. Six lines tell who is there.
JOBS = """
echo $$
sh -c 'echo $$; setsid sh -c "echo \\$\\$; sleep 60 & echo \\$!; wait" & wait' &
setsid sh -c 'sh -c "sleep 60 & echo \\$!" & echo $$; exec sleep 60' &
wait
"""


@pytest.fixture
def started():
    """Starts a command as sshd does, and returns the first lines that it prints, which are process ids."""
    running, pids = [], []

    def start(argv, lines):
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        running.append(process)
        found = [int(line) for line in islice(process.stdout, lines)]
        pids.extend(found)
        return process, found

    yield start
    for pid in [*pids, *(process.pid for process in running)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in running:
        process.stdout.close()
        process.wait()


def runs(tool):
    """True while any process of this host runs the tool."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(tool).encode() in place.read_bytes():
                return True
    return False


def end(shell, group):
    done = subprocess.run([shell, "-c", ending(group)], capture_output=True, timeout=60, check=False)
    assert done.stderr == b""


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_what_made_a_session_of_its_own_ends_too(started, shell):
    other, _ = started(["sleep", "60"], 0)
    command, pids = started(["sh", "-c", JOBS], 6)
    assert len({*pids}) == 6
    end(shell, command.pid)
    assert eventually(lambda: not any(map(lives, pids)))
    assert lives(other.pid)


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_nobody_gets_away_by_forking_meanwhile(started, shell, tmp_path):
    tool = tmp_path / "job"
    tool.symlink_to("/bin/sleep")
    command, _ = started(["bash", "-c", f"echo; for i in {{1..200}}; do setsid {tool} 20 & done; wait"], 0)
    command.stdout.readline()
    end(shell, command.pid)
    assert eventually(lambda: not lives(command.pid))
    assert eventually(lambda: not runs(tool), 5)


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_a_command_with_an_odd_name_ends_with_what_it_started(started, shell, tmp_path):
    tool = tmp_path / "x) R 1 1 "
    tool.write_text("#!/bin/sh\nsetsid sleep 60 & echo $!; wait\n")
    tool.chmod(0o755)
    command, (child,) = started([tool], 1)
    assert Path(f"/proc/{command.pid}/stat").read_text().startswith(f"{command.pid} ({tool.name}) ")
    end(shell, command.pid)
    assert eventually(lambda: not lives(child))


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_a_command_that_has_ended_leaves_its_group_to_be_ended(started, shell):
    command, (child,) = started(["sh", "-c", "sleep 60 & echo $!"], 1)
    assert eventually(lambda: not lives(command.pid))
    end(shell, command.pid)
    assert eventually(lambda: not lives(child))
