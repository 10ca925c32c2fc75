"""Reports of every kind that the farm's own guests have not shown yet, in the words of the kernel's sources."""

import pytest

from farm.model import Finding
from farm.oops import classify


def first(text: str) -> Finding:
    return classify(text.encode())[0]


KMEMLEAK = """\
unreferenced object 0xff11000004c1a400 (size 512):
  comm "dmsetup", pid 231, jiffies 4294677312
  hex dump (first 32 bytes):
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
  backtrace (crc 4a1f0e5c):
    __kmalloc_cache_noprof+0x263/0x2f0
    crypt_ctr+0x2d6/0x1c60
    dm_table_add_target+0x1c1/0x440
    table_load+0x134/0x3f0
unreferenced object 0xff11000004c1a800 (size 64):
  comm "kworker/u8:1", pid 31, jiffies 4294677412
  backtrace (crc 0):
    [<0000000081a0c2d1>] kstrdup+0x36/0x60
    [<0000000081a0c3d1>] bio_integrity_alloc+0x51/0x120
    [<0000000081a0c4d1>] nvme_setup_user_integrity+0x32/0x90
"""


def test_every_leaked_object_is_a_finding() -> None:
    found = classify(KMEMLEAK.encode())
    assert [one.function for one in found] == ["crypt_ctr", "nvme_setup_user_integrity"]
    assert [one.process for one in found] == ["dmsetup", "kworker/u8:1"]
    assert {one.kind for one in found} == {"memory-leak"}


def test_leaks_on_the_console_carry_a_prefix() -> None:
    console = "".join(f"[   60.0{number:05}] kmemleak: {line}\n" for number, line in enumerate(KMEMLEAK.splitlines()))
    found = classify(console.encode())
    assert [one.function for one in found] == ["crypt_ctr", "nvme_setup_user_integrity"]
    assert found[0].text.splitlines()[1] == '  comm "dmsetup", pid 231, jiffies 4294677312'


CIRCULAR = """\
======================================================
WARNING: possible circular locking dependency detected
6.12.117-farm #1 Not tainted
------------------------------------------------------
kswapd0/51 is trying to acquire lock:
ff11000004c1a958 (&q->elevator_lock){+.+.}-{3:3}, at: blk_mq_submit_bio+0x49a/0x1a10

but task is already holding lock:
ffffffff83a71428 (fs_reclaim){+.+.}-{0:0}, at: balance_pgdat+0x16c/0xac0

which lock already depends on the new lock.

the existing dependency chain (in reverse order) is:

-> #1 (fs_reclaim){+.+.}-{0:0}:
       fs_reclaim_acquire+0x72/0x100
       elv_register_queue+0xdb/0x260

-> #0 (&q->elevator_lock){+.+.}-{3:3}:
       __lock_acquire+0x1301/0x20c0
       __mutex_lock+0xa2/0xe10
       blk_mq_submit_bio+0x49a/0x1a10

stack backtrace:
CPU: 0 UID: 0 PID: 51 Comm: kswapd0 Not tainted 6.12.117-farm #1
Call Trace:
 <TASK>
 dump_stack_lvl+0x5e/0x80
 print_circular_bug+0x2d8/0x410
 check_noncircular+0x130/0x150
 __mutex_lock+0xa2/0xe10
 blk_mq_submit_bio+0x49a/0x1a10
 swap_writepage+0x12f/0x300
 </TASK>
"""


def test_a_deadlock_is_where_the_lock_was_wanted() -> None:
    found = first(CIRCULAR)
    assert (found.kind, found.title) == ("lockdep", "possible deadlock in blk_mq_submit_bio")
    assert [frame.function for frame in found.frames][-1] == "swap_writepage"
    assert found.process == "kswapd0"


def test_a_deadlock_in_tracing_is_of_the_lock_already_held() -> None:
    found = first(CIRCULAR.replace("at: blk_mq_submit_bio", "at: perf_trace_init"))
    assert found.function == "balance_pgdat"


WORKQUEUE = """\
BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 41s!
Showing busy workqueues and worker pools:
workqueue kcryptd/253:0: flags=0x2
  pwq 6: cpus=1 node=0 flags=0x0 nice=0 active=2 refcnt=3
    in-flight: 57:kcryptd_crypt for 41s
    pending: kcryptd_crypt
pool 6: cpus=1 node=0 flags=0x0 nice=0 hung=41s workers=3 idle: 31 12
"""
WORKER = """\
Showing backtraces of running workers in stalled CPU-bound worker pools:
pool 6:
task:kworker/1:2     state:R  running task     stack:0     pid:57    tgid:57    ppid:2      flags:0x00004000
Workqueue: kcryptd/253:0 kcryptd_crypt
Call Trace:
 <TASK>
 crypt_convert+0x4f1/0x1120
 kcryptd_crypt+0x3a1/0x4b0
 process_one_work+0x18e/0x340
 worker_thread+0x2c1/0x5d0
"""


