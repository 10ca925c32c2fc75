"""guest.sh and replay.sh are run, as far as that goes without a guest."""

import json
import os
import subprocess
from dataclasses import replace

import pytest

from farm.host.cache import Store
from farm.repro.archive import unpack
from farm.repro.bundle import missing, write_bundle
from farm.repro.guestscript import AS_RECORDED, DIFFERENT, INCOMPLETE, guest_script
from farm.repro.recorded import load
from farm.repro.replayscript import pattern_of
from tests.unit.repro.conftest import CELL


def command(text, started, seconds=0.1, status=0, **more):
    return {"command": text, "status": status, "seconds": seconds, "started": started, "stdout": "", **more}


def run(tmp_path, *commands):
    (tmp_path / "here").mkdir()
    return subprocess.run(
        ["bash", "-c", guest_script(list(commands))], cwd=tmp_path / "here", capture_output=True, text=True,
        check=False, timeout=30, env={**os.environ, "DIRECTORY": str(tmp_path / "replay")})


def test_commands_keep_their_order_their_input_and_their_quoting(tmp_path):
    done = run(tmp_path,
               command("sh -c 'cat >a; printf %s \"$1\" >>a' x 'it'\"'\"'s $HOME'", 1.0, input="a2V5Cg=="),
               command("sh -c 'cp a b; exit 3'", 2.0, status=3),
               command("test -f b", 3.0))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "replay/b").read_text() == "key\nit's $HOME"


def test_what_ran_beside_another_runs_beside_it_and_ends_where_it_ended(tmp_path):
    done = run(tmp_path,
               command("""sh -c 'setsid timeout 60 sh -c "while :; do date +%N >beat; sleep 0.05; done" & wait'""",
                       1.0, 9.0, -1, error="stopped"),
               command("sh -c 'while [ ! -e beat ]; do sleep 0.05; done; echo one >order'", 2.0, 3.0),
               command("sh -c 'sleep 0.3; echo two >>order'", 6.0, 1.0),
               command("sh -c 'sleep 0.2; cp beat last; sleep 0.3; cmp beat last'", 12.0))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "replay/order").read_text() == "one\ntwo\n"


def test_a_command_that_newly_fails_ends_it(tmp_path):
    done = run(tmp_path, command("sh -c 'echo no such disk >&2; exit 4'", 1.0), command("touch never", 2.0))
    assert done.returncode == DIFFERENT
    assert "step 1 failed with status 4" in done.stderr
    assert "no such disk" in done.stderr
    assert not (tmp_path / "replay/never").exists()


@pytest.mark.parametrize(("recorded", "now", "status"), [(1, 1, AS_RECORDED), (1, 0, 0), (0, 0, 0), (0, 1, DIFFERENT)])
def test_the_status_of_a_workload_counts_and_not_that_of_its_supervisor(tmp_path, recorded, now, status):
    done = run(tmp_path, command(f"echo farm-status {now}", 1.0, stdout=f"farm-status {recorded}\n"))
    assert done.returncode == status, done.stderr


def test_input_that_was_not_recorded_is_said_before_anything_is_run(tmp_path):
    done = run(tmp_path, command("touch never", 1.0), command("cat", 2.0, input_bytes=1 << 20))
    assert done.returncode == INCOMPLETE
    assert "too long to be recorded" in done.stderr
    assert not (tmp_path / "replay/never").exists()


@pytest.mark.parametrize(("text", "console", "matches"), [
    ("BUG: kernel NULL pointer dereference, address: 0000000000000018",
     "[   12.3] BUG: kernel NULL pointer dereference, address: 00000000000000ff", True),
    ("WARNING: CPU: 1 PID: 22 at crypto/skcipher.c:375 skcipher_walk_first+0x1a/0x40",
     "WARNING: CPU: 0 PID: 9 at crypto/skcipher.c:375 skcipher_walk_first+0x1c/0x40", True),
    ("INFO: task fio:123 blocked for more than 20 seconds.", "INFO: task fio:77 blocked for more than 40 seconds.",
     True),
    ("kernel BUG at mm/slub.c:553!", "kernel BUG at lib/list_debug.c:29!", False),
    ("a.*b [x] (y) $z \\ ^", "a.*b [x] (y) $z \\ ^", True),
    ("BUG: \x1b]0;me\x07 in ü", "BUG: \x1b]0;me\x07 in ü", True),
])
def test_a_report_is_known_again_by_its_first_line(text, console, matches):
    assert pattern_of({"text": text}).isprintable()
    found = subprocess.run(["grep", "-qE", "--", pattern_of({"text": f"\n{text}\nmore"})], input=console, text=True,
                           check=False)
    assert found.returncode == (0 if matches else 1)


@pytest.fixture
def unpacked(make_bundle, tmp_path):
    directory = tmp_path / "fresh"
    directory.mkdir()
    unpack(make_bundle(), directory)
    return directory


def test_replay_sh_looks_for_what_the_run_failed_by(make_run, tmp_path):
    path = make_run() / "result.json"
    about = json.loads(path.read_bytes())
    announced = {**about["findings"][0], "kind": "io-error", "title": "I/O error", "function": "", "text": "I/O error"}
    path.write_text(json.dumps({**about, "findings": [announced, *about["findings"]]}))
    write_bundle(load(path.parent), tmp_path / "b", Store(tmp_path / "store"), with_kernel=False, with_image=False)
    (tmp_path / "u").mkdir()
    unpack(tmp_path / "b", tmp_path / "u")
    text = (tmp_path / "u/replay.sh").read_text()
    assert "FUNCTION=cryptd_skcipher_complete" in text
    assert "PATTERN='BUG: kernel NULL pointer" in text


