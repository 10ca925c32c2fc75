"""The function where the bug is, from the layout of a report."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from farm.model import Frame
from farm.oops.frames import call_name
from farm.oops.generic import is_generic
from farm.oops.sections import Layout, Section


@dataclass(frozen=True)
class Place:
    """Where a report points to."""

    # The function, or "".
    function: str = ""
    # The trace it was found in, innermost first, generic frames marked.
    frames: tuple[Frame, ...] = ()
    # True when the trace that should be there is not, or nothing in it was specific.
    doubtful: bool = False
    # The innermost function that is not machinery, where that is not the one to name.
    inner: str = ""


# Functions that are variants of one: waiting for a grace period, waiting for another CPU (kernel/rcu, kernel/smp.c).
_FAMILIES = (
    (re.compile(r"_*synchronize_s?rcu(?:_\w+)?|synchronize_(?:sched|rcu_bh|net)\w*"), "synchronize_rcu"),
    (re.compile(r"_*smp_call_function(?:_\w+)?"), "smp_call_function"),
)

# A stall or a hang inside a loop can be met anywhere in it. What stays the same is where generic code called into the
# subsystem: (caller that only dispatches, None for any; what it called). Innermost first, first match wins.
_DISPATCH = re.compile(
    r"call_timer_fn|expire_timers|_*run_hrtimer|_*hrtimer_run_queues|process_one_work|process_scheduled_works|"
    r"_*netif_receive_skb_core|_*netif_receive_skb_one_core|_*netif_receive_skb_list_core|deliver_skb|"
    r"_*fput|(?:_*sock|kernel)_(?:send|recv)msg(?:_nosec)?|sock_(?:write|read)_iter|_*vfs_(?:read|write)|"
    r"new_sync_(?:read|write)|"
    r"do_iter_readv_writev|tasklet_action\w*|napi_poll|_*napi_poll|handle_irq_event\w*|_*handle_irq_event\w*|"
    r"do_one_initcall|"
    r"smp_call_function_queue|_*flush_smp_call_function_queue|kthread|full_proxy_\w+|kernfs_fop_\w+|sysfs_kf_\w+|"
    r"(?:dev|kobj)_attr_(?:show|store)|proc_reg_\w+|seq_read(?:_iter)?|simple_attr_\w+|_*do_fault|_*sock_release|"
    r"inet6?_(?:sendmsg|recvmsg|release)"
)
# ... except for these, which dispatch further.
_PASS = re.compile(
    r"process_backlog|sock_(?:close|release|sendmsg|recvmsg|write_iter|read_iter)\w*|_*sock_release|inet6?_(?:sendmsg|recvmsg|release)|"
    r"sock_sendmsg_nosec|sock_recvmsg_nosec|tick_\w+|kthread_worker_fn|smpboot_thread_fn|worker_thread|"
    r"rcu_\w+kthread|run_ksoftirqd|_*fput|full_proxy_\w+|kernfs_fop_\w+|sysfs_kf_\w+|(?:dev|kobj)_attr_(?:show|store)|"
    r"proc_reg_\w+|seq_read(?:_iter)?|simple_attr_\w+"
)
# The kernel's own crash tests (drivers/misc/lkdtm): each function is the bug that it is named after.
_CRASH_TEST = re.compile(r"lkdtm_[A-Z_]+")
_IOCTL = re.compile(r"\w+_ioctl")
_NO_IOCTL = re.compile(
    r"(?:compat_)?(?:blkdev|block|sock|sock_do|vfs|do_vfs|ksys|compat|file|tty|v4l2)_(?:compat_)?ioctl|"
    r"\w*compat_\w*ioctl|"
    r".*sys_ioctl|_*video_do_ioctl"
)


def _mark(frames: list[Frame], skip: str) -> tuple[Frame, ...]:
    return tuple(replace(frame, generic=is_generic(frame.function, skip)) for frame in frames)


def _first(frames: list[Frame], skip: str, start: int = 0) -> str:
    for frame in frames[start:]:
        if not is_generic(frame.function, skip):
            return frame.function
    return ""


def _frames_of(section: Section | None) -> list[Frame]:
    if section is None:
        return []
    return section.frames or section.guesses


def _main(layout: Layout, named: str = "") -> Section | None:
    """The report's own trace: the one so labelled, or the first that has the function it names."""
    sections = layout.main()
    for section in sections:
        if section.label == "main" or (named and any(frame.function == named for frame in section.frames)):
            return section
    return sections[0] if sections else None


