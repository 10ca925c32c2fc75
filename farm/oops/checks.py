"""First lines of what the kernel finds when it checks itself: hangs, locks, state of memory, warnings."""

from farm.oops.patterns import STALL, SYMBOL, Pattern

# How lockdep begins its sentences, in one version or another.
SAYS = ("WARNING: ", "INFO: ", "BUG: ")

_HANGS = (
    # kernel/hung_task.c, check_hung_task; `can't die` in linux-next, `in I/O wait` since 6.18
    Pattern(
        "hung-task", "hung-task", ("INFO: ",),
        r"INFO: task (?P<process>.{1,64}?):\d+ (?:<\w+> )?"
        r"(?:blocked (?:for|in I/O wait for)|can't die for) more than \d+ seconds",
        "INFO: task hung in {function}", "hung", ("hang in {function}",),
    ),
    # kernel/rcu/tree_stall.h, tree_exp.h, tasks.h; without `rcu: ` before 4.20
    Pattern(
        "rcu-stall", "rcu-stall", ("INFO: ",),
        r"INFO: s?rcu\w* (?:self-)?detected (?:expedited )?stalls?\b",
        "INFO: rcu detected stall in {function}", "stall", STALL,
    ),
    Pattern(
        "rcu-starved", "rcu-stall", ("kthread starved",), r"\brcu_\w+ kthread starved for \d+ jiffies",
        "INFO: rcu detected stall in {function}", "stall", STALL,
    ),
    # kernel/watchdog.c, watchdog_timer_fn
    Pattern(
        "soft-lockup", "soft-lockup", ("BUG: ",),
        r"BUG: soft lockup(?: - |: )CPU#\d+ stuck for \d+s! \[(?P<process>.*):\d+\]",
        "BUG: soft lockup in {function}", "stall", STALL,
    ),
    # kernel/watchdog.c watchdog_hardlockup_check, `on cpu N` until 6.4; arch/powerpc/kernel/watchdog.c
    Pattern(
        "hard-lockup", "hard-lockup", ("LOCKUP",),
        rf"[Ww]atchdog detected hard LOCKUP|CPU \d+ (?:detected hard LOCKUP on|self-detected hard LOCKUP @ {SYMBOL})",
        "hard lockup in {function}", "stall", STALL,
    ),
    # kernel/workqueue.c, wq_watchdog_timer_fn
    Pattern(
        "workqueue-lockup", "workqueue-lockup", ("BUG: ",), r"BUG: workqueue lockup - pool",
        "BUG: workqueue lockup in {function}", "pool",
    ),
    # kernel/smp.c, csd_lock_wait_toolong
    Pattern(
        "csd", "other", ("CSD lock",), r"csd: (?:Detected non-responsive|Re-sending) CSD lock",
        "csd lock not released in {function}", "stall", STALL,
    ),
)  # fmt: skip

_CONTEXT = (
    # kernel/sched/core.c, __schedule_bug
    Pattern(
        "scheduling-while-atomic", "atomic-sleep", ("BUG: ",),
        r"BUG: scheduling while atomic: (?P<process>.*)/\d+/0x",
        "BUG: scheduling while atomic in {function}", "atomic",
    ),
    # kernel/sched/core.c, __might_resched
    Pattern(
        "sleeping-function", "atomic-sleep", ("BUG: ",),
        r"BUG: sleeping function called from invalid context",
        "BUG: sleeping function called from invalid context in {function}", "atomic",
    ),
    # lib/smp_processor_id.c, check_preemption_disabled
    Pattern(
        "preemptible", "atomic-sleep", ("BUG: ",), r"BUG: using (?P<how>\w+\(\)) in preemptible",
        "BUG: using {how} in preemptible code in {function}", "atomic",
    ),
    # kernel/sched/core.c, __cant_sleep and __cant_migrate
    Pattern(
        "assuming-atomic", "atomic-sleep", ("BUG: ",),
        r"BUG: assuming (?P<how>atomic|non migratable) context",
        "BUG: assuming {how} context in {function}", "atomic",
    ),
    # kernel/workqueue.c, process_one_work
    Pattern(
        "workqueue-leaked", "atomic-sleep", ("BUG: ",), r"BUG: workqueue leaked (?:atomic|lock)",
        "BUG: workqueue leaked atomic, lock or RCU in {function}", "work",
    ),
    # kernel/softirq.c, handle_softirqs
    Pattern(
        "softirq-leaked", "atomic-sleep", ("huh, entered softirq",), r"huh, entered softirq \d+ (?P<softirq>\w+) ",
        "softirq {softirq} left with another preempt count", "none", single=True,
    ),
)  # fmt: skip

