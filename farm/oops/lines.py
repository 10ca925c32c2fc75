"""Console bytes into lines: prefixes taken off, the printing context (caller) kept.

A console carries what printk wrote, what userspace wrote, and what a host or a syslog daemon put in front of
both. `split` undoes that for one physical line; a line may hold two messages when a console write was cut
into by another (`... bytes[   76.471107] BUG: ...`), so it returns a list.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

# Longest line that is looked at; the rest of a longer one is dropped. printk itself stops at about 1 KiB
# (kernel/printk/internal.h, PRINTK_MESSAGE_MAX 2048), userspace does not.
MAX_LINE = 4096

# `[   12.345678]` of printk.time, optionally followed by the caller id of CONFIG_PRINTK_CALLER
# (`[  T123]`, `[    C1]`; kernel/printk/printk.c, print_caller); `dmesg -d` puts the time since the last line within.
_STAMP = r"\[ {0,8}(?P<time>\d{1,8}\.\d{6})(?: < {0,8}\d{1,8}\.\d{6}>)?\](?:\[ {0,8}(?P<caller>[TC]\d{1,8})\])?"
STAMP = re.compile(_STAMP)
# `<6>`, `<0014>`: log levels of early consoles, /dev/kmsg and serial consoles without printk formatting.
_LEVEL = re.compile(r"<\d{1,4}>")
# Caller ids without time stamps (printk.time=0).
_BARE_CALLER = re.compile(r"\[ {0,8}(?P<caller>[TC]\d{1,8})\] ?")
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]{0,12}(?:Z|[+-]\d\d:?\d\d)?"
# `Dec  4 15:56:11 host kernel: `, `2024-12-04T15:56:11.123456+00:00 host kernel: ` of syslog, and what journalctl makes
# of it with -o short-precise, short-unix and short-full.
_SYSLOG = re.compile(
    rf"(?:[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{{6}})?|{_ISO}|\d{{9,11}}\.\d{{6}}|"
    rf"[A-Z][a-z]{{2}} {_ISO} [A-Z+-]\S{{0,5}}) (?:\S{{1,64}} ){{0,2}}kernel(?:\[\d+\])?: "
)
# `[   12.345678] host kernel: ` of journalctl -o short-monotonic, behind the time.
_HOST = re.compile(r"[\w.-]{1,64} kernel: ")
# `kern  :warn  : ` of `dmesg -x`; `[Wed Dec  4 15:56:11 2024] ` of -T, `[Dec 4 15:56] ` and `[  +0.000012] `
# of -H, and the time of --time-format iso, which CI systems and containers put in front of every line, too; `kernel:`
# of syslog daemons that write to a terminal.
_PLAIN = re.compile(
    r"(?=[\[k\d])(?:kern  :[a-z]{3,6} *: )?(?:"
    r"\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] ?|"
    rf"\[[A-Z][a-z]{{2}}[ \d]\d \d\d:\d\d\] |\[ {{0,8}}\+\d{{1,8}}\.\d{{6}}\] |{_ISO} )|"
    r"kernel:(?: (?! |\S+\+0x))?"
)
# `6,416,1234567,-,caller=T7;` of /dev/kmsg and extended netconsole (kernel/printk/printk.c, info_print_ext_header), the
# latter with the kernel's release in front (drivers/net/netconsole.c, release_enabled).
_EXTENDED = re.compile(
    r"(?:\d\.[\w.+-]{1,60},)?\d{1,3},\d{1,20},(?P<time>\d{1,14}),[-c+](?:,(?:caller=(?P<caller>[TC]\d{1,8})|[^;,]{1,40})){0,4};")
# Colours and cursor movement, and the other control characters except the tab; those beyond ASCII too, which are
# commands to a terminal as well (U+009B is what ESC [ is).
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]{0,16}[ -/]?[@-~]|[()][0-9A-B]|[=>c78])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# printk ran out of room and says so in front of the next message (kernel/printk/printk.c, console_prepend_dropped).
_DROPPED = re.compile(r"\*\* \d+ printk messages dropped \*\* ?")

# mm/kmemleak.c puts it in front of every line of a report, when it prints those to the console (kmemleak.verbose=1).
_KMEMLEAK = "kmemleak: "
_LEAK = re.compile(rf"{_KMEMLEAK}(?=  |unreferenced object )")


@dataclass(frozen=True)
class Line:
    """One message as printk was given it."""

    # Text without any prefix, leading white space kept.
    text: str
    # Byte offsets of the physical line in the stream.
    start: int
    end: int
    # Seconds since boot, or -1 when the line has no time stamp.
    time: float = -1.0
    # Who printed: `T` and a thread id, `C` and a CPU, or "" when the console does not tell.
    caller: str = ""
    # True when the console itself said that messages were lost before this one.
    dropped: bool = False


def split(raw: bytes, start: int, end: int) -> list[Line]:
    """The messages in one physical line (without its line break), of which MAX_LINE bytes are looked at."""
    raw = raw[:MAX_LINE]
    text = raw.decode("utf-8", "replace") if not raw.isascii() else raw.decode("ascii")
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    text = _CONTROL.sub("", text)
    if not text or text.isspace():
        return []
    # A second time stamp inside a line starts a message of its own.
    starts = [match.start() for match in STAMP.finditer(text)]
    cuts = [0, *starts[1:], len(text)]
    parts = [text[first:last] for first, last in pairwise(cuts)]
    found = []
    for part in parts:
        found.extend(_one(part, start, end))
    return found


def _one(text: str, start: int, end: int) -> list[Line]:
    dropped = False
    if "printk messages dropped" in text:
        text, count = _DROPPED.subn("", text)
        dropped = count > 0
    level = _LEVEL.match(text)
    if level:
        text = text[level.end() :]
    extended = _EXTENDED.match(text)
    if extended:
        seconds = int(extended["time"]) / 1e6
        return [Line(text[extended.end() :], start, end, seconds, extended["caller"] or "", dropped)]
    stamp = STAMP.search(text)
    if stamp:
        before = text[: stamp.start()]
        rest = text[stamp.end() :]
        if rest[:1] == " ":
            rest = rest[1:]
        if rest.startswith(_KMEMLEAK):
            rest = _LEAK.sub("", rest)
        host = _HOST.match(rest)
        rest = rest[host.end() :] if host else rest
        line = Line(rest, start, end, float(stamp["time"]), stamp["caller"] or "", dropped)
        # What stood before the stamp is a login prompt, a syslog header or half a line of somebody else.
        if not before.strip() or _SYSLOG.fullmatch(before):
            return [line]
        return [Line(before, start, end), line]
    header = _SYSLOG.match(text) or _PLAIN.match(text)
    if header:
        text = text[header.end() :]
    caller = _BARE_CALLER.match(text)
    if caller:
        return [Line(text[caller.end() :], start, end, -1.0, caller["caller"], dropped)]
    return [Line(text, start, end, -1.0, "", dropped)]
