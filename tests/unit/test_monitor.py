"""The monitor on plain console text and a clock of the test's own; real kernels are in tests/e2e."""

import time

import pytest

from farm.deadline import Pace
from farm.errors import CrashError, HangError, InfrastructureError, VerificationError
from farm.liveness import Death
from farm.model import Extent, Finding
from farm.monitor import REPORT_SECONDS, VERDICT_SECONDS, Monitor
from farm.watchdogs import NO_PROGRESS
from tests.unit.host.owners import eventually

WARNING = b"""[   10.000000] ------------[ cut here ]------------
[   10.000001] WARNING: CPU: 0 PID: 77 at drivers/md/dm-crypt.c:1234 crypt_convert+0x1a/0x40
[   10.000002] CPU: 0 UID: 0 PID: 77 Comm: kworker/0:1 Not tainted 6.12.117-farm #1
[   10.000003] RIP: 0010:crypt_convert+0x1a/0x40
[   10.000004] Call Trace:
[   10.000005]  <TASK>
[   10.000006]  kcryptd_crypt+0x10/0x20
[   10.000007]  process_one_work+0x10/0x20
[   10.000008]  </TASK>
[   10.000009] ---[ end trace 0000000000000000 ]---
"""
PANIC_ON_WARN = b"[   10.100000] Kernel panic - not syncing: kernel: panic_on_warn set ...\n"
AEAD = b"[   11.000000] device-mapper: crypt: dm-0: INTEGRITY AEAD ERROR, sector 24\n"
CHECKSUM = b"[   11.100000] device-mapper: integrity: dm-1: Checksum failed at sector 0x18\n"
IO_ERROR = b"[   11.200000] Buffer I/O error on dev dm-0, logical block 3, async page read\n"
GUARD = b"[   11.300000] nvme0n1: Read(0x2) @ LBA 8, 1 blocks, End-to-end Guard Check Error (sct 0x2 / sc 0x82) \n"
OOM = b"""[   12.000000] stress-ng-vm invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE), order=0
[   12.000001] CPU: 0 UID: 0 PID: 80 Comm: stress-ng-vm Not tainted 6.12.117-farm #1
[   12.100000] Out of memory: Killed process 80 (stress-ng-vm) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB
"""


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def monitor():
    return Monitor(Pace(0.01))  # graces of ten milliseconds


def test_a_quiet_guest_has_no_failure(monitor):
    monitor.console(b"[    1.0] systemd is not here\r\nfarm-guest ready\r\n")
    assert monitor.failure() is None
    assert not monitor.tripped


def test_a_report_trips_and_names_the_failure(monitor):
    monitor.console(WARNING)
    error = monitor.failure()
    assert monitor.tripped
    assert isinstance(error, CrashError)
    assert "crypt_convert" in str(error)
    assert error.reports[0].kind == "warning"


def test_a_report_without_its_end_is_still_found(monitor):
    monitor.console(WARNING[:300])
    assert isinstance(monitor.failure(), CrashError)


def test_the_consequence_does_not_take_the_name(monitor):
    monitor.console(WARNING + PANIC_ON_WARN)
    assert "crypt_convert" in str(monitor.failure())


def test_a_line_does_not_take_the_name_of_the_report_that_it_stands_in(monitor):
    where = WARNING.index(b"[   10.000005]")
    monitor.console(WARNING[:where] + IO_ERROR)
    monitor.console(WARNING[where:])
    error = monitor.failure()
    assert "crypt_convert" in str(error)
    assert [one.kind for one in error.reports] == ["warning", "io-error"]


def test_the_guests_report_outranks_an_earlier_cause_from_outside(monitor):
    monitor.trip(InfrastructureError("ssh was lost"))
    monitor.console(WARNING)
    assert isinstance(monitor.failure(), CrashError)


def test_only_the_first_outside_cause_is_kept(monitor):
    monitor.trip(InfrastructureError("first"))
    monitor.trip(InfrastructureError("second"))
    assert str(monitor.failure()) == "first"


def test_an_unannounced_verification_error_fails(monitor):
    monitor.console(AEAD)
    error = monitor.failure()
    assert isinstance(error, VerificationError)
    assert error.reports[0].layer == "dm-crypt-aead"


def test_an_announced_verification_error_and_its_companions_pass(monitor):
    with monitor.expecting("dm-crypt-aead") as expectation:
        monitor.console(AEAD + IO_ERROR)
    assert [finding.sector for finding in expectation.seen] == [24]
    assert monitor.failure() is None
    assert monitor.findings


