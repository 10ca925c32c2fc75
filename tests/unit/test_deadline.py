"""Deadlines and the pace."""

import pytest

from farm.deadline import Deadline, Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_remaining_falls_and_is_never_negative() -> None:
    clock = Clock()
    deadline = Deadline(5, clock=clock)
    assert (deadline.remaining(), deadline.expired) == (5, False)
    clock.now += 3
    assert (deadline.remaining(), deadline.expired) == (2, False)
    clock.now += 2
    assert (deadline.remaining(), deadline.expired) == (0, True)
    clock.now += 60
    assert deadline.remaining() == 0


def test_a_part_never_outlasts_the_whole() -> None:
    clock = Clock()
    whole = Deadline(5, clock=clock)
    assert whole.at_most(2).remaining() == 2
    clock.now += 4
    part = whole.at_most(2)
    assert part.remaining() == 1
    clock.now += 1
    assert part.expired


def test_sleep_ends_with_the_deadline() -> None:
    deadline = Deadline(0.05)
    assert deadline.sleep(0.01)
    assert not deadline.sleep(60)
    assert deadline.expired


def test_no_time_at_all_is_expired_at_once() -> None:
    assert Deadline(0).expired


def test_text_shows_what_is_left() -> None:
    assert repr(Deadline(5, clock=Clock())) == "Deadline(5.0 s of 5.0 s left)"


@pytest.mark.parametrize(("factor", "seconds"), [(1.0, 2.0), (4.5, 9.0)])
def test_the_pace_stretches_every_wait(factor: float, seconds: float) -> None:
    assert Pace(factor).seconds(2) == seconds
    assert Pace(factor).deadline(2).seconds == seconds
