"""A lease leaves nothing behind, however its process ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from farm.errors import InfrastructureError
from farm.host import janitor, lease
from tests.unit.host.owners import Owner, eventually, lives

Start = Callable[[str], Owner]

HEAD = """
import json, os, signal, subprocess, sys, time
from farm.host import lease, process
def say(value):
    print(json.dumps(value), flush=True)
"""

# What the owner does -> its code; each says the process ids that must not survive it.
CHILDREN = {
    "child": """
pids = [process.spawn(["sleep", "600"]).pid]
""",
    "many children": """
pids = [process.spawn(["sleep", "600"]).pid for _ in range(40)]
""",
    "grandchildren": """
child = process.spawn(["sh", "-c", "sleep 600 & sleep 601 & echo $! $$; wait"], stdout=subprocess.PIPE)
pids = [int(word) for word in child.stdout.readline().split()]
""",
    "daemon in a session of its own": """
child = process.spawn(["sh", "-c", "setsid sh -c 'echo $$; exec sleep 600' & wait"], stdout=subprocess.PIPE)
pids = [int(child.stdout.readline()), child.pid]
""",
    "daemon whose parents are gone": """
child = process.spawn(["sh", "-c", "(setsid sh -c 'echo $$; exec sleep 600' &) ; true"], stdout=subprocess.PIPE)
pids = [int(child.stdout.readline())]
child.wait()
""",
    "child that ignores every polite signal": """
child = process.spawn(["sh", "-c", "trap '' TERM INT HUP; echo ready; while :; do sleep 1; done"],
                      stdout=subprocess.PIPE)
child.stdout.readline()
pids = [child.pid]
""",
    "stopped child": """
child = process.spawn(["sleep", "600"])
os.kill(child.pid, signal.SIGSTOP)
pids = [child.pid]
""",
    "grandchild without an environment": """
child = process.spawn(["sh", "-c", "env -i sleep 600 & echo $!; wait"], stdout=subprocess.PIPE)
pids = [int(child.stdout.readline()), child.pid]
""",
    "orphan without an environment, in its child's session": """
child = process.spawn(["sh", "-c", "(env -i sh -c 'echo $$; exec sleep 600' &); sleep 600"], stdout=subprocess.PIPE)
pids = [int(child.stdout.readline()), child.pid]
""",
    "child that has become another program": """
child = process.spawn(["sh", "-c", "echo x; exec sh -c 'exec sleep 600'"], stdout=subprocess.PIPE)
child.stdout.readline()
pids = [child.pid]
""",
    "fork that never calls exec": """
lease.current()
pid = os.fork()
if pid == 0:
    time.sleep(600)
pids = [pid]
""",
    "fork in a session of its own": """
lease.current()
pid = os.fork()
if pid == 0:
    os.setsid()
    time.sleep(600)
pids = [pid]
""",
    "child in a user and process namespace": """
child = process.spawn(["unshare", "--user", "--map-root-user", "--pid", "--fork", "sh", "-c", "echo x; sleep 600"],
                      stdout=subprocess.PIPE)
child.stdout.readline()
pids = [child.pid]
""",
}

# How the owner ends -> what is done to it after it is ready.
ENDS = {
    "kill -9": "time.sleep(600)",
    "terminate": "time.sleep(600)",
    "interrupt": "time.sleep(600)",
    "return": "",
    "exception": "raise RuntimeError",
    "exit at once": "os._exit(3)",
}
SIGNALS = {"kill -9": signal.SIGKILL, "terminate": signal.SIGTERM, "interrupt": signal.SIGINT}


def finish(one: Owner, end: str) -> None:
    if end in SIGNALS:
        one.process.send_signal(SIGNALS[end])
    one.process.wait(20)


def cannot_be_made(kind: str) -> bool:
    return "namespace" in kind and subprocess.run(["unshare", "--user", "true"], check=False).returncode != 0


@pytest.mark.parametrize("kind", CHILDREN)
def test_no_child_survives_a_kill(owner: Start, kind: str) -> None:
    if cannot_be_made(kind):
        pytest.skip("this host lets nobody make user namespaces")
    one = owner(HEAD + CHILDREN[kind] + "say(pids)\n" + ENDS["kill -9"])
    pids = one.said()
    assert pids
    assert all(lives(pid) for pid in pids), "it must be the janitor that ends them"
    finish(one, "kill -9")
    assert eventually(lambda: not any(lives(pid) for pid in pids))
    assert eventually(lambda: not one.left())


def test_no_child_survives_an_ordinary_end(owner: Start) -> None:
    kinds = [kind for kind in CHILDREN if not cannot_be_made(kind)]
    one = owner(HEAD + "kinds = {}\n" + "".join(f"{CHILDREN[kind]}kinds[{kind!r}] = pids\n" for kind in kinds)
                + "say(kinds)\n")
    found = one.said()
    finish(one, "return")
    assert list(found) == kinds
    assert [kind for kind, pids in found.items() if not pids or any(map(lives, pids))] == []
    assert one.left() == []


@pytest.mark.parametrize("end", ENDS)
def test_no_file_survives(owner: Start, end: str) -> None:
    one = owner(HEAD + """
