"""ssh, against a server of this process that runs commands on this host."""

import base64
import os
import socket
import subprocess
import threading
import time
from contextlib import suppress
from itertools import islice

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from farm.deadline import Deadline
from farm.errors import CrashError, HangError, InfrastructureError
from farm.guest.shell import RECORDED_INPUT_BYTES, CommandError, ConnectionLostError
from farm.guest.ssh import Ssh
from tests.unit.guest.sshd import Sshd
from tests.unit.host.owners import eventually, lives


def make_key(path):
    """A private key file and the public key as OpenSSH writes it."""
    key = Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


# Seconds for a wait that has to fail; messages round them to 1.
SHORT = 0.6


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    return {name: (directory / name, make_key(directory / name)) for name in ("host", "client", "stranger")}


@pytest.fixture
def server(keys):
    server = Sshd(keys["host"][0], keys["client"][1].split()[1])
    yield server
    server.close()


@pytest.fixture
def records():
    return []


class Guard:
    """Raises what it is told to, when it is told."""

    def __init__(self):
        self.error = None

    def __call__(self):
        if self.error:
            raise self.error


@pytest.fixture
def guard():
    return Guard()


@pytest.fixture
def connect(server, keys, records, guard):
    made = []

    def connect(client="client", host="host", port=None, seconds=10):
        ssh = Ssh(port or server.port, keys[client][0], keys[host][1], record=records.append, guard=guard)
        made.append(ssh)
        ssh.connect(Deadline(seconds))
        return ssh

    yield connect
    for ssh in made:
        ssh.close()


@pytest.fixture
def ssh(connect):
    return connect()


def test_status_and_both_outputs(ssh):
    result = ssh.run("echo out; echo err >&2; exit 7", deadline=Deadline(10), check=False)
    assert (result.status, result.stdout, result.stderr) == (7, "out\n", "err\n")


@pytest.mark.parametrize("argv", [
    ["printf", "%s|", "a b", "*", "$HOME", "'\"", "", "ä"], ["printf", "%s", "-n"], ["echo", "a\nb"],
])
def test_words_arrive_as_they_are(ssh, argv):
    assert ssh.run(argv, deadline=Deadline(10)).stdout == subprocess.run(
        argv, capture_output=True, text=True, check=True).stdout


def test_failure_carries_the_result_and_hides_control_characters(ssh):
    with pytest.raises(CommandError, match=r"status 3:\nbad \\x1b\[2J") as caught:
        ssh.run("printf 'bad \\033[2J' >&2; exit 3", deadline=Deadline(10))
    assert caught.value.result.status == 3


def test_a_command_ended_by_a_signal(ssh):
    assert ssh.run("kill -9 $$", deadline=Deadline(10), check=False).status == -1


def test_input(ssh):
    sent = os.urandom(500_000).hex().encode()
    assert ssh.run(["cat"], input=sent, deadline=Deadline(30)).stdout.encode() == sent


def test_input_that_nobody_reads(ssh):
    assert ssh.run(["true"], input=bytes(4_000_000), deadline=Deadline(30), check=False).status == 0


def test_output_has_a_limit(ssh, monkeypatch):
    monkeypatch.setattr("farm.guest.command.MOST_BYTES", 100_000)
    assert len(ssh.run("head -c 3000000 /dev/zero", deadline=Deadline(30)).stdout) == 100_000


def test_deadline_ends_the_command_on_the_other_side_too(ssh, records):
    with pytest.raises(HangError, match=r"did not end within 1 s. It last said:\n[0-9]+"):
        ssh.run("setsid sleep 60 & echo $!; wait", deadline=Deadline(1))
    assert eventually(lambda: not lives(int(records[-1]["stdout"])))
    assert "did not end" in records[-1]["error"]


def test_what_a_late_command_had_printed_was_taken_as_it_came(ssh, tmp_path):
    (tmp_path / "read").write_text("all of it\n")
    os.mkfifo(tmp_path / "never")
    said = bytearray()
    with pytest.raises(HangError):
        ssh.run(["cat", str(tmp_path / "read"), str(tmp_path / "never")], deadline=Deadline(1), out=said.extend)
    assert said == b"all of it\n"


def test_the_guard_ends_a_command_at_once_and_leaves_the_guest_alone(ssh, guard, records):
    threading.Timer(0.3, lambda: setattr(guard, "error", CrashError("oops"))).start()
    with pytest.raises(CrashError, match="oops"):
        ssh.run(["sleep", "60"], deadline=Deadline(60))
    assert records[-1]["error"] == "oops"


