"""Where a silent guest stands: QEMU's registers and the guest's stacks, read by the kernel's System.map."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from farm.guest.registers import Cpu
from farm.model import Finding, Frame, json_digest
from farm.oops.locate import anchor

# Words of a stack that are searched for return addresses: what called the innermost functions.
STACK_WORDS = 256
# Frames that are kept: beyond them a stack that is only searched, not unwound, is mostly old values.
MOST_FRAMES = 24

# Where the kernel's text begins and ends, and that of its boot (include/asm-generic/vmlinux.lds.h).
_TEXT = (("_stext", "_etext"), ("_sinittext", "_einittext"))

# The innermost words of eight bytes on a CPU's stack, so many of them.
ReadStack = Callable[[Cpu, int], Sequence[int]]


@dataclass(frozen=True)
class Symbols:
    """The functions of a kernel that runs where it was linked."""

    system_map: Path

    @classmethod
    def of(cls, system_map: Path | None, config: Path | None) -> "Symbols | None":
        """None when the addresses are not known: no System.map, or a kernel that moves itself (RANDOMIZE_BASE)."""
        if system_map is None or config is None or "CONFIG_RANDOMIZE_BASE=y\n" in config.read_text(errors="replace"):
            return None
        return cls(system_map)

    @cached_property
    def _functions(self) -> tuple[list[int], list[str]]:
        """Sorted addresses, and the functions that begin there; "" where the kernel's text ends."""
        words = (line.split() for line in self.system_map.read_text(errors="replace").splitlines())
        found = sorted((int(address, 16), name) for address, kind, name in words if kind in "tTwW")
        where = {name: address for address, name in found}
        bounds = [(where.get(first, 0), where.get(end, 0)) for first, end in _TEXT]
        names = [name if any(first <= at < end for first, end in bounds) else "" for at, name in found]
        return [at for at, _ in found], names

    def function(self, address: int) -> str:
        """The function that an address lies in; "" for one outside the kernel's own text."""
        addresses, names = self._functions
        index = bisect_right(addresses, address) - 1
        return names[index] if index >= 0 else ""


def silence(
    title: str, cpus: Sequence[Cpu], symbols: Symbols | None, read: ReadStack, *, stuck: bool
) -> Finding:
    """The finding for a guest that says nothing, and where its CPUs stand as far as the symbols tell.

    When they are `stuck` there, the place belongs to the name; else it is one of many that they come by.
    """
    traces = {cpu.index: trace(cpu, symbols, read) if symbols else () for cpu in cpus}
    # A CPU that still executes tells more than one that waits in HLT.
    order = sorted(cpus, key=lambda cpu: (cpu.halted, cpu.index))
    function, frames = next(
        ((name, traces[cpu.index]) for cpu in order if stuck and (name := anchor(list(traces[cpu.index])))), ("", ()))
    named = f"{title} in {function}" if function else title
    return Finding(
        "silence", named, function=function, frames=frames, signature=json_digest(["silence", title, function])[:16],
        alt_titles=(f"stall in {function}",) if function else (),
        text="\n".join(line for cpu in cpus for line in _lines(cpu, traces[cpu.index])))


def trace(cpu: Cpu, symbols: Symbols, read: ReadStack) -> tuple[Frame, ...]:
    """The function a CPU is in and, below it, those whose return addresses are on its stack."""
    if cpu.user:
        return ()
    # A return address is that of the instruction after the call, which may belong to the next function.
    names = [symbols.function(cpu.rip), *(symbols.function(word - 1) for word in read(cpu, STACK_WORDS))]
    return tuple(Frame(name) for name in dict.fromkeys(names) if name)[:MOST_FRAMES]


def _lines(cpu: Cpu, frames: Sequence[Frame]) -> list[str]:
    how = ", ".join([
        "user mode" if cpu.user else "kernel mode", f"interrupts {'on' if cpu.interrupts else 'off'}",
        *(["halted"] if cpu.halted else [])])
    return [f"CPU {cpu.index}: {how}, RIP {cpu.rip:#x}", *(f"  ? {frame.function}" for frame in frames)]