place = lease.scratch_directory("disk")
(place / "deep").mkdir()
(place / "deep" / "file").write_text("x")
(place / "link").symlink_to("/etc/passwd")
(place / "deep").chmod(0)
pid = process.spawn(["sleep", "600"]).pid
say([str(place), pid])
""" + ENDS[end])
    place, pid = one.said()
    finish(one, end)
    assert eventually(lambda: not Path(place).exists() and not one.left())
    assert eventually(lambda: not lives(pid))
    assert Path("/etc/passwd").exists()


def test_an_ordinary_end_has_swept_when_it_returns(owner: Start) -> None:
    one = owner(HEAD + """
child = process.spawn(["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait"], stdout=subprocess.PIPE)
grandchild = int(child.stdout.readline())
held = lease.current()
held.end()
say([grandchild, held.scratch.exists()])
held.end()
""")
    grandchild, scratch_exists = one.said()
    assert not lives(grandchild)
    assert not scratch_exists
    assert one.process.wait(10) == 0


def test_a_lease_after_the_end_is_a_new_one(owner: Start) -> None:
    one = owner(HEAD + """
lease.current().end()
pid = process.spawn(["sleep", "600"]).pid
say(pid)
""")
    pid = one.said()
    one.process.wait(10)
    assert eventually(lambda: not lives(pid) and not one.left())


def test_a_killed_janitor_is_replaced_at_an_ordinary_end(owner: Start) -> None:
    one = owner(HEAD + """
pid = process.spawn(["sleep", "600"]).pid
lease.current()._janitor.kill()
say(pid)
""")
    pid = one.said()
    one.process.wait(10)
    assert not lives(pid)
    assert one.left() == []


NESTED = HEAD + """
inner = '''
import json, sys, time
from farm.host import lease, process
place = lease.scratch_directory("inner")
print(json.dumps([str(place), process.spawn(["sleep", "600"]).pid]), flush=True)
time.sleep(600)
'''
outer = process.spawn(["sleep", "600"])
child = process.spawn([sys.executable, "-c", inner], stdout=subprocess.PIPE)
place, grandchild = json.loads(child.stdout.readline())
say([os.path.isdir(place), place, outer.pid, child.pid, grandchild])
"""


@pytest.mark.parametrize("end", ["kill -9", "return", "interrupt"])
def test_leases_nest(owner: Start, end: str) -> None:
    one = owner(NESTED + ENDS[end])
    was_there, _, *pids = one.said()  # whether it still is depends on who is first
    assert was_there
    finish(one, end)
    assert eventually(lambda: not any(lives(pid) for pid in pids))
    assert eventually(lambda: not one.left()), "the inner lease's janitor must live to remove its directory"


def test_an_inner_end_does_not_touch_the_outer(owner: Start) -> None:
    one = owner(NESTED + """
child.kill()
child.wait()
time.sleep(600)
""")
    _, place, outer, _, grandchild = one.said()
    assert eventually(lambda: not lives(grandchild) and not Path(place).exists())
    assert eventually(lambda: len(one.left()) == 1)
    assert lives(outer)
    one.process.kill()
    assert eventually(lambda: not lives(outer) and not one.left())


# A server as PostgreSQL is one: it goes on starting children, and each leaves its session and wipes its environment, so
# that nothing but its parent tells whose it is.
BREEDER = """
import os, sys, time
while True:
    if os.fork() == 0:
        os.setsid()
        os.execve("/bin/sleep", ["sleep", sys.argv[1]], {})
    time.sleep(0.002)  # some hundred in all, not as many as the host can bear
