"""The monitor over several boots of one machine."""

from farm.deadline import Deadline
from tests.unit.test_monitor import WARNING, monitor

__all__ = ["monitor"]

BOOT = (b"[    0.000000] Linux version 6.12.117-farm (root@host) #1\r\n"
        b"[    3.000000] Run /sbin/init as init process\r\nfarm-guest ready\r\n")


def test_a_boot_after_the_machine_was_switched_off_is_no_reboot(monitor):
    monitor.console(BOOT + b"[   10.000000] half a li")
    monitor.switched_off()
    monitor.console(BOOT)
    assert monitor.failure() is None
    monitor.console(BOOT)
    assert "started again" in str(monitor.failure())


def test_what_was_reported_before_the_machine_was_switched_off_counts(monitor):
    monitor.console(BOOT + WARNING[:-20])
    monitor.switched_off()
    monitor.console(BOOT)
    error = monitor.failure()
    assert "crypt_convert" in str(error)
    assert [one.kind for one in error.reports] == ["warning"]


def test_what_is_excused_in_one_boot_is_not_in_the_next(monitor):
    monitor.excuse = lambda finding: finding.kind == "warning"
    monitor.console(BOOT + WARNING)
    monitor.settle(Deadline(1))
    monitor.switched_off()
    assert monitor.failure() is None
    assert not monitor.tripped
    monitor.excuse = lambda _: False
    monitor.console(BOOT + WARNING)
    assert "crypt_convert" in str(monitor.failure())
    assert [one.suppressed for one in monitor.findings] == [True, False]


def test_a_report_of_a_second_boot_knows_its_place_in_the_console(monitor):
    before = BOOT + b"[   10.000000] half a li"
    monitor.console(before)
    monitor.switched_off()
    monitor.console(BOOT + WARNING)
    report = monitor.failure().reports[0]
    assert (BOOT + WARNING)[report.start - len(before):].startswith((b"[   10.000000]", b"[   10.000001]"))