# kernel/locking/lockdep.c; `[ INFO: ... ]` and `[ BUG: ... ]` before 4.11.
_LOCKS = (
    Pattern(
        "circular", "lockdep", SAYS, r"possible circular locking dependency detected",
        "possible deadlock in {function}", "lock",
    ),
    Pattern(
        "recursive", "lockdep", SAYS, r"possible recursive locking detected",
        "possible deadlock in {function}", "lock",
    ),
    Pattern(
        "irq-inversion", "lockdep", SAYS, r"possible irq lock inversion dependency detected",
        "possible deadlock in {function}", "lock",
    ),
    Pattern(
        "lock-order", "lockdep", SAYS, r"-safe -> \S*-unsafe lock order detected",
        "possible deadlock in {function}", "lock",
    ),
    Pattern(
        "inconsistent", "lockdep", SAYS, r"inconsistent (?:\{.*\} )?lock state",
        "inconsistent lock state in {function}", "lock",
    ),
    Pattern(
        "rcu-usage", "lockdep", SAYS, r"(?P<level>WARNING|INFO): suspicious RCU usage",
        "{level}: suspicious RCU usage in {function}", "trace",
    ),
    Pattern(
        "unbalance", "lockdep", SAYS, r"(?P<level>WARNING|BUG): bad unlock balance detected",
        "{level}: bad unlock balance in {function}", "trace",
    ),
    Pattern(
        "held-freed", "lockdep", SAYS, r"(?P<level>WARNING|BUG): held lock freed",
        "{level}: held lock freed in {function}", "lock",
    ),
    Pattern(
        "held-exit", "lockdep", SAYS,
        r"(?P<level>WARNING|BUG): (?:lock held when returning to user space|.*still has locks held)",
        "{level}: lock held when returning to user space in {function}", "held",
    ),
    Pattern(
        "wait-context", "lockdep", SAYS, r"BUG: Invalid wait context",
        "WARNING: locking bug in {function}", "trace", ("BUG: Invalid wait context in {function}",),
    ),
    Pattern(
        "nested-lock", "lockdep", SAYS,
        r"(?P<level>WARNING|BUG): (?P<how>Nested lock was not taken|bad contention detected|chain_key collision)",
        "{level}: {how} in {function}", "lock",
    ),
    Pattern(
        "non-static-key", "lockdep", ("INFO: ",), r"INFO: trying to register non-static key",
        "INFO: trying to register non-static key in {function}", "trace",
    ),
    Pattern("lockdep-limit", "lockdep", ("BUG: ",), r"BUG: (?P<what>MAX_\w+ too low!)", "BUG: {what}", "none"),
    Pattern(
        "lockdep-key", "lockdep", ("BUG: ",),
        r"BUG: (?:key .* (?:not in \.data|has not been registered)|looking up invalid subclass)",
        "BUG: lock key not registered in {function}", "trace",
    ),
    # kernel/locking/spinlock_debug.c, spin_dump and rwlock_bug
    Pattern(
        "spinlock", "kernel-bug", ("BUG: ",),
        r"BUG: (?P<how>(?:spinlock|rwlock) [A-Za-z ]+?) on CPU#",
        "BUG: {how} in {function}", "trace",
    ),
)  # fmt: skip