def test_announced_corruption_that_nobody_reports_fails(monitor):
    with pytest.raises(VerificationError, match="unnoticed: no report by dm-crypt-aead"), \
            monitor.expecting("dm-crypt-aead"):
        pass


def test_a_report_by_the_wrong_layer_fails(monitor):
    with pytest.raises(VerificationError, match=r"(?i)checksum"), monitor.expecting("dm-crypt-aead"):
        monitor.console(AEAD + CHECKSUM)


def test_a_crash_within_an_expectation_fails(monitor):
    with pytest.raises(CrashError), monitor.expecting("dm-crypt-aead"):
        monitor.console(AEAD + WARNING)


def test_an_expectation_ends_with_its_block(monitor):
    with monitor.expecting("dm-crypt-aead"):
        monitor.console(AEAD)
    monitor.console(AEAD)
    assert isinstance(monitor.failure(), VerificationError)


def test_oom_fails_unless_tolerated(monitor):
    monitor.console(OOM)
    assert isinstance(monitor.failure(), CrashError)
    tolerant = Monitor(Pace(0.01))
    tolerant.tolerate("oom")
    tolerant.console(OOM)
    assert tolerant.failure() is None


def test_a_guest_that_resets_itself_fails(monitor):
    monitor.event("RESET", {"guest": True, "reason": "guest-reset"})
    assert "rebooted" in str(monitor.failure())


def test_the_kernels_words_outrank_qemus_event_that_came_first(monitor):
    monitor.event("RESET", {"guest": True, "reason": "guest-reset"})
    monitor.console(b"[   12.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n")
    assert "kernel panic" in str(monitor.failure())


def test_a_reset_by_the_farm_is_no_finding(monitor):
    monitor.event("RESET", {"guest": False, "reason": "host-qmp-system-reset"})
    assert monitor.failure() is None


def test_no_progress_is_a_hang_and_progress_is_not(clock):
    monitor = Monitor(Pace(2.0), clock=clock)
    with monitor.workload("fio") as progress:
        for count in range(5):
            clock.now += NO_PROGRESS * 1.9
            progress(count)
            monitor.tick()
            assert not monitor.tripped
        clock.now += NO_PROGRESS * 2.1
        progress(4)  # the same count again
        monitor.tick()
        assert monitor.tripped
    assert monitor.findings[0].title == "no progress in fio"


def test_one_of_two_workloads_of_the_same_kind_hangs(clock):
    monitor = Monitor(Pace(1.0), clock=clock)
    with monitor.workload("fio"), monitor.workload("fio") as progress:
        clock.now += NO_PROGRESS - 1
        progress(1)
        clock.now += 2
        monitor.tick()
        assert monitor.tripped


def test_a_finished_workload_is_not_watched(clock):
    monitor = Monitor(Pace(1.0), clock=clock)
    with monitor.workload("fio"):
        pass
    clock.now += NO_PROGRESS * 10
    monitor.tick()
    assert not monitor.tripped


class Dying:
    """Liveness that has made up its mind."""

    def __init__(self, cause):
        self.cause = cause

    def event(self, name, now):
        pass

    def check(self, now, heard, pace):
        return Death(self.cause, now - 0.25)


@pytest.mark.parametrize(("cause", "error"), [
    (InfrastructureError("QEMU ended by signal 9 (SIGKILL)."), InfrastructureError),
    (Finding("silence", "silent freeze in lkdtm_HARDLOCKUP", function="lkdtm_HARDLOCKUP"), HangError),
])
def test_a_guest_that_is_gone(cause, error, clock):
    monitor = Monitor(Pace(0.01), clock=clock, liveness=Dying(cause))
    monitor.tick()
    monitor.tick()
    failure = monitor.failure()
    assert isinstance(failure, error)
    assert str(failure) == str(getattr(cause, "title", cause))
    assert len(monitor.findings) == (error is HangError)
    assert monitor.signalled == clock.now - 0.25


class Broken(Dying):
    """Liveness with a bug."""

    def check(self, now, heard, pace):
        raise ValueError("no such register")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_monitor_that_watches_no_more_ends_the_cell():
    with Monitor(Pace(0.01), liveness=Broken(None)) as monitor:
        assert eventually(lambda: monitor.tripped, 5)
        failure = monitor.failure()
    assert isinstance(failure, InfrastructureError)
    assert "no such register" in str(failure)


def test_the_signal_is_the_arrival_of_the_reports_first_bytes(clock):
    monitor = Monitor(Pace(0.01), clock=clock)
    monitor.console(b"[    9.0] all is well\n")
    for number, line in enumerate(WARNING.splitlines(keepends=True)):
        clock.now = 2000.0 + number / 10
        monitor.console(line)
    monitor.console(PANIC_ON_WARN)
    assert monitor.failure() is not None
    assert monitor.signalled == 2000.0


