"""Where the virtual CPUs stand, from what QEMU's monitor prints (target/i386/cpu-dump.c, x86_cpu_dump_state)."""

import re
from dataclasses import dataclass

# The interrupt flag in EFLAGS.
_IF = 1 << 9
_CPU = re.compile(
    r"^CPU#(?P<index>\d+).*?\bRSP=(?P<rsp>[0-9a-f]{16})\b.*?\bRIP=(?P<rip>[0-9a-f]{16}) RFL=(?P<flags>[0-9a-f]{8}) "
    r".*?\bCPL=(?P<level>\d)\b.*?\bHLT=(?P<halted>\d)", re.DOTALL | re.MULTILINE)
# A line of `x /Ngx`: an address and two words.
_WORDS = re.compile(r"0x([0-9a-f]{16})\b(?!:)")


@dataclass(frozen=True)
class Cpu:
    """A virtual CPU in 64-bit mode."""

    index: int
    # Instruction and stack pointer.
    rip: int
    rsp: int
    # Whether it takes interrupts; one that does not for long is lost to the watchdogs of its kernel.
    interrupts: bool
    # Whether it waits in HLT.
    halted: bool
    # Whether it runs a program rather than the kernel.
    user: bool


def parse_cpus(text: str) -> list[Cpu]:
    """The CPUs in the answer to `info registers -a`; those still in 16- or 32-bit mode are left out."""
    found = []
    for part in re.split(r"^(?=CPU#)", text, flags=re.MULTILINE):
        if match := _CPU.match(part):
            found.append(Cpu(
                int(match["index"]), int(match["rip"], 16), int(match["rsp"], 16),
                interrupts=bool(int(match["flags"], 16) & _IF), halted=match["halted"] == "1",
                user=match["level"] == "3"))
    return found


def parse_words(text: str) -> list[int]:
    """The memory in the answer to `x /Ngx ADDRESS`, as words of eight bytes."""
    return [int(word, 16) for word in _WORDS.findall(text)]