def test_replay_sh_says_what_it_lacks(unpacked):
    def lacks(**environment):
        done = subprocess.run(["./replay.sh"], cwd=unpacked, capture_output=True, text=True, check=False, timeout=30,
                              env={**os.environ, **environment})
        assert done.returncode == 2
        return done.stderr

    assert "there is no kernel bzImage" in lacks()
    assert "6.12.117-farm" in lacks()
    assert "there is no guest image guest.ext4" in lacks(KERNEL="config")
    (unpacked / "guest.ext4").write_bytes(b"")
    (unpacked / "client_key").write_bytes(b"")
    assert "choose kvm or tcg" in lacks(KERNEL="config", ACCEL="xen")


def test_nothing_that_a_run_was_told_is_run_by_replay_sh(make_bundle, tmp_path):
    """The release is what a ready bzImage says of itself, and that may be a stranger's."""
    hostile = "6.12$(touch hacked)`touch hacked`\";touch hacked;'"
    kernel = replace(CELL.kernel, release=hostile, flavor="x")
    (tmp_path / "u").mkdir()
    unpack(make_bundle(cell=replace(CELL, kernel=kernel)), tmp_path / "u")
    done = subprocess.run(["./replay.sh"], cwd=tmp_path / "u", capture_output=True, text=True, check=False, timeout=30)
    assert f"Build {hostile} from the file config" in done.stderr
    assert not (tmp_path / "u/hacked").exists()


def test_replay_sh_shows_nothing_that_a_terminal_obeys(unpacked, tmp_path):
    """With a QEMU and an ssh whose guest prints just that."""
    (tmp_path / "bin").mkdir()
    for name, script in (
            ("qemu-system-x86_64",
             "#!/bin/bash\nfor word; do case $word in *path=*) out=${word##*path=};; esac; done\n"
             "printf 'farm-guest ready\\nBUG: \\033]0;title\\a other\\r\\n' >\"$out\"; exec sleep 60\n"),
            ("ssh", "#!/bin/bash\ncase $* in *nvme0n1*) echo swap;; *nvme1n1*) echo data;;\n"
             "*bash*) printf 'a\\033[2Jb\\n';; esac\n")):
        (tmp_path / "bin" / name).write_text(script)
        (tmp_path / "bin" / name).chmod(0o755)
    for name in ("guest.ext4", "client_key"):
        (unpacked / name).write_bytes(b"")
    (unpacked / "replay.sh").write_text((unpacked / "replay.sh").read_text().replace("-ge 15", "-ge 1"))
    done = subprocess.run(["./replay.sh"], cwd=unpacked, capture_output=True, check=False, timeout=60, env={
        **os.environ, "KERNEL": "config", "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"})
    assert done.returncode == 3, done.stderr
    assert b"another report: BUG: ]0;title other\n" in done.stderr
    assert b"  a[2Jb\n" in done.stderr


def test_replay_sh_tells_its_usage(unpacked):
    (unpacked / "elsewhere").mkdir()
    done = subprocess.run(["../replay.sh", "--help"], cwd=unpacked / "elsewhere", capture_output=True, text=True,
                          check=False, timeout=30)
    assert done.returncode == 0
    assert "usage: ./replay.sh" in done.stdout
    assert "KERNEL=FILE" in done.stdout
    assert "set -u" not in done.stdout
    done = subprocess.run(["./replay.sh", "bzImage"], cwd=unpacked, capture_output=True, text=True, check=False,
                          timeout=30)
    assert (done.returncode, done.stderr) == (2, "replay: unknown argument bzImage; --help tells what there is\n")


def test_replay_sh_is_a_script_that_quotes_what_it_names(unpacked):
    text = (unpacked / "replay.sh").read_text()
    assert subprocess.run(["bash", "-n", "replay.sh"], cwd=unpacked, check=False).returncode == 0
    assert subprocess.run(["bash", "-n", "guest.sh"], cwd=unpacked, check=False).returncode == 0
    # As in the run: the names of the namespaces, the parameters of the kernel; and nothing of this host.
    assert "/sys/block/nvme1n1/device/serial | tr -d \" \")\" = data ]" in text
    assert "workqueue.watchdog_thresh=20 slab_nomerge'" in text
    assert "tsc_early_khz" not in text
    # Protection information begins as all ones, behind the data.
    assert "truncate -s 33554432 \"$work\"/swap.raw\nhead -c 524288 /dev/zero | tr '\\0' '\\377'" in text
    assert "dmesg" not in (unpacked / "guest.sh").read_text()  # asked for evidence, when the testcase was over


@pytest.mark.parametrize(("facts", "said"), [
    ({}, []), ({"expected": [{"announced": "pi-guard"}]}, ["changed bits of the disk"]),
    ({"power_cuts": 1}, ["cut the machine's power"]), ({"over": 0.0}, ["ends before the testcase did"]),
])
def test_says_what_it_does_not_repeat(make_run, facts, said):
    notes = missing(load(make_run(**facts)))
    assert len(notes) == len(said)
    assert all(words in note for words, note in zip(said, notes, strict=True))