@pytest.mark.parametrize("text", [WORKQUEUE, WORKQUEUE + WORKER])
def test_a_stuck_pool_is_named_after_its_work(text: str) -> None:
    found = first(text)
    assert (found.kind, found.title) == ("workqueue-lockup", "BUG: workqueue lockup in kcryptd_crypt")


ARM = """\
8<--- cut here ---
Unable to handle kernel NULL pointer dereference at virtual address 00000004
[00000004] *pgd=00000000
Internal error: Oops: 5 [#1] SMP ARM
Modules linked in: dm_crypt
CPU: 0 PID: 97 Comm: kworker/u4:2 Not tainted 6.1.0 #1
Hardware name: ARM-Versatile Express
PC is at crypt_page_free+0x1c/0x60 [dm_crypt]
LR is at crypt_free_buffer_pages+0x44/0x7c [dm_crypt]
pc : [<bf0028bd>]    lr : [<bf0028a1>]    psr: 60000013
Process kworker/u4:2 (pid: 97, stack limit = 0x9c4e0000)
 crypt_page_free [dm_crypt] from crypt_endio+0x58/0x8c [dm_crypt]
 crypt_endio from bio_endio+0x100/0x130
 bio_endio from blk_update_request+0x1a4/0x3c8
---[ end trace 0000000000000000 ]---
"""


def test_an_arm_oops() -> None:
    found = first(ARM)
    assert found.title == "BUG: unable to handle kernel NULL pointer dereference in crypt_page_free"
    assert (found.kind, found.process, found.kernel) == ("oops", "kworker/u4:2", "6.1.0")


ARM64 = """\
Unable to handle kernel paging request at virtual address dead000000000108
Mem abort info:
  ESR = 0x0000000096000044
Internal error: Oops: 0000000096000044 [#1] PREEMPT SMP
CPU: 1 PID: 412 Comm: fio Not tainted 6.12.0 #1
pstate: 60000005 (nZCv daif -PAN -UAO -TCO -DIT -SSBS BTYPE=--)
pc : __list_del_entry_valid_or_report+0x24/0xe0
lr : dm_io_dec_pending+0x44/0x1e0
Call trace:
 __list_del_entry_valid_or_report+0x24/0xe0 (P)
 dm_io_dec_pending+0x44/0x1e0
 clone_endio+0x7c/0x210
"""


def test_an_arm64_oops_in_a_helper_is_its_callers() -> None:
    assert first(ARM64).title == "BUG: unable to handle kernel paging request in dm_io_dec_pending"


SYMBOLIZED = """\
BUG: KASAN: slab-use-after-free in __list_del include/linux/list.h:195 [inline]
BUG: KASAN: slab-use-after-free in list_del include/linux/list.h:226 [inline]
BUG: KASAN: slab-use-after-free in crypt_free_pages drivers/md/dm-crypt.c:1700 [inline]
BUG: KASAN: slab-use-after-free in crypt_endio+0x3b/0x120 drivers/md/dm-crypt.c:1750
Write of size 8 at addr ffff888004c1a408 by task kworker/u8:3/57

Call Trace:
 kasan_report+0xd1/0x110 mm/kasan/report.c:601
 __list_del include/linux/list.h:195 [inline]
 list_del include/linux/list.h:226 [inline]
 crypt_free_pages drivers/md/dm-crypt.c:1700 [inline]
 crypt_endio+0x3b/0x120 drivers/md/dm-crypt.c:1750
 bio_endio+0x100/0x130 block/bio.c:1600
"""


def test_an_inlined_function_is_named() -> None:
    (found,) = classify(SYMBOLIZED.encode())
    assert found.title == "KASAN: slab-use-after-free Write in crypt_free_pages"
    frame = next(frame for frame in found.frames if frame.function == "crypt_free_pages")
    assert (frame.inlined, frame.place) == (True, "drivers/md/dm-crypt.c:1700")


