"""One line of a call trace or register dump into frames, for every architecture and kernel that is likely to come by.

Formats and who prints them:
  x86        ` func+0x1a/0x40 [module]`, ` ? func+...` for a stale address (arch/x86/kernel/dumpstack.c)
  x86 < 4.10 ` [<ffffffff81055862>] ? func+0x22/0x70`
  arm        `[<8011344c>] (callee) from [<8010ef84>] (caller+0x18/0x1c)`, since 5.17 ` callee from caller+0x18/0x1c`
             (arch/arm/kernel/traps.c, dump_backtrace_entry)
  arm64      ` func+0x20/0x30 (P)`; riscv `[<ffffffe00008c762>] func+0x72/0xb2`; powerpc, s390, mips, loongarch alike
  decoded    ` func (file.c:12 file.h:30) module` by scripts/decode_stacktrace.sh;
             ` func+0x1/0x2 file.c:12 [inline]` by symbolizers
Registers that hold a code address: RIP, EIP, IP (x86), pc/lr (arm, arm64), epc/ra (riscv), NIP/LR (powerpc).
"""

import re

from farm.model import Frame
from farm.oops.demangle import demangle

# include/linux/kallsyms.h, KSYM_NAME_LEN: what is longer is no name, and only there to keep us busy.
_LONGEST = 512
# ASCII, as all names are; white space is not restricted to it, for mails and web pages have blanks of their own.
_NAME = rf"(?a:[A-Za-z_$.][\w$.:<>]{{0,{_LONGEST - 1}}})"
_OFFSET = r"\+(?P<offset>0x[0-9a-f]{1,16}(?:/0x[0-9a-f]{1,16})?)"
_ADDRESS = r"(?:\(?\[<?[0-9a-fx]{4,18}>?\]\)? ?){0,2}"
_MODULE = r"(?: \[(?P<module>[\w-]+)(?: [0-9a-f]{8,40})?\])?"
_PLACE = r"(?: (?P<place>[\w./+<>-]+\.(?:[chS]|rs|h|lds):\d+)(?P<more>(?: \(discriminator \d+\))?))?"

_X86 = re.compile(
    rf"\s*(?:<(?:IRQ|EOI|NMI|TASK|#DF|#DB|EOE|ENTRY_TRAMPOLINE|SYSENTER)>\s+)?{_ADDRESS}(?P<stale>\? )?"
    rf"\(?(?P<name>{_NAME}){_OFFSET}\)?{_MODULE}(?: \((?:[A-Z]{{1,3}}|unreliable)\))?{_PLACE}"
    r"(?P<inline> \[inline\])?\s*"
)
_INLINED = re.compile(rf"\s*(?P<name>{_NAME}) (?P<place>[\w./+-]+\.(?:[chS]|rs):\d+) \[inline\]\s*")
_DECODED = re.compile(
    rf"\s*{_ADDRESS}(?P<stale>\? )?(?P<name>{_NAME})(?:{_OFFSET})? "
    # Possessive: what follows takes the same characters, and a line of nothing else would be tried at each of them.
    r"\((?P<places>[\w./+-]+:[\d?]++[^()]*(?:\(discriminator \d+\)[^()]*)*)\)"
    r"(?: (?P<module>[\w-]+))?\s*"
)
# 4.x kernels without offsets in a trace: ` [<ffffffff81055862>] func` (CONFIG_KALLSYMS without offsets) and
# ` [<     inline     >] func file.c:12` by symbolizers.
_OLD_INLINE = re.compile(rf"\s*\[<\s+inline\s+>\] (?P<name>{_NAME})(?: (?P<place>\S+:\d+))?\s*")
_ARM = re.compile(
    rf"\s*(?:\[<[0-9a-f]+>\] )?\(?(?P<callee>{_NAME}|0x[0-9a-f]+)\)? from (?:\[<[0-9a-f]+>\] )?"
    rf"\(?(?P<name>{_NAME}){_OFFSET}\)?{_MODULE}(?:\s.*)?"
)
_AT = (
    r"\s*(?P<register>RIP|EIP|IP|PC|LR|pc|lr|epc|ra|NIP|ERA|PSW)(?: is at|\s?:|(?= \[))\s*"
    r"(?:(?P<segment>[0-9a-f]{2,4}):)?(?:\[?<?[0-9a-f]{8,16}>?\]? *){0,2}"
)
_REGISTER = re.compile(rf"{_AT}(?P<name>{_NAME}){_OFFSET}{_MODULE}{_PLACE}\s*(?:\[inline\]\s*|\(.{{1,12}}\)\s*)?")
# Symbolizers repeat the register's line for each inlined function.
_REGISTER_INLINE = re.compile(rf"{_AT}(?P<name>{_NAME}) (?P<place>[\w./+-]+:\d+) \[inline\]\s*")
# Compiler suffixes: clones, parts split off, cold halves, link-time optimisation. They differ between builds.
_SUFFIX = re.compile(r"(?:\.(?:isra|part|constprop|cold|llvm|lto_priv|str|localalias|cfi|cfi_jt)|\.\d+)+$")
# Last hex digit of an x86 code segment selector with requested privilege level 3.
_USER_RINGS = frozenset("37bf")
# Frame buffer helpers, not system calls.
_NO_CALL = frozenset({"sys_imageblit", "sys_fillrect", "sys_copyarea"})
_CALL_WRAPPER = re.compile(
    r"(?:__(?:x64|ia32|arm64|riscv|s390x?|powerpc|loongarch|se|do|ia32_compat|arm64_compat|se_compat|do_compat)_(?:compat_)?sys"
    r"|compat_sys|sys|SyS|compat_SyS|SYSC|C_SYSC)_(?P<call>[a-z]\w*)"
)


