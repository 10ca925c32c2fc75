"""QMP, against a QEMU played by a thread."""

import json
import socket
import threading
import time

import pytest

from farm.deadline import Deadline
from farm.errors import InfrastructureError
from farm.guest.qmp import Qmp

GREETING = {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}


class FakeQemu:
    """Answers by a table; commands not in it are never answered."""

    def __init__(self, answers):
        self._answers = {"qmp_capabilities": {}, **answers}
        self._end, self.near = socket.socketpair()
        self.asked = []
        threading.Thread(target=self._serve, daemon=True).start()

    def say(self, message):
        self._end.sendall(json.dumps(message).encode() + b"\r\n")

    def _serve(self):
        self.say(GREETING)
        for request in self._requests():
            self.asked.append(request)
            answer = self._answers.get(request["execute"])
            same = {"id": request["id"]} if "id" in request else {}
            if isinstance(answer, Exception):
                self.say({"error": {"class": "GenericError", "desc": str(answer)}, **same})
            elif answer is not None:
                self.say({"return": answer, **same})

    def _requests(self):
        """The client puts nothing between its objects."""
        buffer = ""
        while data := self._end.recv(4096):
            buffer += data.decode()
            while buffer:
                try:
                    request, end = json.JSONDecoder().raw_decode(buffer)
                except json.JSONDecodeError:
                    break
                buffer = buffer[end:].lstrip()
                yield request

    def die(self):
        self._end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def qemu():
    return FakeQemu({
        "query-status": {"status": "running"}, "human-monitor-command": "RAX=0", "balloon": ValueError("no balloon")})


@pytest.fixture
def events():
    return []


@pytest.fixture
def qmp(qemu, events):
    connection = Qmp(qemu.near, events.append, Deadline(5))
    yield connection
    connection.close()


def test_execute(qmp, qemu):
    assert qmp.execute("query-status", deadline=Deadline(5)) == {"status": "running"}
    assert qmp.human("info registers -a", deadline=Deadline(5)) == "RAX=0"
    assert qemu.asked[-1]["arguments"] == {"command-line": "info registers -a", "cpu-index": 0}


def test_a_refusal_carries_qemus_words(qmp):
    with pytest.raises(InfrastructureError, match="refused `balloon`: no balloon"):
        qmp.execute("balloon", {"value": 1}, deadline=Deadline(5))


def test_a_qemu_that_does_not_answer(qmp):
    with pytest.raises(InfrastructureError, match=r"did not answer `stop` within 0\.2 s"):
        qmp.execute("stop", deadline=Deadline(0.2))
    assert qmp.execute("query-status", deadline=Deadline(5)) == {"status": "running"}


def test_a_qemu_that_ends_while_it_is_asked(qmp, qemu):
    threading.Timer(0.2, qemu.die).start()
    with pytest.raises(InfrastructureError, match="QEMU is gone"):
        qmp.execute("stop", deadline=Deadline(30))
    with pytest.raises(InfrastructureError, match="QEMU is gone"):
        qmp.execute("query-status", deadline=Deadline(5))


def test_events(qmp, qemu, events):
    qemu.say({"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-reset"},
              "timestamp": {"seconds": 10, "microseconds": 500000}})
    end = time.monotonic() + 10
    while not events and time.monotonic() < end:
        time.sleep(0.01)
    assert [(event.name, event.data["reason"], event.time) for event in events] == [("SHUTDOWN", "guest-reset", 10.5)]


def test_closing_twice_and_asking_afterwards(qmp):
    qmp.close()
    qmp.close()
    with pytest.raises(InfrastructureError, match="gone"):
        qmp.execute("query-status", deadline=Deadline(5))


def test_asking_at_the_moment_of_closing(qmp, monkeypatch):
    qmp.close()
    monkeypatch.setattr(qmp, "_thread", threading.current_thread())  # that is still there when it is looked at
    with pytest.raises(InfrastructureError, match="gone"):
        qmp.execute("query-status", deadline=Deadline(5))


def test_silence_instead_of_a_greeting():
    near, far = socket.socketpair()
    # Those of earlier tests may end meanwhile, so no count.
    before = set(threading.enumerate())
    with pytest.raises(InfrastructureError, match="did not answer `greet`"):
        Qmp(near, lambda _: None, Deadline(0.2))
    far.close()
    assert set(threading.enumerate()) <= before