INLINED_REGISTER = """\
general protection fault, probably for non-canonical address 0xdffffc0000000001: 0000 [#1] PREEMPT SMP KASAN
CPU: 0 PID: 412 Comm: fio Not tainted 6.12.0 #1
RIP: 0010:__read_once_size include/linux/compiler.h:188 [inline]
RIP: 0010:dm_table_io_done drivers/md/dm-table.c:90 [inline]
RIP: 0010:dm_submit_bio+0x4c/0x1f0 drivers/md/dm.c:1800
Call Trace:
 submit_bio_noacct+0x2a5/0x3c0 block/blk-core.c:700
"""


def test_an_inlined_register_is_read() -> None:
    assert first(INLINED_REGISTER).function == "dm_table_io_done"


JUMP_TO_NULL = """\
BUG: kernel NULL pointer dereference, address: 0000000000000000
#PF: supervisor instruction fetch in kernel mode
Oops: Oops: 0010 [#1] PREEMPT SMP
CPU: 0 UID: 0 PID: 79 Comm: fio Not tainted 6.12.0 #1
RIP: 0010:0x0
Code: Unable to access opcode bytes at 0xffffffffffffffd6.
Call Trace:
 <TASK>
 bio_integrity_verify_fn+0xea/0x150
 process_one_work+0x1c7/0x5c0
"""


def test_a_jump_to_null_is_its_callers() -> None:
    assert first(JUMP_TO_NULL).function == "bio_integrity_verify_fn"


@pytest.mark.parametrize(
    "line",
    [
        "WARNING: CPU: 0 PID: 412 at block/blk-mq.c:1034 blk_mq_end_request+0x2c1/0x300",
        "WARNING: block/blk-mq.c:1034 at blk_mq_end_request+0x2c1/0x300, CPU#0: fio/412",
        "WARNING: [!rq->q] block/blk-mq.c:1034 at blk_mq_end_request+0x2c1/0x300, CPU#0: fio/412",
        "WARNING: block/blk-mq.c:1034 at 0x0, CPU#0: fio/412",
    ],
)
def test_warnings_of_every_age(line: str) -> None:
    trace = (
        "CPU: 0 PID: 412 Comm: fio Not tainted 6.12.0 #1\nRIP: 0010:blk_mq_end_request+0x2c1/0x300\n"
        "Call Trace:\n nvme_irq+0x1/0x2\n"
    )
    found = first(f"------------[ cut here ]------------\n{line}\n{trace}---[ end trace 0 ]---\n")
    assert (found.title, found.process, found.start) == ("WARNING in blk_mq_end_request", "fio", 0)


def test_out_of_memory_without_a_victim_is_a_panic() -> None:
    text = """\
fio invoked oom-killer: gfp_mask=0x140cca, order=0, oom_score_adj=0
Call Trace:
 dump_stack_lvl+0x53/0x70
 dump_header+0x3e/0x1c0
Mem-Info:
Kernel panic - not syncing: System is deadlocked on memory
"""
    (found,) = classify(text.encode())
    assert (found.kind, found.title) == ("panic", "kernel panic: System is deadlocked on memory")
    assert found.start == 0


def test_a_stall_in_an_idle_cpu() -> None:
    text = """\
rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
rcu: 	1-...!: (0 ticks this GP) idle=a3e/0/0x0 softirq=3 fqs=1
NMI backtrace for cpu 1
CPU: 1 PID: 0 Comm: swapper/1 Not tainted 6.12.0 #1
RIP: 0010:default_idle+0xf/0x20
Call Trace:
 default_idle_call+0x30/0x100
 do_idle+0x200/0x240
 cpu_startup_entry+0x2a/0x30
"""
    assert first(text).kind == "rcu-stall"
    assert first(text).function


def test_a_callback_interrupting_a_system_call_owns_the_stall() -> None:
    text = """\
watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [fio:412]
CPU: 1 PID: 412 Comm: fio Not tainted 6.12.0 #1
RIP: 0010:_raw_spin_unlock_irqrestore+0x1d/0x40
Call Trace:
 <IRQ>
 dm_writecache_flush+0x11/0x22
 writecache_autocommit_timer+0x33/0x44
 call_timer_fn+0x24/0x130
 __run_timers+0x21a/0x2b0
 handle_softirqs+0xdc/0x2b0
 irq_exit_rcu+0x71/0x90
 sysvec_apic_timer_interrupt+0x66/0x80
 </IRQ>
 <TASK>
 asm_sysvec_apic_timer_interrupt+0x1a/0x20
RIP: 0010:blk_mq_submit_bio+0x1f3/0x720
 __x64_sys_pwrite64+0x93/0xc0
"""
    found = first(text)
    assert found.function == "writecache_autocommit_timer"
    assert "BUG: soft lockup in dm_writecache_flush" in found.alt_titles