def test_a_report_on_a_console_that_never_falls_quiet_is_complete_in_time(clock):
    monitor = Monitor(Pace(10.0), clock=clock)
    monitor.console(WARNING[:300])
    begun = clock.now
    while not monitor.tripped and clock.now < begun + 60:
        clock.now += 0.1
        monitor.console(b"[   10.5]  some_function+0x1/0x2\n")
        monitor.tick()
    assert REPORT_SECONDS <= clock.now - begun <= REPORT_SECONDS + 0.3


def test_the_grace_ends_in_time_on_a_slow_guest(clock):
    monitor = Monitor(Pace(100.0), clock=clock)
    monitor.console(WARNING)
    clock.now += VERDICT_SECONDS - 0.3  # of which the report took its part
    began = time.monotonic()
    assert isinstance(monitor.failure(), CrashError)
    assert time.monotonic() - began < 2


def test_the_verdict_is_reached_once(monitor):
    monitor.console(AEAD)
    first = monitor.failure()
    monitor.console(WARNING)
    assert monitor.failure() is first


def test_no_progress_fails_as_a_hang():
    monitor = Monitor(Pace(0.0))
    with monitor.workload("fio"):
        monitor.tick()
        monitor.tick()
    assert isinstance(monitor.failure(), HangError)
    assert len(monitor.findings) == 1


LEAKED = b"[   13.000000] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)\n"


def test_a_hushed_kind_does_not_trip_while_it_is_asked_for(monitor):
    with monitor.hushed("memory-leak"):
        monitor.console(LEAKED)
    assert not monitor.tripped
    assert [finding.suppressed for finding in monitor.findings] == [True]
    with monitor.hushed("memory-leak"):
        pass
    monitor.console(WARNING)
    assert monitor.tripped


def test_a_kind_that_is_not_hushed_trips(monitor):
    with monitor.hushed("memory-leak"):
        pass
    monitor.console(LEAKED)
    assert monitor.tripped


def test_a_finding_from_another_source_fails_the_cell(monitor):
    monitor.report(Finding("memory-leak", "memory leak in crypt_ctr", "crypt_ctr"))
    assert isinstance(monitor.failure(), CrashError)
    assert monitor.signalled is not None


def at(sector, sectors=8, device="dm-0"):
    return lambda: (Extent(device, sector, sectors, frozenset({"dm-crypt-aead"})),)


def test_a_report_at_the_announced_place_passes(monitor):
    with monitor.expecting("dm-crypt-aead", at(24)) as expectation:
        monitor.console(AEAD + IO_ERROR)
    assert [finding.sector for finding in expectation.seen] == [24]
    assert monitor.expected == [{"announced": "dm-crypt-aead on dm-0, sectors 24 to 31",
                                 "reported": "dm-crypt-aead on dm-0, sector 24"}]


@pytest.mark.parametrize("places", [at(32), at(24, device="dm-5")])
def test_a_report_from_elsewhere_names_both_places(monitor, places):
    said = r"announced: dm-crypt-aead on dm-\d, sectors .*; reported: dm-crypt-aead on dm-0, sector 24"
    with pytest.raises(VerificationError, match=said), monitor.expecting("dm-crypt-aead", places):
        monitor.console(AEAD)
    assert monitor.tripped


def test_a_report_by_another_layer_names_both_layers(monitor):
    said = r"announced: dm-crypt-aead; reported: dm-integrity on dm-1, sector 24"
    with pytest.raises(VerificationError, match=said), monitor.expecting("dm-crypt-aead"):
        monitor.console(CHECKSUM)


def test_a_workloads_word_for_it_is_no_report_by_the_layer(monitor):
    wrong = VerificationError("fio read wrong data.", [Finding("verification", "f", layer="fio-verify", device="dm-0")])
    with pytest.raises(VerificationError, match="announced: dm-crypt-aead; reported: fio-verify on dm-0"), \
            monitor.expecting("dm-crypt-aead"):
        raise wrong


def test_a_companion_on_a_strange_device_fails(monitor):
    with pytest.raises(CrashError, match="Buffer I/O error on dm-0"), \
            monitor.expecting("dm-crypt-aead", at(24, device="dm-3")):
        monitor.console(IO_ERROR)


def test_blocks_become_sectors(monitor):
    monitor.block_of = {"nvme0n1": 4096}.get
    with monitor.expecting("pi-guard") as expectation:
        monitor.console(GUARD)
    assert [(finding.sector, finding.sectors) for finding in expectation.seen] == [(64, 8)]
