"""First lines of the sanitizers' reports."""

from farm.oops.patterns import BAD_ACCESS, SYMBOL, Pattern

SANITIZERS = (
    # mm/kasan/report.c, print_error_description; before 4.11 ` at addr` followed
    Pattern(
        "kasan", "kasan", ("BUG: ",),
        rf"BUG: KASAN: (?P<bug>double-free or invalid-free|[\w-]+(?: after free)?) (?:on address .* )?in {SYMBOL}",
        "KASAN: {bug} {access} in {function}", "access", ("{class} in {function}",),
    ),
    # mm/kasan/report.c, kasan_report_async
    Pattern(
        "kasan-async", "kasan", ("BUG: ",), r"BUG: KASAN: (?P<bug>[\w-]+)",
        "KASAN: {bug} {access} in {function}", "access", BAD_ACCESS,
    ),
    # kernel/kcsan/report.c, print_report
    Pattern(
        "kcsan", "kcsan", ("BUG: ",),
        r"BUG: KCSAN: (?P<bug>assert: race|[\w-]+(?: [\w-]+)?) in (?P<function>[\w.]+)(?:\+0x\S+)? / (?P<other>[\w.]+)",
        "KCSAN: {bug} in {function} / {other}", "header",
    ),
    Pattern(
        "kcsan-one", "kcsan", ("BUG: ",), rf"BUG: KCSAN: (?P<bug>assert: race|[\w-]+(?: [\w-]+)?) in {SYMBOL}",
        "KCSAN: {bug} in {function}", "header",
    ),
    # mm/kmsan/report.c, kmsan_report
    Pattern(
        "kmsan", "kmsan", ("BUG: ",), rf"BUG: KMSAN: (?P<bug>[\w-]+) in {SYMBOL}",
        "KMSAN: {bug} in {function}", "access", BAD_ACCESS,
    ),
    # mm/kfence/report.c, kfence_report_error
    Pattern(
        "kfence", "kfence", ("BUG: ",), rf"BUG: KFENCE: (?P<bug>[\w -]+?) in {SYMBOL}",
        "KFENCE: {bug} in {function}", "access", BAD_ACCESS,
    ),
    # lib/ubsan.c, ubsan_prologue; `Undefined behaviour in` before 5.9
    Pattern(
        "ubsan-old", "ubsan", ("UBSAN: ",), r"UBSAN: Undefined behaviour in \S+:\d+",
        "UBSAN: undefined-behaviour in {function}", "access",
    ),
    Pattern(
        "ubsan", "ubsan", ("UBSAN: ",), r"\bUBSAN: (?P<bug>[a-z][a-z-]+) in \S+:\d+",
        "UBSAN: {bug} in {function}", "access", BAD_ACCESS,
    ),
    # lib/ubsan.c, report_ubsan_failure, by trap (arch/arm64/kernel/traps.c, ubsan_handler)
    Pattern(
        "ubsan-trap", "ubsan", ("UBSAN: ",), r"(?:Internal error|Oops): .*UBSAN: (?P<bug>[\w -]+)",
        "UBSAN: {bug} in {function}", "fault",
    ),
)  # fmt: skip