def base_name(name: str) -> str:
    """The function's name in the source: without compiler suffixes, demangled."""
    name = name[:_LONGEST]
    name = demangle(name) if name.startswith(("_R", "_Z")) else name
    if "." in name:
        stripped = _SUFFIX.sub("", name)
        name = stripped or name
    return name


def call_name(name: str) -> str:
    """A system call's own name: its wrapper is named differently on every architecture and version.

    `__x64_sys_openat2`, `__se_sys_openat2`, `SyS_openat2` and `sys_openat2` are all `openat2`
    (SYSCALL_DEFINEx in include/linux/syscalls.h and arch/*/include/asm/syscall_wrapper.h).
    """
    match = None if name in _NO_CALL else _CALL_WRAPPER.fullmatch(name)
    return match["call"] if match else name


def parse_frames(text: str) -> list[tuple[Frame, bool]]:
    """The frames on a line of a call trace, innermost first, each with whether the unwinder vouches for it.

    An empty list means that the line is no such line. A `?` in front of a frame says that the address was only
    found lying on the stack.
    """
    if "+0x" not in text and "(" not in text and "inline" not in text:
        return []
    match = _X86.fullmatch(text)
    if match:
        name = base_name(match["name"])
        inlined = bool(match["inline"])
        frame = Frame(name, "" if inlined else match["offset"], match["place"] or "", match["module"] or "", inlined)
        return [(frame, not match["stale"])]
    if " from " in text:
        match = _ARM.fullmatch(text)
        if match:
            caller = Frame(base_name(match["name"]), match["offset"], "", match["module"] or "")
            callee = match["callee"]
            inner = [] if callee.startswith("0x") else [(Frame(base_name(callee)), True)]
            return [*inner, (caller, True)]
    match = _INLINED.fullmatch(text) or _OLD_INLINE.fullmatch(text)
    if match:
        return [(Frame(base_name(match["name"]), "", match["place"] or "", "", True), True)]
    match = _DECODED.fullmatch(text)
    if match:
        place = match["places"].split(" ")[0]
        frame = Frame(base_name(match["name"]), match["offset"] or "", place, match["module"] or "")
        return [(frame, not match["stale"])]
    return []


def parse_register(text: str) -> tuple[str, Frame] | None:
    """A register that points into code: its name in upper case and the frame, user-space addresses left out."""
    match = _REGISTER.match(text) or _REGISTER_INLINE.match(text)
    if match is None or (match["segment"] or "")[-1:] in _USER_RINGS:
        return None
    given = match.groupdict("")
    offset, inlined = given.get("offset", ""), "offset" not in given
    frame = Frame(base_name(match["name"]), offset, given["place"], given.get("module", ""), inlined)
    return match["register"].upper(), frame