# Entry of an interrupt: what follows in a trace is the code that it met, which has nothing to do with the report.
_INTERRUPT = re.compile(
    r"\w*(?:apic_timer|reschedule|call_function\w*|irq_work)_interrupt\w*|"
    r"(?:asm_)?common_interrupt|"
    r"ret_from_intr|_*irq_svc|el1h?_(?:64_)?irq\w*|el1_interrupt"
)


def _context(frames: list[Frame], named: str) -> list[Frame]:
    """The frames from the function that the header names up to where an interrupt came in."""
    start = next((index for index, frame in enumerate(frames) if frame.function == named), -1)
    if start < 0:
        start = next((index for index, frame in enumerate(frames) if not is_generic(frame.function, "print")), 0)
    for index in range(start + 1, len(frames)):
        if _INTERRUPT.fullmatch(frames[index].function):
            return frames[start:index]
    return frames[start:]


def _walk(layout: Layout, named: str, skip: str) -> Place:
    """The function named by the header or a register, or, when that is generic, its first caller that is not."""
    section = _main(layout, named)
    frames = _frames_of(section)
    stale = section is None or not section.frames
    marked = _mark(frames, skip)
    if named and not is_generic(named, skip):
        return Place(named, marked, stale)
    context = _context(frames, named)
    found = _first(context, skip) or (_first(context, "weak") if not stale else "")
    return Place(found or named, marked, stale)


def header(layout: Layout, named: str) -> Place:
    section = _main(layout)
    return Place(named, _mark(_frames_of(section), "warning"), not named)


def access(layout: Layout, named: str) -> Place:
    return _walk(layout, named, "access")


def fault(layout: Layout, named: str) -> Place:
    at = layout.registers.at
    return _walk(layout, named or (at.function if at else ""), "fault")


def bug(layout: Layout, named: str) -> Place:
    at = layout.registers.at
    return _walk(layout, named or (at.function if at else ""), "bug")


def warning(layout: Layout, named: str) -> Place:
    at = layout.registers.at
    return _walk(layout, named or (at.function if at else ""), "warning")


def caller(layout: Layout, named: str) -> Place:
    """Who called a checking function."""
    return _walk(layout, named, "caller")


def lock(layout: Layout, named: str) -> Place:
    """Who wanted the lock; when that is a lock everybody uses, who holds the other one."""
    place = _walk(layout, "", "lock")
    for name in (layout.acquiring, layout.holding):
        if name and not is_generic(name, "at"):
            return replace(place, function=name)
    return place


def held(layout: Layout, named: str) -> Place:
    """Who took a lock that was not given back; such a report has no trace."""
    return Place(layout.acquiring, doubtful=not layout.acquiring)


def trace(layout: Layout, named: str) -> Place:
    return _walk(layout, "", "lock")


def atomic(layout: Layout, named: str) -> Place:
    return _walk(layout, "", "atomic")


def panic(layout: Layout, named: str) -> Place:
    place = _walk(layout, named, "panic")
    return replace(place, doubtful=place.doubtful and not named)


def pool(layout: Layout, named: str) -> Place:
    """The work that occupies a stuck worker, from the backtraces of the pools' workers."""
    for section in layout.sections:
        # Below the watchdog's own timer, when that interrupted the very worker.
        found = anchor(_interrupted(section))
        if found:
            return Place(found, _mark(section.frames, "stall"))
    return Place(layout.work)


def work(layout: Layout, named: str) -> Place:
    """The work that was done last; the trace only has the workqueue's own code."""
    return Place(layout.work, _mark(_frames_of(_main(layout)), "warning"), not layout.work)


