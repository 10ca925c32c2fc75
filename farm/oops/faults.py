"""First lines of what a CPU fault prints, and BUG()."""

from farm.oops.patterns import BAD_ACCESS, STACK, SYMBOL, Pattern

FAULTS = (
    # rust/kernel/lib.rs, panic
    Pattern(
        "rust-panic", "panic", ("panicked at",), r"rust_kernel: panicked at ", "{reason} in {function}", "bug",
    ),
    # kernel/cfi.c, report_cfi_failure; a trap or, where the kernel is permissive, a warning follows
    Pattern(
        "cfi", "warning", ("CFI failure",), rf"CFI failure at {SYMBOL} \(|CFI failure \(",
        "CFI failure in {function}", "warning",
    ),
    # lib/bug.c, __report_bug
    Pattern(
        "kernel-bug", "kernel-bug", ("ernel BUG at ",), r"\bkernel BUG at (?P<place>[^!]{0,500})!",
        "kernel BUG in {function}", "bug",
    ),
    Pattern(
        "kernel-bug-no-place", "kernel-bug", ("ernel BUG at ",),
        r"\b[Kk]ernel BUG at \S+ \[verbose debug info unavailable\]",
        "kernel BUG in {function}", "bug",
    ),
    # arch/riscv/kernel/traps.c handle_break, arch/arm64/kernel/traps.c bug_handler; arch/{mips,loongarch}, do_bp
    Pattern(
        "kernel-bug-bare", "kernel-bug", ("[#", "Oops - BUG"),
        r"\bKernel BUG \[#\d+\]|Oops - BUG\b|^Kernel bug detected ?\[#\d+\]",
        "kernel BUG in {function}", "bug",
    ),
    # arch/x86/mm/fault.c show_fault_oops (two lines since 5.2); arch/arm*/mm/fault.c die_kernel_fault;
    # arch/powerpc/mm/fault.c __bad_page_fault, with a capital
    Pattern(
        "null-deref", "oops", ("BUG: ", "nable to handle "),
        r"(?:BUG: |[Uu]nable to handle )(?:unable to handle )?[Kk]ernel NULL pointer dereference",
        "BUG: unable to handle kernel NULL pointer dereference in {function}", "fault", BAD_ACCESS,
    ),
    Pattern(
        "paging-request", "oops", ("nable to handle ",),
        r"[Uu]nable to handle (?:kernel )?(?:paging request|page fault)",
        "BUG: unable to handle kernel paging request in {function}", "fault", BAD_ACCESS,
    ),
    # arch/arm64/mm/fault.c __do_kernel_fault, do_page_fault; arch/riscv/mm/fault.c no_context
    Pattern(
        "access-request", "oops", ("nable to handle ",),
        r"[Uu]nable to handle kernel (?P<how>access to user memory|read from unreadable memory|"
        r"write to read-only memory|"
        r"execut\w+ (?:from|of) \S+ memory)",
        "BUG: unable to handle kernel {how} in {function}", "fault", BAD_ACCESS,
    ),
    # arch/s390/mm/fault.c, do_no_context
    Pattern(
        "s390-fault", "oops", ("nable to handle ",),
        r"Unable to handle kernel pointer dereference in virtual kernel address space",
        "BUG: unable to handle kernel pointer dereference in {function}", "fault", BAD_ACCESS,
    ),
    # arch/powerpc/mm/fault.c, __bad_page_fault and bad_kernel_fault
    Pattern(
        "powerpc-fault", "oops", ("nable to handle ",),
        r"BUG: Unable to handle (?:kernel|unknown) (?P<how>instruction fetch|[\w ]+?(?= at ))",
        "BUG: unable to handle kernel {how} in {function}", "fault", BAD_ACCESS,
    ),
    Pattern(
        "powerpc-access", "oops", ("Kernel attempted to",), r"Kernel attempted to \w+ user page",
        "BUG: unable to handle kernel access to user memory in {function}", "fault", BAD_ACCESS,
    ),
    # arch/x86/kernel/traps.c, exc_general_protection; userspace faults go on with ` ip:`
    Pattern(
        "gpf", "gpf", ("[#", "general protection fault"),
        r"general protection fault(?:, [\w -]{0,100})?: [0-9a-f]{4}\b|"
        r"general protection fault[:,] .*\[#\d+\]|"
        r"general protection fault for non-canonical",
        "general protection fault in {function}", "fault", BAD_ACCESS,
    ),
    # arch/x86/kernel/traps.c, handle_stack_overflow
    Pattern(
        "guard-page", "stack-overflow", ("BUG: ",), r"BUG: (?:\S+ )?stack guard page was hit",
        "BUG: stack guard page was hit in {function}", "fault", STACK,
    ),
    # arch/x86/kernel/traps.c exc_double_fault, doublefault_32.c
    Pattern(
        "double-fault", "stack-overflow", ("PANIC: double", "[#"),
        r"PANIC: double fault|\bdouble fault: [0-9a-f]{4} \[#",
        "PANIC: double fault in {function}", "fault", STACK,
    ),
    # arch/arm64/kernel/traps.c panic_bad_stack, arch/riscv/kernel/traps.c handle_bad_stack, arch/s390/kernel/traps.c
    # kernel_stack_overflow; arch/powerpc/kernel/process.c, __show_regs
    Pattern(
        "bad-stack", "stack-overflow", ("Insufficient stack space", "Kernel stack overflow"),
        r"Insufficient stack space to handle exception|^Kernel stack overflow\b",
        "kernel stack overflow in {function}", "fault", STACK,
    ),
    # arch/x86/kernel/traps.c, do_error_trap and the exc_* handlers
    Pattern(
        "stack-segment", "oops", ("[#",), r"\bstack segment: [0-9a-f]{4}",
        "stack segment fault in {function}", "fault",
    ),
    Pattern(
        "divide-error", "oops", ("[#",), r"\bdivide[ _]error: [0-9a-f]{4}",
        "divide error in {function}", "fault",
    ),
    Pattern("int3", "oops", ("[#",), r"\bint3: [0-9a-f]{4} ", "int3 in {function}", "fault"),
    Pattern(
        "invalid-opcode", "oops", ("[#",), r"\binvalid opcode: [0-9a-f]{4} ",
        "invalid opcode in {function}", "fault",
    ),
    Pattern(
        "trap", "oops", ("[#",),
        r"\b(?P<how>alignment check|bounds|overflow|device not available|invalid TSS|segment not present|"
        r"coprocessor segment overrun|control protection|debug|simd exception|iret exception|machine check|"
        r"FPU exception|virtualization exception|exception in kernel mode): [0-9a-f]{4} .*\[#\d+\]",
        "{how} in {function}", "fault",
    ),
    # arch/x86/kernel/cet.c, do_kernel_cp_fault
    Pattern("endbr", "oops", ("Missing ENDBR",), r"Missing ENDBR: ", "control protection in {function}", "fault"),
    # arch/arm/mm/alignment.c do_alignment, arch/arm/mm/fault.c do_DataAbort and do_PrefetchAbort
    Pattern(
        "alignment-trap", "oops", ("Alignment trap: ",), r"Alignment trap: not handling instruction",
        "Alignment trap in {function}", "fault",
    ),
    Pattern(
        "unhandled-fault", "oops", ("Unhandled ",),
        r"\bUnhandled (?:fault|prefetch abort): ",
        "Unhandled fault in {function}", "fault", BAD_ACCESS,
    ),
    # arch/arm64/kernel/traps.c and debug-monitors.c
    Pattern(
        "unexpected-exception", "oops",
        ("Bad mode in", "Unhandled ", "SError Interrupt", "Unexpected kernel BRK"),
        r"\bBad mode in .* handler|Unhandled 64-bit el1h|SError Interrupt on CPU|"
        r"Unexpected kernel BRK exception at EL1",
        "unexpected exception in {function}", "fault",
    ),
    Pattern(
        "undefined-instruction", "oops", ("[#",),
        r"Oops - (?:undefined|illegal) instruction",
        "undefined instruction in {function}", "fault",
    ),
    # arch/*/kernel/traps.c, __die
    Pattern(
        "internal-error", "oops", ("[#",), r"\bInternal error: [^\[]*: [0-9a-f]+ \[#\d+\]",
        "Internal error in {function}", "fault", BAD_ACCESS,
    ),
    Pattern(
        "oops", "oops", ("[#",), r"\bOops(?: - [\w ()-]{1,80})?(?: ?\[#\d+\]|: .*\[#\d+\]|: Exception in kernel mode)",
        "Oops in {function}", "fault", BAD_ACCESS,
    ),
    # arch/s390/kernel/dumpstack.c, die, by the names of arch/s390/kernel/traps.c; arch/{mips,loongarch}/kernel/traps.c
    Pattern(
        "die", "oops", ("[#",),
        r"^(?:(?P<how>[A-Za-z][\w -]{2,60}): [0-9a-f]{4} ilc:\d |(?P<what>[A-Za-z][\w ,/-]{2,60})(?=\[#\d+\]:$))"
        r"\[#\d+\]",
        "{how}{what} in {function}", "fault",
    ),
    # kernel/panic.c __stack_chk_fail, kernel/sched/core.c schedule_debug
    Pattern(
        "stack-protector", "panic", ("Kernel panic",),
        r"(?<!end )Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: "
        r"(?:(?P<function>[A-Za-z_][\w.]*)\+0x)?",
        "kernel panic: stack is corrupted in {function}", "panic", STACK,
    ),
    Pattern(
        "stack-end", "panic", ("Kernel panic",),
        r"(?<!end )Kernel panic - not syncing: corrupted stack end detected inside scheduler",
        "kernel panic: corrupted stack end in {function}", "overflow", STACK,
    ),
    # Panics that no code is to blame for: init/do_mounts.c mount_root_generic, init/main.c kernel_init,
    # kernel/exit.c do_exit, drivers/tty/sysrq.c sysrq_handle_crash, mm/oom_kill.c out_of_memory; and those that
    # carry out a policy about an earlier report.
    Pattern(
        "panic-without-place", "panic", ("Kernel panic",),
        r"(?<!end )Kernel panic - not syncing: (?P<reason>(?:VFS: Unable to mount root|No working init|Requested init|"
        r"Attempted to kill|Out of memory|System is deadlocked|hung_task:|softlockup:|.*panic_on_).*)",
        "kernel panic: {reason}", "none",
    ),
    # kernel/panic.c, panic
    Pattern(
        "panic", "panic", ("Kernel panic",), r"(?<!end )Kernel panic - not syncing: (?P<reason>.*)",
        "kernel panic: {reason}", "panic",
    ),
)  # fmt: skip

