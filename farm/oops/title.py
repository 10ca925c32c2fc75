"""Facts and titles: what a report says in words."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from farm.oops.patterns import Pattern

# lib/dump_stack.c, dump_stack_print_info; `Pid: 1, comm: x` before 3.x on some architectures.
_CPU = re.compile(
    r"(?:CPU: ?\d+ (?:UID: \d+ )?PID: ?-?\d+ Comm: |Pid: \d+, comm: )(?P<process>.{1,64}?) (?:Kdump: \w+ )?"
    r"(?P<taint>Not tainted|Tainted: [A-Z ]{1,40})(?:, \[[^\]]*\])?\s{1,40}(?P<kernel>\S+)"
)
# kernel/locking/lockdep.c print_kernel_ident, kernel/hung_task.c check_hung_task.
_IDENT = re.compile(r"\s*(?P<kernel>\d{1,4}\.\d{1,4}\S*) #\d+ (?P<taint>Not tainted|Tainted: [A-Z ]+)")
_HUNG = re.compile(r"\s+(?P<taint>Not tainted|Tainted: [A-Z ]{1,40}?)\s{1,40}(?P<kernel>\d{1,4}\.\d{1,4}\S*)")
# kernel/workqueue.c, print_worker_info.
_WORK = re.compile(r"Workqueue: (?P<work>\S.{0,160}?)(?: \(.*\))?\s*")
# mm/kasan/report.c, print_error_description.
_ACCESS = re.compile(r"(?:^|\s)(?P<access>Read|Write) (?:of size|at addr)")
_OOM = re.compile(r"Killed process \d+ \((?P<victim>.{1,64}?)\)")
# rust/kernel/lib.rs, panic: the message is on the next line.
_RUST = "rust_kernel: panicked at"
_NO_MESSAGE = "rust panic"
_IN = re.compile(r" in \{function\}")
_FIELD = re.compile(r"\{(\w+)\}")
_ADDRESS = re.compile(r"\b0x[0-9a-f]+\b|\b[0-9a-f]{16}\b|\b[0-9a-f]{8}\b(?=.*\d)")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?![\w.])|(?<=[(,])\d+(?=[),])")
# mm/kmemleak.c, print_unreferenced.
_COMM = re.compile(r'\s*comm "(?P<process>[^"]{1,64})", pid \d+')
# Lines that are looked at for facts; they stand near the beginning.
_NEAR = 300


@dataclass(frozen=True)
class Facts:
    """Who, where and on what kernel."""

    process: str = ""
    workqueue: str = ""
    taint: str = ""
    kernel: str = ""
    # Further words for a title.
    words: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """How to name a report, once its first lines are known."""

    kind: str
    title: str
    where: str
    alternatives: tuple[str, ...] = ()


def facts(lines: Iterable[tuple[str, str]], groups: dict[str, str]) -> Facts:
    """Read the facts off the lines of a report."""
    process, workqueue, taint, kernel = groups.get("process", ""), "", "", ""
    words: dict[str, str] = {}
    panicked = False
    for _, text in list(lines)[:_NEAR]:
        if not (kernel and process):
            match = _CPU.search(text) or _IDENT.match(text) or _HUNG.match(text)
            if match:
                taint, kernel = (taint, kernel) if kernel else (match["taint"], match["kernel"])
                process = process or match.groupdict().get("process") or ""
                continue
        if not workqueue and "Workqueue: " in text:
            match = _WORK.fullmatch(text.strip())
            workqueue = match["work"] if match else ""
        if not process and (match := _COMM.match(text)):
            process = match["process"]
        if "access" not in words and (match := _ACCESS.search(text)):
            words["access"] = match["access"]
        if "Killed process" in text and (match := _OOM.search(text)):
            words["victim"] = match["victim"]
        if panicked and "reason" not in words:
            words["reason"] = text.strip() or _NO_MESSAGE
        panicked = panicked or _RUST in text
    if panicked:
        words.setdefault("reason", _NO_MESSAGE)
    bug = groups.get("bug", "")
    if bug.endswith(("invalid-free", "double-free")):
        words["class"] = words["bug"] = "invalid-free"
        words["access"] = ""
    else:
        words["class"] = "bad-access"
    taint = "" if taint.startswith("Not") else " ".join(taint.removeprefix("Tainted:").split())
    return Facts(process, workqueue, taint, kernel, words)


def fill(template: str, words: dict[str, str]) -> str:
    """A title from its template; addresses and numbers that change from run to run are replaced."""
    if not words.get("function"):
        template = _IN.sub("", template)
    text = _FIELD.sub(lambda match: words.get(match[1], ""), template)
    if "{reason}" in template or "{what}" in template:
        text = _NUMBER.sub("NUM", _ADDRESS.sub("ADDR", text))
    return " ".join(text.split())


# A warning that one function raises on behalf of all its callers is named after the check: (kind, what is checked,
# function that warns, file that warns); one of the two is enough.
_NEVER = r"(?!)"
_WARNINGS = (
    ("warning", "refcount bug", r"refcount_(?:warn|dec|inc|add|sub)\w+", r"lib/refcount\.c"),
    ("warning", "ODEBUG bug", r"debug_print_object|debug_check_no_obj_freed", r"lib/debugobjects\.c"),
    ("warning", "kmalloc bug", r"kmalloc_slab|_*kv?malloc\w*", _NEVER),
    ("warning", "zero-size vmalloc", r"_*vmalloc_node_range\w*", _NEVER),
    ("warning", "proc registration bug", r"proc_register", _NEVER),
    ("warning", "corrupted list", r"_*list_(?:add|del)\w*", r"lib/list_debug\.c"),
    ("lockdep", "locking bug", r"hlock_class", r"kernel/locking/lockdep\.c"),
)
_RULES = tuple(
    (kind, f"WARNING: {check} in {{function}}", re.compile(function), re.compile(rf"(?:.*/)?(?:{file})"))
    for kind, check, function, file in _WARNINGS
)
_USERCOPY = re.compile(r"(?:.*/)?mm/usercopy\.c:\d+")
_LIST = re.compile(r"(?:.*/)?lib/list_debug\.c:\d+")


def special(pattern: Pattern, groups: dict[str, str], lines: list[tuple[str, str]]) -> Rule:
    """The pattern's rule, or a finer one for checks that many callers share."""
    plain = Rule(pattern.kind, pattern.title, pattern.where, pattern.alternatives)
    place = groups.get("place", "").partition(":")[0]
    if pattern.where == "warning":
        for kind, title, function, file in _RULES:
            if function.fullmatch(groups.get("function", "").split(".")[0]) or file.fullmatch(place):
                return Rule(kind, title, "caller")
    if pattern.name == "kernel-bug" and _LIST.fullmatch(groups.get("place", "")):
        return Rule(pattern.kind, "BUG: corrupted list in {function}", pattern.where, ("bad-access in {function}",))
    if pattern.name == "kernel-bug" and _USERCOPY.fullmatch(groups.get("place", "")):
        return Rule(pattern.kind, "BUG: bad usercopy in {function}", pattern.where)
    return plain