_STATE = (
    # fs/dcache.c, umount_check
    Pattern(
        "dentry-in-use", "other", ("BUG: ",),
        r"BUG: Dentry (?>.{0,400}? still in use ).{0,40}?\[(?P<mount>unmount of .{1,80}?)\]",
        "BUG: Dentry still in use in unmount", "none", ("BUG: Dentry still in use [{mount}]",),
    ),
    # mm/page_alloc.c bad_page, mm/memory.c print_bad_pte, mm/filemap.c filemap_unaccount_folio
    Pattern(
        "bad-page", "other", ("BUG: ",), r"BUG: (?P<how>Bad (?:page state|page map|page cache|swap \w+))\b",
        "BUG: {how} in {function}", "access",
    ),
    # kernel/fork.c, check_mm
    Pattern(
        "rss-counter", "other", ("BUG: ",), r"BUG: Bad rss-counter state(?: .*?\btype:(?P<type>\w+))?",
        "BUG: Bad rss-counter state {type}", "none", single=True,
    ),
    Pattern(
        "mm-counters", "other", ("BUG: ",), r"BUG: (?P<what>non-zero \w+) on freeing mm",
        "BUG: {what} on freeing mm", "none", single=True,
    ),
    # mm/slub.c, slab_bug; `kasan: bad access detected` is part of an old KASAN report
    Pattern(
        "slub", "other", ("BUG ",),
        r"^BUG (?P<cache>\S.{0,60}?) \((?:Not tainted|Tainted: [^)]*)\): (?!kasan:)"
        r"(?P<how>Objects remaining|[A-Za-z][a-z-]*(?: [A-Za-z][a-z-]*\b(?![^ .,(]))*)",
        "BUG: {how} in {function}", "access",
    ),
    # mm/slab.c, check_poison_obj, until 6.7; mm/slab_common.c, kmem_cache_destroy
    Pattern(
        "slab-corruption", "other", ("Slab corruption (", "Slab cache still has objects"),
        r"^(?:Slab corruption \(|kmem_cache_destroy \S+: Slab cache still has objects)",
        "slab corruption in {function}", "access",
    ),
    Pattern(
        "slub-track", "other", ("INFO: ",), rf"INFO: Freed in {SYMBOL} age=",
        "INFO: Freed in {function} age=NUM cpu=NUM pid=NUM", "header",
    ),
    # fs/super.c generic_shutdown_super, fs/open.c filp_flush
    Pattern(
        "busy-inodes", "other", ("VFS: ",), r"VFS: Busy inodes after unmount of",
        "VFS: Busy inodes after unmount (use-after-free)", "none",
    ),
    Pattern(
        "file-count", "other", ("VFS: ",), r"VFS: Close: file count is (?:0|zero)",
        "VFS: Close: file count is zero (use-after-free)", "none", single=True,
    ),
    # net/core/dev.c, netdev_wait_allrefs_any
    Pattern(
        "netdev-refs", "other", ("unregister_netdevice: waiting",),
        r"unregister_netdevice: waiting for \S+ to become free",
        "unregister_netdevice: waiting for DEV to become free", "none", single=True,
    ),
    # include/linux/rtnetlink.h, ASSERT_RTNL before 4.19
    Pattern(
        "rtnl", "warning", ("RTNL: assertion failed",), r"RTNL: assertion failed at ",
        "RTNL: assertion failed in {function}", "warning",
    ),
    # net/sched/sch_generic.c, dev_watchdog: with a warning until 6.4; the device may be the emulator's
    Pattern(
        "netdev-watchdog", "io-timeout", ("NETDEV WATCHDOG: CPU",),
        r"NETDEV WATCHDOG: CPU: \d+: transmit queue \d+ timed out",
        "NETDEV WATCHDOG: transmit queue timed out", "none", single=True, suppressed=True,
    ),
    # kernel/irq/spurious.c, __report_bad_irq
    Pattern("irq-nobody", "other", ("nobody cared",), r"irq \d+: nobody cared", "irq NUM: nobody cared", "none"),
    # mm/oom_kill.c, dump_header
    Pattern(
        "oom", "oom", ("invoked oom-killer",), r"(?P<process>\S.{0,63}?) invoked oom-killer: ",
        "out of memory: killed {victim}", "none",
    ),
    # mm/page_alloc.c, warn_alloc: callers are prepared for it
    Pattern(
        "page-allocation", "oom", ("page allocation failure",),
        r"(?P<process>\S.{0,63}?): page allocation failure: order:\d+",
        "page allocation failure in {function}", "access", suppressed=True,
    ),
    # mm/kmemleak.c, print_unreferenced and kmemleak_scan
    Pattern(
        "memory-leak", "memory-leak", ("unreferenced object", "BUG: "),
        r"unreferenced (?:percpu )?object (?:\(percpu\) )?0x[0-9a-f]+ \(size \d+\)|BUG: memory leak",
        "memory leak in {function}", "leak",
    ),
    Pattern(
        "memory-leak-count", "memory-leak", ("new suspected memory leaks",),
        r"kmemleak: \d+ new suspected memory leaks",
        "memory leak", "none", single=True,
    ),
    # arch/x86/kernel/unwind_frame.c unwind_next_frame; dumpstack_64.c get_stack_info
    Pattern(
        "stack-frame", "warning", ("WARNING: ",),
        r"WARNING: (?P<how>kernel stack (?:regs|frame pointer)) .* has bad (?P<register>'\w+' )?value",
        "WARNING: {how} has bad {register}value", "none", single=True,
    ),
    # arch/x86/kernel/unwind_orc.c, unwind_next_frame, until 5.10
    Pattern(
        "unwind-registers", "warning", ("WARNING: ",),
        r"WARNING: (?P<how>can't dereference (?:iret )?registers|can't access registers) at ",
        "WARNING: {how}", "none", single=True,
    ),
    Pattern(
        "stack-recursion", "warning", ("WARNING: ",), r"WARNING: stack recursion on stack type",
        "WARNING: stack recursion", "none", single=True,
    ),
)  # fmt: skip