def test_a_broken_connection(ssh, server):
    threading.Timer(0.3, server.hang_up).start()
    with pytest.raises(ConnectionLostError, match="broke while `sleep 60` ran"):
        ssh.run(["sleep", "60"], deadline=Deadline(60))
    with pytest.raises(ConnectionLostError, match="is gone"):
        ssh.run(["true"], deadline=Deadline(10))


def test_a_connection_that_breaks_while_input_is_sent(ssh):
    def out(_):
        with suppress(OSError):  # from the second time on
            ssh._transport.sock.shutdown(socket.SHUT_WR)

    with pytest.raises(ConnectionLostError, match="broke while `cat` ran"):
        ssh.run(["cat"], deadline=Deadline(60), input=bytes(4_000_000), out=out)


@pytest.mark.parametrize("said", ["-1", "0", "1", "12345678901"])
def test_a_shell_gone_mad_names_no_group_to_kill(ssh, said, monkeypatch):
    killed = []
    monkeypatch.setattr("farm.guest.command.Command._line", lambda self: f"echo {said}; sleep 60")
    monkeypatch.setattr("farm.guest.command.Command._kill", lambda self, start: killed.append(self._group))
    with pytest.raises(ConnectionLostError, match="instead of its process id"):
        ssh.run(["true"], deadline=Deadline(10))
    assert killed == [0]


def test_a_guest_that_no_longer_starts_commands(ssh, server):
    server.answers.clear()
    with pytest.raises(HangError, match=r"did not start .* within 1 s"):
        ssh.run(["true"], deadline=Deadline(SHORT))


def test_a_command_that_starts_between_two_looks_has_started(ssh, monkeypatch):
    monkeypatch.setattr("farm.guest.ssh.POLL_SECONDS", 0)  # all the time is between two looks
    for _ in range(20):
        ssh.run(["true"], deadline=Deadline(60))


def test_the_guard_is_asked_while_a_command_starts(ssh, server, guard):
    server.answers.clear()
    threading.Timer(0.3, lambda: setattr(guard, "error", CrashError("oops"))).start()
    with pytest.raises(CrashError, match="oops"):
        ssh.run(["true"], deadline=Deadline(60))


def test_what_a_command_was_given_to_read_is_recorded_when_it_is_short(ssh, records):
    ssh.run(["cat"], deadline=Deadline(10), input=b"key\0")
    ssh.run(["wc", "-c"], deadline=Deadline(10), input=bytes(RECORDED_INPUT_BYTES + 1))
    assert base64.b64decode(records[0]["input"]) == b"key\0"
    assert records[1]["input_bytes"] == RECORDED_INPUT_BYTES + 1
    assert "input" not in records[1]


def test_every_command_is_recorded(ssh, records):
    ssh.run(["echo", "a b"], deadline=Deadline(10))
    assert records[-1]["command"] == "echo 'a b'"
    assert (records[-1]["status"], records[-1]["stdout"], "error" in records[-1]) == (0, "a b\n", False)


def test_put_and_get(ssh, tmp_path):
    content = os.urandom(300_000)
    remote = tmp_path / "re mote"
    ssh.put(content, str(remote), deadline=Deadline(10), mode=0o600)
    assert remote.read_bytes() == content
    assert remote.stat().st_mode & 0o777 == 0o600
    ssh.get(str(remote), tmp_path / "local", deadline=Deadline(10))
    assert (tmp_path / "local").read_bytes() == content


