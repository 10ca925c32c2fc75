"""Reports of architectures whose consoles the farm has no real ones of, in the words of the kernel's sources.

A fault is announced in one line and its trace follows others, each in an architecture's own words: one report all the
same, named after the function that the registers point at.
"""

import pytest

from farm.oops import classify

_CPU = "CPU: 0 UID: 0 PID: 412 Comm: fio Not tainted 6.12.0 #1\n"

# arch/s390/mm/fault.c do_no_context, kernel/dumpstack.c die and show_regs
S390 = f"""\
Unable to handle kernel pointer dereference in virtual kernel address space
Failing address: 0000000000000000 TEID: 0000000000000483
Fault in home space mode while using kernel ASCE.
Oops: 0004 ilc:2 [#1] SMP
{_CPU}Hardware name: IBM 8561 T01 703 (LPAR)
Krnl PSW : 0704c00180000000 000003ff8001c0a5 (crypt_map+0x1c/0x60 [dm_crypt])
           R:0 T:1 IO:1 EX:1 Key:0 M:1 W:0 P:0 AS:3 CC:0 PM:0 RI:0 EA:3
Krnl GPRS: 0000000000000000 0000000000000000 0000000000000000 0000000000000000
Call Trace:
 [<000003ff8001c0a5>] crypt_map+0x1c/0x60 [dm_crypt]
([<000003ff8001c0a0>] crypt_map+0x18/0x60 [dm_crypt])
 [<00000000008a3c2f>] __map_bio+0x88/0x1b0
"""
# arch/s390/kernel/traps.c, do_trap
S390_TRAP = S390.split("\n", 3)[3].replace("Oops: 0004 ilc:2", "illegal operation: 0001 ilc:1")

# arch/powerpc/mm/fault.c, __bad_page_fault
POWERPC = f"""\
BUG: Kernel NULL pointer dereference on read at 0x00000008
Faulting instruction address: 0xc0000000001c0a5c
Oops: Kernel access of bad area, sig: 11 [#1]
LE PAGE_SIZE=64K MMU=Radix SMP NR_CPUS=2048 NUMA pSeries
{_CPU}NIP:  c0000000001c0a5c LR: c0000000001c0a00 CTR: 0000000000000000
REGS: c000000003a1b8f0 TRAP: 0300   Not tainted  (6.12.0)
NIP [c0000000001c0a5c] crypt_map+0x1c/0x60
LR [c0000000001c0a00] __map_bio+0x70/0xa0
Call Trace:
[c000000003a1bb90] [c0000000001c0a00] __map_bio+0x70/0xa0 (unreliable)
[c000000003a1bbd0] [c0000000001c0b00] dm_submit_bio+0x70/0xa0
"""
POWERPC_FETCH = "BUG: Unable to handle kernel instruction fetch (NULL pointer?)\n" + POWERPC.split("\n", 1)[1]

# arch/riscv/kernel/traps.c, do_trap_store_fault and die
RISCV = f"""\
Oops - store (or AMO) access fault [#1]
Modules linked in:
{_CPU}epc : crypt_map+0x72/0xb2
 ra : __map_bio+0x12/0x22
[<ffffffff80008c76>] crypt_map+0x72/0xb2
[<ffffffff80008d76>] __map_bio+0x72/0xb2
"""

# arch/loongarch/kernel/traps.c, do_bp and die
LOONGARCH = f"""\
Kernel bug detected[#1]:
{_CPU}   ra: 9000000000a00 __map_bio+0x70/0xa0
  ERA: 9000000000a5c crypt_map+0x1c/0x60
Call Trace:
[<9000000000a5c000>] crypt_map+0x1c/0x60
[<9000000000a00000>] __map_bio+0x70/0xa0
"""
LOONGARCH_TRAP = LOONGARCH.replace("Kernel bug detected", "Reserved instruction in kernel code")


@pytest.mark.parametrize(
    ("text", "kind", "what"),
    [
        (S390, "oops", "BUG: unable to handle kernel pointer dereference"), (S390_TRAP, "oops", "illegal operation"),
        (POWERPC, "oops", "BUG: unable to handle kernel NULL pointer dereference"),
        (POWERPC_FETCH, "oops", "BUG: unable to handle kernel instruction fetch"), (RISCV, "oops", "Oops"),
        (LOONGARCH, "kernel-bug", "kernel BUG"), (LOONGARCH_TRAP, "oops", "Reserved instruction in kernel code"),
    ],
)  # fmt: skip
def test_a_fault_is_one_report(text: str, kind: str, what: str) -> None:
    (found,) = classify(text.encode())
    assert (found.kind, found.title) == (kind, f"{what} in crypt_map")
    assert (found.process, found.corrupted) == ("fio", False)


# kernel/cfi.c report_cfi_failure; the trap that follows by arch/x86/kernel/traps.c, arch/arm64/kernel/traps.c, and,
# where the kernel is permissive, the warning by kernel/panic.c
CFI = "CFI failure at blk_mq_end_request+0x24/0xe0 (target: dm_softirq_done+0x0/0x40; expected type: 0x1b2c3d4e)\n"


@pytest.mark.parametrize(
    "then",
    [
        f"Oops: invalid opcode: 0000 [#1] PREEMPT SMP\n{_CPU}RIP: 0010:blk_mq_end_request+0x24/0xe0\n",
        f"Internal error: Oops - CFI: 00000000f2008228 [#1] PREEMPT SMP\n{_CPU}pc : blk_mq_end_request+0x24/0xe0\n",
        f"WARNING: CPU: 0 PID: 412 at blk_mq_end_request+0x24/0xe0\n{_CPU}RIP: 0010:blk_mq_end_request+0x24/0xe0\n",
    ],
    ids=["x86", "arm64", "permissive"],
)
def test_a_wrong_call_is_one_report(then: str) -> None:
    trace = "Call Trace:\n nvme_irq+0x44/0x1e0\n---[ end trace 0000000000000000 ]---\n"
    (found,) = classify(f"{CFI}{then}{trace}".encode())
    assert (found.title, found.corrupted) == ("CFI failure in blk_mq_end_request", False)
