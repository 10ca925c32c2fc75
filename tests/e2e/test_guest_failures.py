"""Every way in which a guest can fail to be one, and whom it is blamed on."""

import json
import os
import re
import signal
import socket
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from farm.deadline import Deadline
from farm.errors import BootError, CrashError, FarmError, GuestError, HangError, InfrastructureError, UserError
from farm.guest import argv as guest_argv
from farm.guest.shell import CommandError
from farm.host import process
from farm.host.accel import KVM, PROBE_SECONDS, TCG, decide
from farm.host.workdir import Workdir
from farm.liveness import Liveness
from farm.monitor import Monitor
from farm.probe import boot as probe_boot
from farm.target import State
from tests.e2e.conftest import BOOTS
from tests.e2e.leftovers import bearers
from tests.unit.host.owners import Owner, eventually, lives

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


# -- guests that fail

def test_a_guest_that_resets_itself(boot):
    target = boot()
    with pytest.raises(CrashError, match="guest-reset"):
        target.run("echo b >/proc/sysrq-trigger; sleep 60")
    assert target.state is State.BROKEN
    with pytest.raises(CrashError, match="guest-reset"):  # the first cause, also afterwards
        target.run(["true"])
    assert "paused (shutdown)" in target.patient.human_monitor("info status", Deadline(5))


def test_the_monitor_ends_a_waiting_command(boot, accelerated):
    monitor = Monitor(accelerated.pace)
    target = boot(monitor=monitor)
    with monitor, pytest.raises(GuestError, match=r"panic|sysrq") as caught:
        target.run("echo c >/proc/sysrq-trigger; sleep 100")
    assert caught.value.reports
    assert "RIP=" in target.patient.human_monitor("info registers -a", Deadline(5))


def test_sysrq_is_answered_by_a_kernel_whose_userspace_is_dead(boot):
    target = boot()
    target.run("setsid sh -c 'sleep 0.5; pkill -STOP sshd; echo stopped >/dev/kmsg' >/dev/null 2>&1 &")
    assert eventually(lambda: b"stopped" in target.console_log.read_bytes(), 20)
    with pytest.raises(FarmError):
        target.patient.run(["true"], deadline=Deadline(1))
    target.patient.sysrq("m", Deadline(5))
    assert eventually(lambda: b"Mem-Info:" in target.console_log.read_bytes(), 20)


def test_a_killed_qemu_is_the_hosts_fault(boot):
    target = boot()
    os.kill(target.pid, signal.SIGKILL)
    with pytest.raises(InfrastructureError, match=r"signal 9 \(SIGKILL\)"):
        target.run(["sleep", "60"])
    assert not target.alive


def test_a_qemu_that_hangs_is_stopped_in_time(boot):
    target = boot()
    pid = target.pid
    os.kill(pid, signal.SIGSTOP)
    assert eventually(lambda: process.scheduling(pid)[0] == "T", 20)
    with pytest.raises(InfrastructureError, match=r"QEMU is stopped \(state T\)"):
        target.patient.human_monitor("info status", Deadline(5))
    target.stop()
    assert not lives(pid)


def test_a_late_command_is_ended_in_the_guest(boot):
    target = boot()
    with pytest.raises(HangError, match="did not end within 4 s"):  # in which it starts on a busy host, too
        target.run(["sleep", "4711"], deadline=Deadline(4))
    assert target.state is State.READY
    assert target.run("pgrep -f '[4]711'", check=False).stdout == ""


def test_a_failing_command(boot):
    target = boot()
    with pytest.raises(CommandError, match="No such file"):
        target.run(["ls", "/nope"])


def test_qemu_that_dies_at_once(make, tmp_path):
    target = make(kernel=tmp_path / "none")
    with pytest.raises(InfrastructureError, match=r"QEMU ended with status 1:\n.*could not open kernel file"):
        target.start()
    assert target.state is State.BROKEN
    assert not target.alive


def test_a_kernel_of_zeros(make, tmp_path):
    (tmp_path / "zeros").write_bytes(bytes(1 << 20))
    target = make(kernel=tmp_path / "zeros")
    with pytest.raises((BootError, InfrastructureError), match=r"did not get ready|QEMU ended"):
        target.start(Deadline(5))