def none(layout: Layout, named: str) -> Place:
    return Place("", _mark(_frames_of(_main(layout)), "warning"))


def hung(layout: Layout, named: str) -> Place:
    section = next((one for one in layout.sections if one.label in ("task", "trace", "main") and one.guesses), None)
    frames = _frames_of(section)
    return Place(_first(frames, "hung"), _mark(frames, "hung"), section is None or not section.frames)


def _interrupted(section: Section) -> list[Frame]:
    """The frames of a trace below the watchdog's own interrupt."""
    frames = section.frames
    watching = [index for index, frame in enumerate(frames) if is_generic(frame.function, "print")]
    if section.entries and (not watching or section.entries[0] >= watching[0]):
        return frames[section.entries[0] :]
    if not watching:
        return frames
    index = watching[-1] if watching[-1] < 12 else watching[0]
    while index < len(frames) and is_generic(frames[index].function, "tick"):
        index += 1
    return frames[index:]


def _ioctl(function: str) -> bool:
    return _IOCTL.fullmatch(function) is not None and _NO_IOCTL.fullmatch(function) is None


def anchor(frames: list[Frame]) -> str:
    """Where generic code called into the subsystem that does not come to an end."""
    inner = _first(frames, "stall")
    # Whatever timer or interrupt it was in just then.
    crash_test = next((frame.function for frame in frames if _CRASH_TEST.fullmatch(frame.function)), "")
    if crash_test:
        return crash_test
    if _family(inner) == "smp_call_function":
        return inner
    for index, frame in enumerate(frames):
        outer = frames[index + 1].function if index + 1 < len(frames) else ""
        name = frame.function
        if _ioctl(name):
            if not _ioctl(outer):
                return name
            continue
        called = _DISPATCH.fullmatch(outer) and not _PASS.fullmatch(name) and not is_generic(name, "stall")
        if called or call_name(name) != name:
            return name
    return inner or next((frame.function for frame in frames if is_generic(frame.function, "idle")), "")


def stall(layout: Layout, named: str) -> Place:
    """The code that a watchdog interrupted, by its anchor."""
    for section in layout.sections:
        if section.label in ("kthread", "chain", "history", "locks"):
            continue
        frames = _interrupted(section)
        found = anchor(frames)
        if found:
            return Place(found, _mark(section.frames, "stall"), inner=_first(frames, "stall"))
    return Place(doubtful=True)


def overflow(layout: Layout, named: str) -> Place:
    """A stack that grew too large: no single frame did it, so by the anchor."""
    section = _main(layout)
    frames = section.frames if section else []
    start = next((i for i, frame in enumerate(frames) if not is_generic(frame.function, "stall")), 0)
    return Place(anchor(frames[start:]), _mark(frames, "stall"), section is None)


def leak(layout: Layout, named: str) -> Place:
    section = next((one for one in layout.sections if one.guesses), None)
    frames = _frames_of(section)
    return Place(_first(frames, "leak"), _mark(frames, "leak"), section is None)


WAYS: dict[str, Callable[[Layout, str], Place]] = {
    "header": header, "work": work, "access": access, "fault": fault, "bug": bug, "warning": warning,
    "caller": caller, "lock": lock, "held": held,
    "trace": trace, "atomic": atomic, "panic": panic, "none": none, "hung": hung, "stall": stall,
    "leak": leak, "overflow": overflow, "pool": pool,
}  # fmt: skip


def _family(function: str) -> str:
    return next((name for family, name in _FAMILIES if family.fullmatch(function)), function)


def locate(where: str, layout: Layout, named: str) -> tuple[Place, tuple[str, ...]]:
    """The place, and other names for it: the exact one when a family or a system call gave it a common one."""
    place = WAYS[where](layout, named)
    common = call_name(_family(place.function))
    others = dict.fromkeys(name for name in (place.function, place.inner) if name not in ("", common))
    return replace(place, function=common), tuple(others)