def test_get_leaves_nothing_when_it_fails(ssh, tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        ssh.get(str(tmp_path / "none"), tmp_path / "local", deadline=Deadline(10))
    assert not (tmp_path / "local").exists()


def test_put_of_a_missing_file(ssh, tmp_path):
    with pytest.raises(InfrastructureError, match="cannot read"):
        ssh.put(tmp_path / "none", "/dev/null", deadline=Deadline(10))


def test_stream_to_a_callback(ssh, records):
    lines = []
    job = ssh.stream("printf 'a\\r\\nb'; exit 4", lines.append)
    assert job.wait(Deadline(10), check=False).status == 4
    assert lines == ["a", "b"]
    assert job.stdout == "a\r\nb"
    assert records[-1]["stdout"] == "a\r\nb"
    with pytest.raises(CommandError):
        job.wait(Deadline(1))


def test_stream_as_an_iterator_arrives_while_it_runs(ssh):
    job = ssh.stream("echo one; sleep 60")
    assert next(job.lines(Deadline(10))) == "one"
    assert job.running
    job.stop(Deadline(10))
    assert not job.running


def test_stop_ends_it_on_the_other_side(ssh):
    job = ssh.stream("setsid sleep 60 & echo $!; wait")
    pid = int(next(job.lines(Deadline(10))))
    job.stop(Deadline(10))
    assert eventually(lambda: not lives(pid))
    assert job.wait(Deadline(1), check=False).status == -1
    assert list(job.lines(Deadline(1))) == []


def test_a_stream_that_outlasts_a_wait_runs_on(ssh):
    job = ssh.stream(["sleep", "60"])
    with pytest.raises(HangError, match="still runs"):
        job.wait(Deadline(0.2))
    with pytest.raises(HangError, match="still runs"):
        list(job.lines(Deadline(0.2)))
    assert job.running
    job.stop(Deadline(10))


def test_a_stream_that_never_pauses_does_not_outlast_a_wait_either(ssh):
    job = ssh.stream(["yes"])
    assert next(job.lines(Deadline(10))) == "y"
    with pytest.raises(HangError, match="`yes` still runs"):
        list(islice(job.lines(Deadline(0.05)), 1_000_000))
    job.stop(Deadline(10))


def test_lines_of_a_stream_that_has_ended_are_there_after_the_deadline(ssh):
    job = ssh.stream(["seq", "3"])
    job.wait(Deadline(10))
    assert list(job.lines(Deadline(0))) == ["1", "2", "3"]


def test_what_ends_a_stream_early_is_raised_to_whoever_waits(ssh, guard):
    job = ssh.stream(["sleep", "60"])
    guard.error = CrashError("oops")
    with pytest.raises(CrashError, match="oops"):
        job.wait(Deadline(10))
    with pytest.raises(CrashError, match="oops"):
        list(job.lines(Deadline(10)))


def test_a_callback_that_raises_ends_the_stream(ssh):
    def on_line(_):
        raise ValueError("parser")

    with pytest.raises(ValueError, match="parser"):
        ssh.stream("echo 1; sleep 60", on_line).wait(Deadline(10))


def test_the_pulse_of_a_guest_that_answers_stops_and_goes_on(connect, server, monkeypatch):
    monkeypatch.setattr("farm.guest.pulse.BEAT", 0.02)
    pulse = connect().pulse
    server.answers.clear()
    assert eventually(lambda: pulse.owing > 0.3, 5)
    server.answers.set()
    assert eventually(lambda: pulse.owing == 0, 5)
    assert not pulse.lost


def test_a_pulse_tells_a_lost_connection_from_a_closed_one(connect, server):
    lost, closed = connect(), connect()
    closed.close()
    server.hang_up()
    assert eventually(lambda: lost.pulse.lost, 5)
    assert not closed.pulse.lost


def test_many_commands_share_the_connection(ssh):
    jobs = [ssh.stream(["seq", str(1000 + number)]) for number in range(8)]
    assert [len(list(job.lines(Deadline(20)))) for job in jobs] == [1000 + number for number in range(8)]


def test_a_refused_key_is_no_fault_of_the_guest(connect, keys):
    key = keys["stranger"][0]
    with pytest.raises(InfrastructureError, match=rf"refuses the key {key}.* Remove {key.parent} and run `farm image`"):
        connect(client="stranger")


def test_a_key_that_cannot_be_read_is_no_fault_of_the_guest(connect, keys, monkeypatch, tmp_path):
    (tmp_path / "rubbish").write_text("no key\n")
    for path in (tmp_path / "none", tmp_path / "rubbish"):
        monkeypatch.setitem(keys, "client", (path, ""))
        with pytest.raises(InfrastructureError, match=rf"cannot read the ssh key {path}"):
            connect(seconds=SHORT)


def test_another_host_key_is_not_accepted(connect):
    with pytest.raises(InfrastructureError, match="Something else than the guest"):
        connect(host="stranger")


def test_nobody_listens(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionLostError, match="did not answer within 1 s"):
        connect(port=port, seconds=SHORT)


def test_somebody_listens_and_never_speaks(connect, guard):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(ConnectionLostError, match="did not answer within 1 s"):
            connect(port=port, seconds=SHORT)
        threading.Timer(0.3, lambda: setattr(guard, "error", CrashError("panic"))).start()
        with pytest.raises(CrashError):
            connect(port=port, seconds=60)


def test_somebody_speaks_ssh_and_then_nothing(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            stream, _ = listener.accept()
            stream.sendall(b"SSH-2.0-none\r\n")
            time.sleep(3)
            stream.close()

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(ConnectionLostError, match="did not answer within 1 s"):
            connect(port=listener.getsockname()[1], seconds=SHORT)


def test_the_guard_ends_waiting_for_sshd(connect, guard):
    guard.error = CrashError("panic")
    with pytest.raises(CrashError):
        connect(port=1, seconds=60)