def test_a_guest_without_userspace_says_why(make):
    target = make(replace(BOOTS, append=("init=/bin/false",)))
    with pytest.raises(BootError, match="panicked while it booted") as caught:
        target.start()
    assert str(target.console_log) in str(caught.value)
    assert "Attempted to kill init" in str(caught.value)


def test_a_guest_that_is_too_slow(make):
    target = make()
    with pytest.raises(BootError, match="did not get ready within 0 s"):
        target.start(Deadline(0.2))
    assert target.alive  # for evidence


class CrashingEmulator(Monitor):
    """Watches a guest whose QEMU crashes when its kernel looks for PCI devices, the first few times."""

    def __init__(self, pace, crashes):
        super().__init__(pace)
        self.crashes = crashes
        self.crashed = set()
        self.said = b""
        self.target = None

    def console(self, data):
        super().console(data)
        self.said += data
        if b"pci 0000:" in self.said and len(self.crashed) < self.crashes and self.target.pid not in self.crashed:
            self.said = b""
            self.crashed.add(self.target.pid)
            os.kill(self.target.pid, signal.SIGSEGV)


@pytest.fixture
def crashing(make, accelerated):
    """Makes targets whose QEMU crashes so many times."""
    def crashing(crashes):
        monitor = CrashingEmulator(accelerated.pace, crashes)
        monitor.target = make(monitor=monitor, acceleration=replace(accelerated, name=TCG))
        monitor.liveness = Liveness(lambda: monitor.target.patient, None)
        return monitor

    return crashing


def test_an_emulator_that_crashes_while_the_guest_boots_gets_another_try(crashing):
    with crashing(1) as monitor:
        monitor.target.start()
        assert monitor.target.run(["uname"]).stdout == "Linux\n"
    assert monitor.failure() is None
    assert "signal 11 (SIGSEGV)" in (monitor.target.directory / "qemu.log").read_text()


def test_an_emulator_that_crashes_twice_is_the_hosts_fault(crashing):
    with crashing(2) as monitor, pytest.raises(InfrastructureError, match=r"signal 11 \(SIGSEGV\)"):
        monitor.target.start()


# What a real kernel said when QEMU had lost a timer, from the stall on.
_LOG = (Path(__file__).parents[1] / "golden/rcu-stall-lost-timer.log").read_bytes()
LOST_TIMER = b"\n" + _LOG[_LOG.index(b"rcu: INFO: "):].replace(b"\n", b"\r\n")


class LosingEmulator(Monitor):
    """Watches a guest whose RCU says, while it boots, that a timer never fired; the first few times."""

    def __init__(self, pace, losses):
        super().__init__(pace)
        self.losses, self.armed = losses, True

    def switched_off(self):
        super().switched_off()
        self.armed = True

    def console(self, data):
        super().console(data)
        if self.armed and self.losses and b"pci 0000:" in data:
            self.losses, self.armed = self.losses - 1, False
            super().console(LOST_TIMER)


@pytest.mark.parametrize("losses", [1, 2])
def test_a_timer_that_is_lost_while_the_guest_boots_is_the_kernels_fault_the_second_time(make, accelerated, losses):
    with LosingEmulator(accelerated.pace, losses) as monitor:
        target = make(monitor=monitor, acceleration=replace(accelerated, name=TCG))
        with suppress(HangError):  # this guest is well, and may be ready before the report is complete
            target.start()
        assert isinstance(monitor.failure(), HangError if losses == 2 else type(None))
        assert [finding.suppressed for finding in monitor.findings] == [True, False][:losses]
        assert "lost a timer" in (target.directory / "qemu.log").read_text()


def test_a_guest_that_stops_while_it_boots(make):
    target = make(replace(BOOTS, append=("init=/bin/false", "panic=-1")))
    with pytest.raises(BootError, match=re.compile("panicked|stopped by itself")):
        target.start()


