import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from farm.bisect.builds import Builds
from farm.bisect.values import Build, Seen
from tests.unit.host.owners import eventually


class Slow:
    """Builds when it is let; remembers the order."""

    def __init__(self):
        self.order, self.stopped, self.began = [], [], threading.Semaphore(0)
        self.gates = {}
        self.lock = threading.Lock()

    def gate(self, commit):
        with self.lock:
            return self.gates.setdefault(commit, threading.Event())

    def build(self, commit, *, ahead):
        self.order.append((commit, ahead))
        self.began.release()
        assert self.gate(commit).wait(20)
        if commit in self.stopped:
            self.gates.pop(commit)
            self.stopped.remove(commit)
            return Build(seen=Seen.STOPPED)
        return Build(digest=commit)

    def stop_build(self, commit):
        self.stopped.append(commit)
        self.gate(commit).set()


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def builds(slow):
    builds = Builds(slow)
    yield builds
    builds.close()


def test_what_was_built_ahead_is_there_at_once(builds, slow):
    slow.gate("a").set()
    builds.ahead(["a"])
    assert slow.began.acquire(timeout=20)
    assert builds.get("a").digest == "a"
    assert slow.order == [("a", True)]


def test_what_is_waited_for_goes_before_what_may_be_asked(builds, slow):
    builds.ahead(["a", "b"])
    assert slow.began.acquire(timeout=20)
    slow.gate("c").set()
    assert builds.get("c").digest == "c"  # `a` was stopped for it
    assert slow.order[:2] == [("a", True), ("c", False)]


def test_a_build_that_is_under_way_is_not_stopped_when_it_is_asked_for(builds, slow):
    builds.ahead(["a"])
    assert slow.began.acquire(timeout=20)
    threading.Timer(0.1, slow.gate("a").set).start()
    assert builds.get("a").digest == "a"
    assert slow.order == [("a", True)]


def test_what_nobody_needs_any_more_is_not_built(builds, slow):
    waiting = ThreadPoolExecutor(2)
    first = waiting.submit(builds.get, "a")
    assert slow.began.acquire(timeout=20)
    second = waiting.submit(builds.get, "b")
    assert eventually(lambda: "b" in builds._wanted)
    builds.drop("b")
    assert second.result(20).seen is Seen.STOPPED
    builds.drop("a")
    assert first.result(20).seen is Seen.STOPPED
    assert slow.order == [("a", False)]


def test_what_was_begun_ahead_is_not_begun_anew_when_nobody_needs_it_any_more(builds, slow):
    builds.ahead(["a", "b"])
    assert slow.began.acquire(timeout=20)
    waiting = ThreadPoolExecutor(1).submit(builds.get, "a")
    assert eventually(lambda: "a" in builds._wanted)
    builds.drop("b")
    builds.drop("a")
    assert waiting.result(5).seen is Seen.STOPPED
    slow.gate("c").set()
    assert builds.get("c").digest == "c"
    assert slow.order == [("a", True), ("c", False)]


def test_a_host_that_failed_is_asked_again(builds, slow, monkeypatch):
    answers = iter([Build(error="disk full", seen=Seen.HOST), Build(digest="a")])
    monkeypatch.setattr(slow, "build", lambda commit, *, ahead: next(answers))
    assert builds.get("a").seen is Seen.HOST
    assert builds.get("a").digest == "a"


def test_what_building_raises_reaches_whoever_waits(builds, slow, monkeypatch):
    def build(commit, *, ahead):
        raise OSError("gone")

    monkeypatch.setattr(slow, "build", build)
    with pytest.raises(OSError, match="gone"):
        builds.get("a")
