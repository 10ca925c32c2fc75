"""What the kernel finds when it checks itself: named after whoever is to blame, not after the check.

In the words of the kernel's sources.
"""

import pytest

from farm.model import Finding
from farm.oops import classify


def first(text: str) -> Finding:
    return classify(text.encode())[0]


# kernel/workqueue.c, process_one_work
LEAKED = """\
BUG: workqueue leaked atomic, lock or RCU: kworker/u4:1[31]
     preempt=0x00000001 lock=0->0 RCU=0->0 workfn=kcryptd_crypt
CPU: 0 UID: 0 PID: 31 Comm: kworker/u4:1 Not tainted 6.12.0 #1
Workqueue: kcryptd/253:0 kcryptd_crypt
Call Trace:
 dump_stack_lvl+0x53/0x70
 process_one_work+0x34e/0x3b0
 worker_thread+0x1/0x2
"""
LEAKED_OLD = LEAKED.replace("preempt=0x00000001 lock=0->0 RCU=0->0 workfn=", "last function: ")


@pytest.mark.parametrize("text", [LEAKED, LEAKED_OLD], ids=["6.9", "before"])
def test_a_work_that_did_not_clean_up_is_named(text: str) -> None:
    found = first(text)
    assert (found.function, found.corrupted) == ("kcryptd_crypt", False)


# kernel/dma/debug.c, err_printk: its own functions warn on behalf of the driver
DMA = """\
------------[ cut here ]------------
DMA-API: nvme 0000:00:04.0: cacheline tracking EEXIST, overlapping mappings aren't supported
WARNING: CPU: 0 PID: 412 at kernel/dma/debug.c:596 add_dma_entry+0x1f0/0x2f0
CPU: 0 UID: 0 PID: 412 Comm: fio Not tainted 6.12.0 #1
RIP: 0010:add_dma_entry+0x1f0/0x2f0
Call Trace:
 debug_dma_map_sg+0x5c/0x60
 __dma_map_sg_attrs+0x1/0x2
 dma_map_sgtable+0x1/0x2
 nvme_map_data+0x1/0x2
 nvme_queue_rq+0x1/0x2
---[ end trace 0000000000000000 ]---
"""


def test_a_wrong_mapping_is_the_drivers() -> None:
    assert first(DMA).title == "WARNING in nvme_map_data"
    unmapping = DMA.replace("add_dma_entry", "check_unmap").replace("__dma_map_sg_attrs", "dma_unmap_page_attrs")
    assert first(unmapping).title == "WARNING in nvme_map_data"


# mm/slub.c
SLUB = """\
=============================================================================
BUG bio-120 (Tainted: G    B   W         ): {what}
-----------------------------------------------------------------------------

CPU: 0 UID: 0 PID: 412 Comm: fio Tainted: G    B   W          6.12.0 #1
Call Trace:
 dump_stack_lvl+0x53/0x70
 check_bytes_and_report+0x1/0x2
 check_object+0x1/0x2
 __kmem_cache_shutdown+0x1/0x2
 kmem_cache_destroy+0x1/0x2
 bioset_exit+0x1/0x2
"""


@pytest.mark.parametrize(
    ("what", "title"),
    [
        ("Left Redzone overwritten", "Left Redzone overwritten"), ("Poison overwritten", "Poison overwritten"),
        ("Padding overwritten. 0x0a-0x0b @offset=1", "Padding overwritten"),
        ("Objects remaining in bio-120 on __kmem_cache_shutdown()", "Objects remaining"),
        ("Freelist Pointer check fails", "Freelist Pointer check fails"),
        ("Attempt to free object(0x0a) outside of slab", "Attempt to free object"), ("inuse 3 > max 2", "inuse"),
        ("Wrong object count. Counter is 1 but counted were 2", "Wrong object count"),
    ],
)  # fmt: skip
def test_a_broken_slab_is_named_in_full(what: str, title: str) -> None:
    found = first(SLUB.format(what=what))
    assert (found.kind, found.title) == ("other", f"BUG: {title} in bioset_exit")


def test_a_wrong_page_table_entry_is_of_whoever_looked() -> None:
    text = """\
BUG: Bad page map in process fio  pte:80000000f1c1d5a0 pmd:0103a067
page: refcount:1 mapcount:-1 mapping:0000000000000000 index:0x0 pfn:0x1234
CPU: 0 UID: 0 PID: 412 Comm: fio Tainted: G    B   W          6.12.0 #1
Call Trace:
 dump_stack_lvl+0x53/0x70
 print_bad_pte+0x1/0x2
 vm_normal_page+0x1/0x2
 unmap_page_range+0x1/0x2
"""
    assert first(text).title == "BUG: Bad page map in vm_normal_page"
    counter = first("BUG: Bad rss-counter state mm:00000000f1c1d5a0 type:MM_ANONPAGES val:2\n")
    assert (counter.title, counter.corrupted) == ("BUG: Bad rss-counter state MM_ANONPAGES", False)


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("BUG: KCSAN: assert: race in dm_start_request / dm_mq_kick", "assert: race in dm_start_request / dm_mq_kick"),
        ("BUG: KCSAN: assert: race in dm_mq_kick+0x10/0x20", "assert: race in dm_mq_kick"),
    ],
)
def test_an_assertion_about_races(line: str, title: str) -> None:
    assert first(f"{line}\n").title == f"KCSAN: {title}"


def test_a_cpu_that_calls_itself_stuck() -> None:
    found = first("watchdog: CPU 8 self-detected hard LOCKUP @ crypt_convert+0x4c/0x90\nCall Trace:\n")
    assert found.kind == "hard-lockup"
