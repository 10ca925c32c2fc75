"""Every row of every table proves itself on its sample."""

import re

import pytest

from farm.oops import KINDS
from farm.oops.events import EVENTS, match_event
from farm.oops.generic import SKIP, group_of
from farm.oops.lines import Line
from farm.oops.locate import WAYS
from farm.oops.machinery import GROUPS
from farm.oops.table import PATTERNS, match_line

from . import samples


def test_every_row_has_a_sample() -> None:
    assert sorted(pattern.name for pattern in PATTERNS) == sorted(samples.REPORTS)
    assert sorted(event.name for event in EVENTS) == sorted(samples.EVENTS)


@pytest.mark.parametrize("name", samples.REPORTS)
def test_report_row_matches_its_sample(name: str) -> None:
    found = match_line(samples.REPORTS[name])
    assert found is not None
    assert found[0].name == name


@pytest.mark.parametrize("name", samples.EVENTS)
def test_event_row_matches_its_sample(name: str) -> None:
    text = samples.EVENTS[name]
    event = next(event for event in EVENTS if event.name == name)
    found = match_event(Line(text, 0, len(text)))
    assert found is not None
    assert (found.kind, found.layer) == (event.kind, event.layer)
    assert next(one.name for one in EVENTS if one.word in text and one.regex.search(text)) == name
    assert match_line(text) is None


def test_rows_use_known_words() -> None:
    assert {pattern.kind for pattern in PATTERNS} | {event.kind for event in EVENTS} == set(KINDS)
    assert {pattern.where for pattern in PATTERNS} <= set(WAYS)
    assert {group for groups in SKIP.values() for group in groups} == set(GROUPS)


def test_title_fields_are_filled() -> None:
    for pattern in PATTERNS:
        fields = set(re.findall(r"\{(\w+)\}", " ".join((pattern.title, *pattern.alternatives))))
        given = set(pattern.regex.groupindex) | {"function", "access", "class", "bug", "victim", "reason"}
        assert fields <= given, pattern.name


@pytest.mark.parametrize(
    ("function", "group"),
    [
        ("dump_stack_lvl", "print"), ("asm_exc_page_fault", "report"), ("entry_SYSCALL_64_after_hwframe", "entry"),
        ("kasan_report", "sanitizer"), ("perf_trace_lock", "instrument"), ("__kmalloc_noprof", "alloc"),
        ("__asan_memcpy", "sanitizer"), ("strscpy", "memory"), ("xas_load", "primitive"), ("__mutex_lock", "lock"),
        ("io_schedule", "wait"), ("__flush_work", "flush"), ("kobject_put", "helper"), ("skb_panic", "bounds"),
        ("hlock_class", "check"), ("lock_sock_nested", "named-lock"), ("unwind_next_frame", "unwind"),
        ("debug_smp_processor_id", "percpu"),
        ("tick_sched_handle", "watchdog"), ("default_idle", "idle"), ("alloc_inode", "constructor"),
    ],
)  # fmt: skip
def test_machinery_is_known(function: str, group: str) -> None:
    assert group in group_of(function)


@pytest.mark.parametrize(
    "function",
    ["crypt_convert", "xfs_buf_lock_item", "dm_submit_bio", "rtnl_lock", "kcryptd_crypt", "nvme_queue_rq",
     "shrink_slab",
     "jbd2_log_wait_commit", "submit_bio_wait", "swap_writepage", "kfree_skb", "bio_integrity_verify_fn", "wbt_wait"],
)  # fmt: skip
def test_subsystems_are_not_machinery(function: str) -> None:
    assert not group_of(function)
