"""Signs of life as plain data on a clock of the test's own; real guests die in tests/e2e/test_monitor.py."""

from dataclasses import replace

import pytest

from farm.deadline import Pace
from farm.errors import HangError, InfrastructureError
from farm.guest.patient import Vital
from farm.guest.registers import Cpu
from farm.guest.shell import ConnectionLostError
from farm.liveness import AFTERMATH_SECONDS, STOPPED_SECONDS, Liveness
from farm.model import Finding
from farm.watchdogs import BOOT_SILENCE, FREEZE, HUNG_TASK, NO_PROGRESS, SILENCE

PACE = Pace(4.0)
RUNNING = Vital(started=0.0, state="S", switches=0, userspace=True)
ON = Cpu(0, 1, 2, interrupts=True, halted=False, user=False)
OFF = replace(ON, interrupts=False)


class Guest:
    """A patient whose signs are set by the test; `run` lets time pass until something is said of it."""

    def __init__(self):
        self.ending = ""
        self.signs = RUNNING
        self.seen = [ON]
        self.now = self.heard = 1000.0
        self.connected = True
        # Since when ssh owes an answer.
        self.asked = None
        self.liveness = Liveness(lambda: self)

    def vital(self):
        if self.signs is None or not self.connected:
            return self.signs
        return replace(self.signs, owing=0.0 if self.asked is None else self.now - self.asked)

    def cpus(self):
        return self.seen

    def stack(self, cpu, words):
        return []

    def run(self, seconds, step=0.2, each=lambda: None):
        """The death, and how long it took; None when nothing is said for so long."""
        begun = self.now
        while self.now < begun + seconds:
            self.now += step
            each()
            if death := self.liveness.check(self.now, self.heard, PACE):
                return death, self.now - begun
        return None


@pytest.fixture
def guest():
    return Guest()


def test_a_guest_that_answers_lives(guest):
    assert guest.run(3600, step=5) is None


def test_a_target_that_is_off_is_not_dead(guest):
    guest.signs = None
    assert guest.run(3600, step=5) is None


def test_qemu_ended(guest):
    guest.ending = "QEMU ended by signal 9 (SIGKILL)."
    death, took = guest.run(10)
    assert isinstance(death.cause, InfrastructureError)
    assert took < 1


@pytest.mark.parametrize("state", ["T", "t"])
def test_qemu_stopped(guest, state):
    guest.signs = replace(RUNNING, state=state)
    death, took = guest.run(60)
    assert isinstance(death.cause, InfrastructureError)
    assert STOPPED_SECONDS <= took <= STOPPED_SECONDS + 0.5


def test_qemu_stopped_and_continued_in_turns_is_slow(guest):
    """As one sees it who looks only while it is stopped: a duty cycle of one in ten."""
    def schedule():
        guest.signs = replace(RUNNING, state="T", switches=guest.signs.switches + 2)

    assert guest.run(600, each=schedule) is None


def test_cpus_stopped_over_qmp(guest):
    guest.liveness.event("STOP", guest.now)
    death, took = guest.run(60)
    assert isinstance(death.cause, InfrastructureError)
    assert STOPPED_SECONDS <= took <= STOPPED_SECONDS + 0.5


def test_a_snapshot_is_no_death(guest):
    guest.liveness.event("STOP", guest.now)
    assert guest.run(STOPPED_SECONDS - 0.5) is None
    guest.liveness.event("RESUME", guest.now)
    assert guest.run(60) is None


def test_a_guest_that_shut_itself_down_was_not_paused_by_somebody(guest):
    guest.liveness.event("SHUTDOWN", guest.now)
    guest.liveness.event("STOP", guest.now)
    assert guest.run(60) is None


def test_a_lost_connection_waits_for_a_better_reason(guest):
    guest.signs = replace(RUNNING, lost=True)
    assert guest.run(AFTERMATH_SECONDS - 0.2) is None
    guest.ending = "QEMU ended by signal 9 (SIGKILL)."
    assert isinstance(guest.run(10)[0].cause, InfrastructureError)


def test_a_lost_connection(guest):
    guest.signs = replace(RUNNING, lost=True)
    death, took = guest.run(10)
    assert isinstance(death.cause, ConnectionLostError)
    assert took <= 1


def test_a_freeze_is_named_before_other_silence(guest):
    guest.asked, guest.seen = guest.now, [OFF, replace(OFF, index=1)]
    death, took = guest.run(1000)
    assert isinstance(death.cause, Finding)
    assert (death.cause.kind, death.cause.title) == ("silence", "silent freeze")
    assert PACE.seconds(FREEZE) <= took <= PACE.seconds(FREEZE) + 0.5
    assert death.at <= guest.now


@pytest.mark.parametrize("life", ["one CPU", "now and then", "console", "answers"])
def test_what_is_no_freeze(guest, life):
    """Interrupts that come through, words on the console, or answers."""
    ticks = iter(range(10**6))
    guest.seen = [OFF, ON] if life == "one CPU" else [OFF]
    guest.asked = guest.now if life != "answers" else None

    def live():
        tick = next(ticks)
        if life == "now and then":
            guest.seen = [OFF] if tick % 50 else [ON]
        if life == "console" and tick % 10 == 0:
            guest.heard = guest.now

    assert guest.run(PACE.seconds(SILENCE) - 1, each=live) is None


def test_ssh_that_does_not_answer_while_the_console_lives(guest):
    guest.asked = guest.now

    def talk():
        guest.heard = guest.now

    death, took = guest.run(1000, each=talk)
    assert death.cause.title == "no answer over ssh"
    assert PACE.seconds(SILENCE) <= took <= PACE.seconds(SILENCE) + 0.5


def test_a_boot_that_says_nothing_more(guest):
    guest.signs, guest.connected = replace(RUNNING, userspace=False), False
    death, took = guest.run(1000)
    assert death.cause.title == "boot hung"
    assert PACE.seconds(BOOT_SILENCE) <= took <= PACE.seconds(BOOT_SILENCE) + 0.5


@pytest.mark.parametrize("userspace", [False, True])
def test_a_freeze_before_the_first_login(guest, userspace):
    guest.signs, guest.connected = replace(RUNNING, userspace=userspace), False
    guest.seen = [OFF]
    assert guest.run(1000)[0].cause.title == "silent freeze"


def test_a_quiet_console_before_the_first_login_is_no_death(guest):
    guest.connected = False
    assert guest.run(PACE.seconds(SILENCE) * 2) is None


def test_a_boot_begins_with_qemu_and_not_with_the_wait_for_room(guest):
    guest.now = 5000.0  # the console said nothing since 1000
    guest.signs, guest.connected = replace(RUNNING, started=5000.0, userspace=False), False
    assert guest.run(PACE.seconds(BOOT_SILENCE) - 1) is None


def test_a_qemu_that_answers_nothing_is_the_hosts_fault(guest):
    guest.asked, guest.seen = guest.now, None
    death, _ = guest.run(1000)
    assert isinstance(death.cause, InfrastructureError)
    assert not isinstance(death.cause, HangError)


def test_the_farm_waits_for_the_guests_own_watchdogs():
    assert HUNG_TASK * 1.25 < NO_PROGRESS < SILENCE