_WARNINGS = (
    # kernel/panic.c, __warn; without `PID` before 3.19, file first since 6.17, condition before it since 6.18
    Pattern(
        "warning", "warning", ("WARNING: ",),
        r"WARNING: (?:CPU: \d+ )?(?:PID: -?\d+ )?at (?P<place>\S+:\d+|0x\w+|\S+\+0x\S+)"
        r" ?(?P<function>[A-Za-z_$<][\w$.<>:]*)?(?:\+0x[0-9a-f]+/0x[0-9a-f]+)?",
        "WARNING in {function}", "warning",
    ),
    Pattern(
        "warning-6.17", "warning", ("WARNING: ",),
        r"WARNING: (?:\[.{0,300}\] )?(?P<place>\S{1,200}:\d{1,9}) at "
        r"(?P<function>[A-Za-z_$<][\w$.<>:]{0,511}+)?\S{0,80}, CPU#\d{1,9}: (?P<process>.{0,64})/\d",
        "WARNING in {function}", "warning",
    ),
    # Any other sentence that the kernel itself calls a BUG.
    Pattern(
        "bug-text", "other", ("BUG: ",),
        r"^(?:[a-z][\w-]*: )?BUG: (?P<what>(?!.*unexpected failures)[A-Za-z][^\n]{3,120})",
        "BUG: {what}", "none",
    ),
    # A driver's own warning, which is about its device. Notices of mitigations (arch/x86/kernel/cpu/bugs.c), of
    # deprecated or experimental features, of file systems about their medium, and of userspace are not even that.
    Pattern(
        "driver-warning", "warning", ("WARNING: ",),
        r"^(?!XFS|EXT4|BTRFS|F2FS|NFSD|zonefs|.*(?:Spectre|Specul|itigat|deprecated|removed in|prohibited|xperimental|"
        r"kernel not compiled|recommended|See http|/\w+/|nsupported|Unprivileged))"
        r"(?P<device>[a-z]\w* [\w.:-]+): WARNING: (?P<what>[^\n]{8,160})",
        "WARNING: {what}", "none", single=True, suppressed=True,
    ),
    # A program on the console that died of its own doing.
    Pattern(
        "program", "other", ("goroutine ", "FAIL: ", "FATAL: "),
        r"^goroutine \d+ \[running\]:|^(?:\d{4}/\d\d/\d\d [\d:]+ )?(?P<what>[A-Z]{2,}(?:FAIL|FATAL): .*)",
        "userspace: {what}", "none", single=True, suppressed=True,
    ),
)  # fmt: skip

CHECKS = (*_HANGS, *_CONTEXT, *_LOCKS, *_STATE, *_WARNINGS)