def test_a_refused_key(make, guest_image, tmp_path):
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (tmp_path / "key").write_bytes(key)
    with pytest.raises(InfrastructureError, match="sshd refuses the key"):
        make(image=replace(guest_image, key_file=tmp_path / "key")).start()


def test_another_host_key(make, guest_image):
    strange = f"ssh-ed25519 {'A' * 68}"
    with pytest.raises(InfrastructureError, match="Something else than the guest"):
        make(image=replace(guest_image, host_key=strange)).start()


def test_ssh_that_is_not_there(make):
    script = '"echo \'<2>farm-guest ready\' >/dev/kmsg; exec sleep 1000"'
    target = make(replace(BOOTS, append=("init=/bin/sh", "--", "-c", script)))
    with pytest.raises(BootError, match=r"ssh \(port [0-9]+ of this host\) did not answer within"):
        target.start(target.pace.deadline(5))


def test_a_port_in_use(make):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} of this host is in use"):
            make(ssh_port=port).start()


def test_a_chosen_port(boot):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert boot(ssh_port=port).run(["true"]).status == 0


# -- the farm killed

OWNER = """
import json
from pathlib import Path
from farm.host.accel import Acceleration
from farm.image import GuestImage
from farm.model import Machine, Namespace
from farm.target import Target

given = json.loads({given!r})

class Watch:
    tripped = False
    heard = b""
    def failure(self): return None
    def event(self, name, data): pass
    def console(self, data):
        self.heard += data
        if given["when"] == "boot" and b"Linux version" in self.heard:
            given["when"] = "booting"
            print("true", flush=True)

target = Target(
    kernel=Path(given["kernel"]), directory=Path(given["directory"]), monitor=Watch(),
    image=GuestImage(Path(given["image"]), "", Path(given["key"]), given["host_key"]),
    machine=Machine(memory_mib=512, namespaces=(Namespace("data"),)),
    acceleration=Acceleration(given["accelerator"], "", 4.0))
target.start()
if given["when"] == "ready":
    print("true", flush=True)
    target.run(["sleep", "600"])
"""


@pytest.mark.parametrize("when", ["boot", "ready"])
def test_nothing_survives_a_killed_farm(when, bzimage, guest_image, accelerated, tmp_path):
    cell, scratch = tmp_path / "cell", tmp_path / "tmp"
    cell.mkdir()
    scratch.mkdir()
    given = {
        "kernel": str(bzimage), "image": str(guest_image.path), "key": str(guest_image.key_file), "when": when,
        "host_key": guest_image.host_key, "accelerator": accelerated.name, "directory": str(cell)}
    owner = Owner(OWNER.format(given=json.dumps(given)), scratch)
    assert owner.said() is True
    assert len(bearers(scratch)) >= 3  # the farm, its janitor, QEMU
    assert owner.left()
    owner.process.kill()
    owner.process.wait()
    assert eventually(lambda: not bearers(scratch))
    assert eventually(lambda: not owner.left())


# -- the accelerator

def test_an_accelerator_that_never_boots_ends_in_emulation(bzimage, guest_image, tmp_path, monkeypatch):
    """As on hosts where /dev/kvm opens, the firmware runs and Linux never does: here a machine that is not started."""
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setitem(guest_argv.ACCELERATORS, KVM, (*guest_argv.ACCELERATORS[TCG], "-S"))
    found = decide("auto", partial(probe_boot, kernel=bzimage, image=guest_image), Workdir(tmp_path), device)
    assert found.name == TCG
    assert f"did not get ready within {PROBE_SECONDS[KVM]:.0f} s" in found.reason
    assert found.boot_seconds > 0
    assert found.tsc_khz > 100_000


def test_the_accelerator_of_this_host_is_remembered(accelerated, workdir):
    again = decide("auto", lambda *_: pytest.fail("asked again"), workdir)
    assert again == accelerated


def test_a_full_disk_of_the_host_is_the_hosts_fault(boot, monkeypatch):
    """The guest sees failed writes; that the disk is full is played, because filling a real one hurts everybody."""
    target = boot()
    monkeypatch.setattr("farm.target.LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(InfrastructureError, match="The disk of this host is full"):
        target.run(["false"])
    assert target.state is State.BROKEN
