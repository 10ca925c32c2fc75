"""Builds ahead of the runs that need them."""

from farm.qualify.ahead import Ahead
from farm.qualify.plan import Step


class Build:
    """A build that ends when the test says so."""

    def __init__(self, said: list[str], kernel: str) -> None:
        self.is_running = True
        self._said, self._kernel = said, kernel
        said.append(f"build {kernel}")

    def wait(self) -> None:
        self.is_running = False
        self._said.append(f"wait {self._kernel}")

    def stop(self) -> None:
        self._said.append(f"stop {self._kernel}")


def step(kernel: str, number: int = 1) -> Step:
    return Step(kernel, "test_a.py::test", "base", number)


def test_a_build_is_waited_for_only_by_the_runs_of_its_kernel() -> None:
    said: list[str] = []
    plan = [step("a", 1), step("a", 2), step("b"), step("c")]
    with Ahead(lambda one: Build(said, one.kernel)) as ahead:
        for place, one in enumerate(plan, 1):
            ahead.before(one, plan[place:])
            said.append(f"run {one.kernel} {one.number}")
    assert said == ["build b", "run a 1", "run a 2", "wait b", "build c", "run b 1", "wait c", "run c 1"]


def test_one_that_has_ended_makes_room_for_the_next() -> None:
    said: list[str] = []
    builds: list[Build] = []

    def start(one: Step) -> Build:
        builds.append(Build(said, one.kernel))
        return builds[-1]

    plan = [step("a", 1), step("a", 2), step("b"), step("c")]
    with Ahead(start) as ahead:
        ahead.before(plan[0], plan[1:])
        builds[0].is_running = False
        ahead.before(plan[1], plan[2:])
        assert said == ["build b", "wait b", "build c"]
    assert said[3:] == ["stop c", "wait c"]


def test_what_runs_is_ended_with_the_block() -> None:
    said: list[str] = []
    ahead = Ahead(lambda one: Build(said, one.kernel))
    with ahead:
        ahead.before(step("a"), [step("b")])
    assert said == ["build b", "stop b", "wait b"]
