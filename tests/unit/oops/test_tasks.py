"""Tasks as a kernel shows them on request: who is blocked, what the CPUs run."""

from pathlib import Path

import pytest

from farm.oops.tasks import stuck

from . import reports

WRITERS = """\
[  124.439410] sysrq: Show Blocked State
[  124.440112] task:fio             state:D stack:0     pid:412   tgid:412   ppid:1      flags:0x00004002
[  124.440300] Call Trace:
[  124.440310]  <TASK>
[  124.440320]  __schedule+0x3fe/0xa80
[  124.440330]  schedule+0x27/0xf0
[  124.440340]  io_schedule+0x46/0x70
[  124.440350]  mempool_alloc_noprof+0x12c/0x1a0
[  124.440360]  crypt_map+0x1f2/0x2d0
[  124.440370]  __map_bio+0x5e/0x1a0
[  124.440380]  </TASK>
[  124.440390] task:kworker/u8:1    state:D stack:0     pid:48    tgid:48    ppid:2      flags:0x00004000
[  124.440400] Workqueue: writeback wb_workfn (flush-253:0)
[  124.440410] Call Trace:
[  124.440420]  <TASK>
[  124.440430]  __schedule+0x3fe/0xa80
[  124.440440]  schedule+0x27/0xf0
[  124.440450]  wait_on_buffer+0x20/0x30
[  124.440460]  ? ext4_stale+0x20/0x30
[  124.440470]  </TASK>
[  124.440480] task:sleeper         state:S stack:0     pid:500   tgid:500   ppid:1      flags:0x00004002
[  124.440490] Call Trace:
[  124.440500]  do_nanosleep+0x5e/0x1a0
"""
SECOND = WRITERS.replace("pid:412   tgid:412", "pid:413   tgid:413").replace("pid:48 ", "pid:49 ")
CPUS = """\
[  125.042115] sysrq: Show backtrace of all active CPUs
[  125.042762] NMI backtrace for cpu 0
[  125.043431] CPU: 0 UID: 0 PID: 91 Comm: bash Not tainted 6.12.117-farm #1
[  125.043729] Call Trace:
[  125.044923]  <IRQ>
[  125.045184]  dump_stack_lvl+0x53/0x70
[  125.046030]  nmi_cpu_backtrace+0xb7/0xf0
[  125.046111]  __handle_sysrq+0x98/0x180
[  125.046148]  serial8250_handle_irq.part.0+0x175/0x3b0
[  125.046251]  common_interrupt+0x78/0xa0
[  125.046444]  </IRQ>
[  125.046471]  <TASK>
[  125.046478]  asm_common_interrupt+0x26/0x40
[  125.046717] RIP: 0010:crypt_convert+0x17/0x20
[  125.047284]  crypt_endio+0x9/0x10
[  125.047537]  </TASK>
[  125.047696] Sending NMI from CPU 0 to CPUs 1-3:
[  125.053721] NMI backtrace for cpu 1
[  125.054294] CPU: 1 UID: 0 PID: 117 Comm: dd Tainted: G        W          6.12.117-farm #1
[  125.054698] RIP: 0010:mutex_lock+0x0/0x30
[  125.056481] Call Trace:
[  125.057088]  <TASK>
[  125.057199]  zswap_store+0x29e/0x810
[  125.057441]  swap_writepage+0xfa/0x240
[  125.057975] RIP: 0033:0x7ff0e89e92ad
[  125.153721] NMI backtrace for cpu 2
[  125.154294] CPU: 2 UID: 0 PID: 118 Comm: computes Not tainted 6.12.117-farm #1
[  125.154698] RIP: 0033:0x7ff0e89e92ad
[  125.253721] NMI backtrace for cpu 3
[  125.254294] CPU: 3 UID: 0 PID: 0 Comm: swapper/3 Not tainted 6.12.117-farm #1
[  125.254698] RIP: 0010:pv_native_safe_halt+0x17/0x20
[  125.354698]  do_idle+0x1d2/0x1f0
"""


def test_who_waits_where_the_most_first() -> None:
    assert [(one.state, one.function, one.tasks) for one in stuck(WRITERS + SECOND.replace("ext4", "xfs"))] == [
        ("blocked", "crypt_map", ("fio (412)", "fio (413)")),
        ("blocked", "", ("kworker/u8:1 (48)", "kworker/u8:1 (49)"))]


def test_asked_twice_a_task_is_counted_once() -> None:
    assert [one.tasks for one in stuck(WRITERS + WRITERS)] == [("fio (412)",), ("kworker/u8:1 (48)",)]


def test_a_cpu_in_the_kernel_says_where_it_was_met() -> None:
    """What the key itself runs on the CPU that was asked, computing in user space, and idling are nothing."""
    assert [(one.state, one.function, one.tasks) for one in stuck(CPUS)] == [
        ("running", "crypt_convert", ("bash (91)",)), ("running", "zswap_store", ("dd (117)",))]


def test_in_a_line() -> None:
    assert [str(one) for one in stuck(CPUS + WRITERS + SECOND)] == [
        "blocked in crypt_map: fio (412) and 1 more", "blocked: kworker/u8:1 (48) and 1 more",
        "running in crypt_convert: bash (91)", "running in zswap_store: dd (117)"]


def test_the_watchdogs_own_report_has_the_same_form() -> None:
    log = (Path(__file__).parents[2] / "golden/hung-task.log").read_text()
    assert [(one.state, bool(one.function)) for one in stuck(log)][:1] == [("blocked", True)]


@pytest.mark.parametrize("text", ["", "the kernel did not answer\n", "not collected: no answer within 8 s\n",
                                  "task: state: pid:\n", "\x1b[31mtask:a state:D stack:0 pid:1\n", reports.KASAN])
def test_what_is_no_answer_names_nobody_as_blocked_in_a_function(text: str) -> None:
    assert [one for one in stuck(text) if one.state == "blocked" and one.function] == []