"""


def of_command(seconds: str) -> list[int]:
    """Processes that sleep so long."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cmdline").read_bytes() == f"sleep\0{seconds}\0".encode():
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("attempt", range(3))
def test_what_a_server_starts_while_it_is_killed_does_not_survive_it(owner: Start, attempt: int) -> None:
    mark = f"{600 + attempt}.{os.getpid()}"
    one = owner(HEAD + f"process.spawn([sys.executable, '-c', {BREEDER!r}, {mark!r}])\nsay(1)\n" + ENDS["kill -9"])
    one.said()
    assert eventually(lambda: len(of_command(mark)) > 20)
    one.process.kill()
    assert eventually(lambda: not one.left())
    try:
        assert of_command(mark) == []
    finally:
        for pid in of_command(mark):
            os.kill(pid, signal.SIGKILL)


def test_two_farms_do_not_touch_each_other(owner: Start) -> None:
    code = HEAD + "say(process.spawn(['sleep', '600']).pid)\ntime.sleep(600)"
    first, second = owner(code), owner(code)
    mine, other = first.said(), second.said()
    first.process.kill()
    assert eventually(lambda: not lives(mine) and not first.left())
    assert lives(other)
    assert second.left()
    second.process.kill()
    assert eventually(lambda: not lives(other) and not second.left())


def sleeping(word: str) -> list[str]:
    """Processes that were started as `sleep WORD`."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (directory / "cmdline").read_bytes() == f"sleep\0{word}\0".encode():
                found.append(directory.name)
    return found


def test_kill_at_any_moment_of_a_busy_farm(owner: Start) -> None:
    """Children are between fork and exec, in exec, or ending when the farm dies; each carries a word to be found by."""
    for number in range(4):
        word = f"60{os.getpid()}{number}"
        one = owner(HEAD + f"""
import threading
def busy():
    while True:
        process.spawn(["sh", "-c", "sleep {word} & sleep {word}"])
for _ in range(3):
    threading.Thread(target=busy, daemon=True).start()
time.sleep(0.05 + 0.1 * {number})
say(1)
time.sleep(600)
""")
        one.said()
        one.process.kill()
        one.process.wait()
        assert eventually(lambda one=one: not one.left())
        assert not sleeping(word)


def test_ten_threads_share_one_lease(owner: Start) -> None:
    one = owner(HEAD + """
import threading
threads = [threading.Thread(target=lease.current) for _ in range(10)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
say(len(os.listdir(os.environ["FARM_TMPDIR"])))
""")
    assert one.said() == 1
    one.process.wait(10)


def test_a_forked_child_takes_a_lease_of_its_own_and_leaves_its_parents_alone(owner: Start) -> None:
    one = owner(HEAD + """
outer = lease.current()
pid = os.fork()
if pid == 0:
    place = lease.scratch_directory("fork")
    outer.end()
    lease.current().end()
    os._exit(0 if not place.exists() and outer.scratch.exists() and place.parent != outer.scratch else 1)
say([os.waitpid(pid, 0)[1], outer.scratch.exists()])
""")
    assert one.said() == [0, True]
    one.process.wait(10)
    assert eventually(lambda: not one.left())


@pytest.mark.parametrize("place", ["/nonexistent", "/proc"])
def test_a_bad_temporary_directory_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("FARM_TMPDIR", place)
    with pytest.raises(InfrastructureError, match="Set FARM_TMPDIR"):
        lease.Lease()


def test_session_rule_spares_a_session_led_by_others() -> None:
    def process(pid: int, parent: int, session: int, *leases: str) -> janitor.Process:
        return janitor.Process(pid, parent, session, frozenset(leases), frozenset(), is_starting=False)

    shell, farm, child, orphan, stranger = (
        process(10, 1, 10), process(11, 10, 10), process(12, 1, 10, "x"), process(13, 12, 10), process(14, 1, 10)
    )
    alive = {one.pid: one for one in (shell, farm, child, orphan, stranger)}
    assert janitor.covered("x", set(), {11}, alive) == {12, 13}
    assert janitor.covered("y", set(), {11}, alive) == set()
    assert janitor.covered("y", {13}, set(), alive) == {13}


def test_own_process_is_seen() -> None:
    me = janitor.processes()[os.getpid()]
    assert me.parent == os.getppid()
    assert me.session == os.getsid(0)
    assert not me.is_starting


def test_the_janitor_needs_the_standard_library_only() -> None:
    """It starts without site-packages and must not depend on where the checkout lies."""
    code = f"import runpy; runpy.run_path({janitor.__file__!r}, run_name='x')"
    assert subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd="/", check=False).returncode == 0
