"""The console: drained without pause, matched by pexpect, harmless to a terminal."""

import socket
import threading
import time

import pytest

from farm.deadline import Deadline
from farm.guest.console import Console, ConsoleClosedError

READY = rb"farm-guest ready\r?\n"


class Guest:
    """QEMU's side of the socket."""

    def __init__(self, tmp_path, consumer=lambda _: None):
        self.end, near = socket.socketpair()
        self.console = Console(near, tmp_path / "console.log", consumer)

    def says(self, text):
        self.end.sendall(text)

    def quits(self):
        self.end.close()
        self.console.finish(Deadline(5))


@pytest.fixture
def heard():
    return []


@pytest.fixture
def guest(tmp_path, heard):
    guest = Guest(tmp_path, heard.append)
    yield guest
    guest.end.close()


def test_consumers_get_every_byte_in_order(guest, heard):
    guest.console.start()
    for number in range(1000):
        guest.says(b"%d " % number)
    guest.quits()
    assert b"".join(heard) == b"".join(b"%d " % number for number in range(1000))


def test_an_ear_hears_from_its_creation_on(guest):
    with guest.console.listen() as ear:
        guest.console.start()
        guest.says(b"[    2.1] farm-guest re")
        guest.says(b"ady\r\nmore")
        assert ear.wait_for(READY, Deadline(5))


def test_a_line_still_being_printed_does_not_match(guest):
    guest.console.start()
    with guest.console.listen() as ear:
        guest.says(b"farm-guest ready")
        assert not ear.wait_for(READY, Deadline(0.2))
        guest.says(b"\r\n")
        assert ear.wait_for(READY, Deadline(5))


def test_a_match_far_behind_much_noise(guest):
    guest.console.start()
    with guest.console.listen() as ear:
        noise = b"noise\r\n" * 300_000 + b"farm-guest ready\r\n"
        threading.Thread(target=guest.says, args=(noise,)).start()
        assert ear.wait_for(READY, Deadline(30))


def test_the_guard_ends_a_wait(guest):
    guest.console.start()
    began = time.monotonic()

    def guard():
        if time.monotonic() - began > 0.2:
            raise RuntimeError("enough")

    with guest.console.listen() as ear, pytest.raises(RuntimeError, match="enough"):
        ear.wait_for(READY, Deadline(60), guard)


def test_the_end_of_qemu_ends_a_wait(guest):
    guest.console.start()
    with guest.console.listen() as ear:
        guest.says(b"bye\r\n")
        guest.end.close()
        with pytest.raises(ConsoleClosedError):
            ear.wait_for(READY, Deadline(60))


def test_a_guest_is_never_held_up_by_an_ear_that_does_not_listen(guest, heard):
    with guest.console.listen():
        guest.console.start()
        guest.end.settimeout(10)
        guest.says(b"x" * 4_000_000)
        guest.quits()
    assert sum(map(len, heard)) == 4_000_000


def test_a_consumer_that_fails_is_heard_of_and_stops_nothing(tmp_path):
    def consumer(_):
        raise ValueError("monitor")

    guest = Guest(tmp_path, consumer)
    with guest.console.listen() as ear:
        guest.console.start()
        guest.says(b"one\r\n")
        guest.says(b"farm-guest ready\r\n")
        assert ear.wait_for(READY, Deadline(5))
    guest.end.close()
    with pytest.raises(ValueError, match="monitor"):
        guest.console.finish(Deadline(5))


def test_the_tail_is_short_and_cannot_move_a_cursor(guest):
    guest.console.log.write_bytes(b"old\r\n" * 1000 + b"a\x1b[2Jb\r\nlast \xff\r\n")
    shown = guest.console.tail(2)
    assert shown.splitlines() == ["a\\x1b[2Jb", "last \N{REPLACEMENT CHARACTER}"]


def test_the_tail_of_no_log_is_empty(guest):
    assert guest.console.tail() == ""


def test_keys_reach_the_guest(guest):
    guest.console.start()
    guest.console.type("w")
    assert guest.end.recv(10) == b"w"
