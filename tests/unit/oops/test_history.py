"""The first real report names the log; what follows from it is suppressed."""

import pytest

from farm.model import Finding
from farm.oops import classify

from . import reports


def _classify(*parts: str) -> list[Finding]:
    return classify("".join(parts).encode())


def _kinds(found: list[Finding]) -> list[tuple[str, bool]]:
    return [(one.kind, one.suppressed) for one in found]


def test_a_clean_log_has_no_finding() -> None:
    assert _classify("[    0.000000] Linux version 6.12.117-farm\n[    3.1] reboot: Power down\n") == []


@pytest.mark.parametrize(
    "reason",
    ["panic_on_warn set ...", "kernel: panic_on_warn set ...", "KASAN: panic_on_warn set ...",
     "Fatal exception in interrupt",
     "hung_task: blocked tasks", "softlockup: hung tasks", "RCU Stall", "Attempted to kill init! exitcode=0x0000000b"],
)  # fmt: skip
def test_a_panic_by_policy_is_a_consequence(reason: str) -> None:
    found = _classify(reports.stamped(reports.KASAN), f"[   12.100000] Kernel panic - not syncing: {reason}\n")
    assert _kinds(found) == [("kasan", False), ("panic", True)]


def test_the_same_panic_alone_is_the_report() -> None:
    found = _classify("[   12.100000] Kernel panic - not syncing: hung_task: blocked tasks\n")
    assert _kinds(found) == [("panic", False)]


def test_a_panic_of_its_own_is_not_a_consequence() -> None:
    found = _classify(
        reports.stamped(reports.KASAN),
        "[   99.000000] Kernel panic - not syncing: System is deadlocked on memory\n",
    )
    assert _kinds(found) == [("kasan", False), ("panic", False)]


def test_one_hang_has_one_title() -> None:
    stall = reports.stamped(reports.STALL, start=100)
    hung = reports.stamped(reports.HUNG, start=140)
    other = reports.stamped(reports.HUNG.replace("crypt_convert", "xfs_log_force"), start=141)
    assert _kinds(_classify(stall, hung, other)) == [("rcu-stall", False), ("hung-task", True), ("hung-task", True)]


def test_the_panic_that_prints_the_trace_of_an_old_warning_belongs_to_it() -> None:
    text = """\
WARNING: CPU: 0 PID: 3081 at mm/slab_common.c:971 kmalloc_slab+0x5d/0x70
Kernel panic - not syncing: panic_on_warn set ...

CPU: 0 PID: 3081 Comm: fio Not tainted 4.15.0 #1
Call Trace:
 dump_stack+0x194/0x257
 panic+0x1e4/0x41c
 __warn+0x1dc/0x200
 report_bug+0x211/0x2d0
 invalid_op+0x18/0x20
RIP: 0010:kmalloc_slab+0x5d/0x70
 __kmalloc+0x25/0x760
 relay_open_buf+0x31/0x50
 relay_open+0x50b/0xa70
"""
    (found,) = _classify(text)
    assert (found.kind, found.title) == ("warning", "WARNING: kmalloc bug in relay_open_buf")


def test_a_second_report_of_a_dead_kernel_is_suppressed() -> None:
    second = reports.OOPS.replace("Tainted: G        W ", "Tainted: G      D W ").replace("bio_integrity_prep", "dm_io")
    found = _classify(reports.stamped(reports.OOPS), reports.stamped(second, start=20))
    assert [one for one in _kinds(found) if one[0] == "oops"] == [("oops", False), ("oops", True)]


def test_a_repeated_report_is_suppressed() -> None:
    found = _classify(reports.stamped(reports.KASAN), reports.stamped(reports.KASAN, start=20))
    assert _kinds(found) == [("kasan", False), ("kasan", True)]


BANNER = "[    0.000000] Linux version 6.12.117-farm (farm@farm) #1 SMP\n"
INIT = "[    2.000000] Run /sbin/init as init process\n"


def test_a_different_banner_is_a_reboot() -> None:
    found = _classify(BANNER, BANNER.replace("6.12.117", "6.12.118"))
    assert _kinds(found) == [("reboot", False)]


def test_the_same_banner_before_init_is_a_replayed_log() -> None:
    assert _classify(BANNER, BANNER, INIT) == []


def test_the_same_banner_after_init_is_a_reboot() -> None:
    assert _kinds(_classify(BANNER, INIT, BANNER)) == [("reboot", False)]


def test_a_reboot_after_a_crash_is_its_consequence() -> None:
    found = _classify(BANNER, INIT, reports.stamped(reports.OOPS), BANNER)
    assert _kinds(found) == [("oops", False), ("panic", True), ("reboot", True)] or \
        _kinds(found) == [("oops", False), ("reboot", True)]


def test_every_sector_of_a_verification_error_is_told() -> None:
    line = "[   12.000000] device-mapper: integrity: dm-0: Checksum failed at sector 0x{:x}\n"
    found = _classify(*(line.format(number) for number in range(8)))
    assert [one.sector for one in found] == list(range(8))


def test_a_repeated_io_error_is_told_once() -> None:
    line = "[   12.000000] I/O error, dev nvme0n1, sector {} op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2\n"
    assert len(_classify(*(line.format(number) for number in range(1000)))) == 1


def test_a_flood_of_verification_errors_is_bounded() -> None:
    line = "[   12.000000] device-mapper: crypt: dm-0: INTEGRITY AEAD ERROR, sector {}\n"
    assert len(_classify(*(line.format(number) for number in range(2000)))) <= 256
