"""Frames that are never where a bug is: the machinery that noticed it, printed it, or was asked to wait.

Which groups of `farm.oops.machinery` are skipped depends on what happened: `mutex_lock` says nothing in the title of
a hang, but a hang in `rtnl_lock` is named so, because that is one well-known lock.
"""

import re
from functools import cache, lru_cache

from farm.oops.machinery import GROUPS

_ALWAYS = ("print", "report", "entry", "sanitizer", "instrument")
_DATA = ("alloc", "memory", "primitive", "lock", "named-lock", "wait", "flush", "helper")

# What happened (the `where` of a pattern) -> groups that do not name it.
SKIP: dict[str, tuple[str, ...]] = {
    "access": (*_ALWAYS, *_DATA),
    "fault": (*_ALWAYS, *_DATA),
    "bug": (*_ALWAYS, *_DATA, "bounds"),
    "warning": (*_ALWAYS, "alloc", "memory", "primitive", "helper", "check", "bounds"),
    "caller": (*_ALWAYS, *_DATA, "check"),
    "lock": (*_ALWAYS, *_DATA, "unwind"),
    # The function that lockdep itself names as the one that took a lock.
    "at": (*_ALWAYS, "lock", "primitive"),
    "atomic": (*_ALWAYS, *_DATA, "percpu", "unwind"),
    "hung": (*_ALWAYS, "lock", "named-lock", "primitive", "wait", "flush", "alloc"),
    "stall": (*_ALWAYS, *_DATA, "watchdog", "idle", "unwind"),
    "leak": (*_ALWAYS, *_DATA, "constructor", "unwind"),
    "panic": _ALWAYS,
    # What stands between the report of a stalled CPU and the code it ran.
    "print": ("print", "unwind"),
    "idle": ("idle",),
    "tick": ("print", "watchdog", "entry"),
    # The last resort: where even the entry code is better than nothing.
    "weak": ("sanitizer", "instrument", "alloc", "memory", "primitive", "lock", "named-lock", "wait", "print"),
}


@cache
def _compiled(group: str) -> re.Pattern[str]:
    return re.compile(GROUPS[group])


@lru_cache(maxsize=16384)
def group_of(function: str) -> frozenset[str]:
    """The groups that a function belongs to."""
    return frozenset(group for group in GROUPS if _compiled(group).fullmatch(function))


def is_generic(function: str, where: str) -> bool:
    """Whether a frame says nothing about the place of what happened."""
    groups = group_of(function)
    return any(group in groups for group in SKIP[where])
