"""What QEMU 7.2 prints of CPUs and memory, as it was printed."""

from farm.guest.registers import Cpu, parse_cpus, parse_words

SPINNING = """CPU#0
RAX=0000000000000000 RBX=ffffffff82a5ab80 RCX=0000000000000000 RDX=0000000000000000
RSI=ffff88800b0f7000 RDI=ffffffff82a5ab80 RBP=ffffc900003b7ef0 RSP=ffffc900003b7d68
R8 =0000000000000000 R9 =0000000000000000 R10=0000000000000000 R11=0000000000000000
R12=000000000000000b R13=ffffc900003b7ef0 R14=ffff88800b0f7000 R15=0000000000000000
RIP=ffffffff81522ea7 RFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
ES =0000 0000000000000000 ffffffff 00c00000
CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
"""
IDLE = SPINNING.replace("CPU#0", "CPU#1").replace("00000046 [---Z-P-]", "00000246 [---Z-P-]").replace("HLT=0", "HLT=1")
PROGRAM = SPINNING.replace("CPU#0", "CPU#12").replace("00000046", "00000202").replace("CPL=0", "CPL=3")
FIRMWARE = """CPU#2
EAX=00000000 EBX=00000000 ECX=00000000 EDX=00000663
EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=1
"""


def test_every_cpu_in_64_bit_mode():
    rip, rsp = 0xFFFFFFFF81522EA7, 0xFFFFC900003B7D68
    assert parse_cpus("\r\n" + (SPINNING + FIRMWARE + IDLE + PROGRAM).replace("\n", "\r\n")) == [
        Cpu(0, rip, rsp, interrupts=False, halted=False, user=False),
        Cpu(1, rip, rsp, interrupts=True, halted=True, user=False),
        Cpu(12, rip, rsp, interrupts=True, halted=False, user=True)]


def test_text_that_is_no_answer():
    assert parse_cpus("") == parse_cpus("CPU#0\nnonsense") == []
    assert parse_words("Cannot access memory\n") == []


def test_words_of_a_stack():
    answer = ("ffffc900003b7d68: 0xffffffff81523011 0x0000000000000001\r\n"
              "ffffc900003b7d78: 0xffff88800b0f7000 0xffffffff815231ab\r\n")
    assert parse_words(answer) == [0xFFFFFFFF81523011, 1, 0xFFFF88800B0F7000, 0xFFFFFFFF815231AB]
