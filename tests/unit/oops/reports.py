"""Short reports to cut, mix and spoil in tests; made up, in the formats of 6.12."""

KASAN = """\
==================================================================
BUG: KASAN: slab-use-after-free in crypt_dec_pending+0x3b/0x120
Read of size 8 at addr ffff888004c1a408 by task kworker/u8:3/57

CPU: 1 UID: 0 PID: 57 Comm: kworker/u8:3 Not tainted 6.12.117-farm #1
Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2
Workqueue: kcryptd/253:0 kcryptd_crypt
Call Trace:
 <TASK>
 dump_stack_lvl+0x5e/0x80
 print_report+0x174/0x4f0
 kasan_report+0xd1/0x110
 crypt_dec_pending+0x3b/0x120
 kcryptd_crypt_read_convert+0x1f2/0x240
 process_one_work+0x36a/0x780
 worker_thread+0x2c1/0x5d0
 kthread+0x182/0x1c0
 ret_from_fork+0x31/0x60
 ret_from_fork_asm+0x1a/0x30
 </TASK>

Freed by task 57:
 kasan_save_stack+0x33/0x60
 kfree+0xe1/0x2a0
 crypt_endio+0x5f/0x130

==================================================================
"""

HUNG = """\
INFO: task kworker/u8:3:57 blocked for more than 122 seconds.
      Not tainted 6.12.117-farm #1
"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
task:kworker/u8:3    state:D stack:0     pid:57    tgid:57    ppid:2      flags:0x00004000
Workqueue: kcryptd/253:0 kcryptd_crypt
Call Trace:
 <TASK>
 __schedule+0x3f1/0xa20
 schedule+0x27/0xd0
 io_schedule+0x46/0x70
 blk_mq_get_tag+0x11c/0x2b0
 __blk_mq_alloc_requests+0x1c2/0x3a0
 blk_mq_submit_bio+0x3fb/0x720
 submit_bio_noacct_nocheck+0x2a5/0x3c0
 crypt_convert+0xf31/0x1120
 </TASK>
"""

OOPS = """\
BUG: kernel NULL pointer dereference, address: 0000000000000010
#PF: supervisor read access in kernel mode
#PF: error_code(0x0000) - not-present page
PGD 0 P4D 0
Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI
CPU: 0 UID: 0 PID: 412 Comm: fio Tainted: G        W          6.12.117-farm #1
RIP: 0010:bio_integrity_prep+0x4c/0x1f0
Code: 8b 45 10 <48> 8b 40 10
RSP: 0018:ffffc90000a57a60 EFLAGS: 00010246
Call Trace:
 <TASK>
 ? __die_body.cold+0x19/0x27
 ? page_fault_oops+0x15a/0x2e0
 blk_mq_submit_bio+0x1f3/0x720
 submit_bio_noacct_nocheck+0x2a5/0x3c0
 __x64_sys_pwrite64+0x93/0xc0
 do_syscall_64+0x82/0x190
 entry_SYSCALL_64_after_hwframe+0x76/0x7e
RIP: 0033:0x7f2d3c1a0b4f
 </TASK>
---[ end trace 0000000000000000 ]---
Kernel panic - not syncing: Fatal exception
"""

STALL = """\
rcu: INFO: rcu_preempt self-detected stall on CPU
rcu: 	1-....: (5249 ticks this GP) idle=2cec/1/0x4000000000000000 softirq=601/601 fqs=1312
rcu: 	(t=5250 jiffies g=-219 q=2 ncpus=2)
CPU: 1 UID: 0 PID: 412 Comm: dmsetup Not tainted 6.12.117-farm #1
RIP: 0010:dm_table_event+0x12/0x40
Call Trace:
 <IRQ>
 rcu_sched_clock_irq+0x3a4/0xb40
 update_process_times+0x6b/0xa0
 tick_nohz_handler+0x8c/0x140
 __hrtimer_run_queues+0x105/0x2d0
 hrtimer_interrupt+0xf4/0x390
 __sysvec_apic_timer_interrupt+0x53/0x110
 sysvec_apic_timer_interrupt+0x66/0x80
 </IRQ>
 <TASK>
 asm_sysvec_apic_timer_interrupt+0x1a/0x20
RIP: 0010:dm_table_event+0x12/0x40
 dev_status+0x33/0xa0
 ctl_ioctl+0x1c9/0x3e0
 dm_ctl_ioctl+0xa/0x10
 __x64_sys_ioctl+0x91/0xd0
 do_syscall_64+0x82/0x190
 entry_SYSCALL_64_after_hwframe+0x76/0x7e
 </TASK>
"""

ALL = {"kasan": KASAN, "hung-task": HUNG, "oops": OOPS, "rcu-stall": STALL}


def stamped(text: str, *, caller: str = "", start: float = 12.0, level: str = "") -> str:
    """The report as a console with printk.time, and caller ids when one is given, shows it."""
    tag = f"[{caller:>6}]" if caller else ""
    lines = text.splitlines()
    return "".join(f"{level}[{start + index / 1000:12.6f}]{tag} {line}\n" for index, line in enumerate(lines))
