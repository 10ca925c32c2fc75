"""Running other programs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from farm.deadline import Deadline
from farm.errors import InfrastructureError, UserError
from farm.host import lease, process
from tests.unit.host.owners import eventually, lives


def soon(seconds: float = 10) -> Deadline:
    return Deadline(seconds)


def test_output_and_status() -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], deadline=soon(), check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert done.argv == ("sh", "-c", "echo out; echo err >&2; exit 3")


def test_input_is_given() -> None:
    assert process.run(["cat"], input=b"a\0b", deadline=soon()).stdout == "a\0b"


def test_input_that_nobody_reads_is_no_error() -> None:
    assert process.run(["true"], input=b"x" * 1_000_000, deadline=soon()).returncode == 0


def test_without_input_there_is_nothing_to_read() -> None:
    assert process.run(["cat"], deadline=soon()).stdout == ""


class TestHarvest:
    """What a program printed, however it ended."""

    def test_status_and_errors_do_not_matter(self) -> None:
        assert process.harvest(["sh", "-c", "cat; echo err >&2; exit 3"], deadline=soon(), input=b"in") == "in"

    def test_what_was_printed_before_the_deadline_is_kept(self) -> None:
        said = process.harvest(["sh", "-c", "echo $$; sleep 60"], deadline=Deadline(0.5))
        assert not lives(int(said))

    def test_it_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "MOST_HARVEST", 10)
        assert process.harvest(["seq", "1000"], deadline=soon()) == "1\n2\n3\n4\n5\n"


def test_a_megabyte_on_both_streams() -> None:
    script = "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2"
    done = process.run(["sh", "-c", script], deadline=soon())
    assert (len(done.stdout), len(done.stderr)) == (1_000_000, 1_000_000)


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert process.run(["printf", r"a\377b"], deadline=soon()).stdout == "a\N{REPLACEMENT CHARACTER}b"


def test_failure_says_command_status_and_last_words() -> None:
    with pytest.raises(InfrastructureError) as caught:
        process.run(["sh", "-c", "seq 100 >&2; exit 7"], deadline=soon())
    message = str(caught.value)
    assert message.startswith("`sh -c 'seq 100 >&2; exit 7'` failed with exit status 7:\n86\n")
    assert message.endswith("\n100")


def test_failure_without_words_has_no_colon() -> None:
    with pytest.raises(InfrastructureError, match=r"exit status 1$"):
        process.run(["false"], deadline=soon())


def test_a_stopped_process_is_scheduled_no_more() -> None:
    with process.running(process.spawn(["sh", "-c", "while :; do sleep 0.01; done"])) as child:
        os.kill(child.pid, signal.SIGSTOP)
        deadline = soon()
        while process.scheduling(child.pid)[0] != "T" and deadline.sleep(0.01):
            pass
        state, switches = process.scheduling(child.pid)
        assert (state, process.scheduling(child.pid)) == ("T", ("T", switches))
        os.kill(child.pid, signal.SIGCONT)
        while process.scheduling(child.pid)[1] == switches and deadline.sleep(0.01):
            pass
        assert process.scheduling(child.pid)[1] > switches
    assert process.scheduling(child.pid) == ("", 0)


def test_a_signal_is_named() -> None:
    with pytest.raises(InfrastructureError, match="signal 9"):
        process.run(["sh", "-c", "kill -9 $$"], deadline=soon())


def test_a_missing_program_points_to_the_doctor() -> None:
    with pytest.raises(UserError, match=r"^no-such-program is not installed\. Run `farm doctor`"):
        process.run(["no-such-program"], deadline=soon())


def test_a_missing_directory_is_not_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="gone: no such directory"):
        process.run(["true"], cwd=tmp_path / "gone", deadline=soon())


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF rubbish")
    broken.chmod(0o755)
    with pytest.raises(InfrastructureError, match=r"cannot start .*broken"):
        process.run([str(broken)], deadline=soon())


def test_the_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(InfrastructureError, match=r"did not end within 1 s"):
        process.run(["sh", "-c", f"sleep 600 & echo $! $$ > {pids}; wait"], deadline=soon(1))
    assert eventually(lambda: not any(lives(int(pid)) for pid in pids.read_text().split()))


def test_stop_is_not_polite_for_ever() -> None:
    script = "trap '' TERM; sleep 600 & echo $!; wait; sleep 600"
    child = process.spawn(["sh", "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    deaf = int(child.stdout.readline())
    assert process.stop(child, grace=0.2) == -signal.SIGKILL
    assert eventually(lambda: not lives(deaf))


def test_stop_is_polite_first(tmp_path: Path) -> None:
    polite = tmp_path / "polite"
    child = process.spawn(["sh", "-c", f"trap 'echo x > {polite}; exit 5' TERM; echo; while :; do sleep 0.05; done"],
                          stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert process.stop(child) == 5
    assert polite.exists()
    assert process.stop(child) == 5, "stopping twice is harmless"


def test_stop_kills_what_a_finished_program_left_in_its_group() -> None:
    child = process.spawn(["sh", "-c", "sleep 600 & echo $!"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    left = int(child.stdout.readline())
    assert eventually(lambda: not lives(child.pid))
    assert process.stop(child) == 0
    assert eventually(lambda: not lives(left))


def test_stop_of_a_program_that_another_thread_has_reaped() -> None:
    child = process.spawn(["true"])
    os.waitpid(child.pid, 0)
    assert process.stop(child) == 0


def test_running_stops_on_an_exception() -> None:
    child = process.spawn(["sleep", "600"])
    with pytest.raises(KeyboardInterrupt), process.running(child):
        raise KeyboardInterrupt
    assert child.returncode == -signal.SIGTERM


def test_children_have_a_session_of_their_own() -> None:
    field = process.run(["cat", "/proc/self/stat"], deadline=soon()).stdout.split()
    assert field[5] == field[0] != str(os.getsid(0))


def test_niceness_counts_beyond_the_session_and_is_inherited() -> None:
    groups = Path("/proc/self/autogroup")
    if not groups.exists():
        pytest.skip("this kernel does not group processes by session (CONFIG_SCHED_AUTOGROUP)")
    # It gets its niceness just after its start, and so waits for a line: on a busy host it might be quicker.
    inner = ("from farm.host import process; input(); child = process.spawn(['sleep', '60']); "
             "print(child.pid, flush=True); child.wait()")
    with process.running(process.spawn(
            [sys.executable, "-c", inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, nice=7)) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        for pid in (child.pid, int(child.stdout.readline())):
            assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.nice(0) + 7)
            assert Path(f"/proc/{pid}/autogroup").read_text().split()[-1] == str(min(19, os.nice(0) + 7))


@pytest.mark.parametrize("variable", ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"])
def test_a_make_further_up_does_not_shine_through(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "w -- ARGS=--flavor")
    assert variable not in process.environment()


def test_environment_is_in_c_locale_with_own_additions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert process.environment()["LC_ALL"] == "C"
    assert process.environment({"LC_ALL": "C.UTF-8", "A": "b"})["A"] == "b"


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        ("/usr/bin:/bin", "/usr/bin:/bin:/usr/sbin:/sbin"),
        ("/sbin:/bin", "/sbin:/bin:/usr/sbin"),
        ("/usr/sbin:/sbin", "/usr/sbin:/sbin"),
    ],
)
def test_the_administrators_programs_are_found(path: str, whole: str) -> None:
    assert process.search_path(path) == whole


def test_a_command_as_typed_can_be_pasted() -> None:
    assert process.as_typed(["a b", "$c", "d"]) == "'a b' '$c' d"


def test_temporary_files_end_with_the_lease() -> None:
    done = process.run(["mktemp"], deadline=soon())
    assert Path(done.stdout.strip()).parent == lease.current().scratch
