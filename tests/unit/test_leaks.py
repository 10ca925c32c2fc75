"""What is made of kmemleak's answers; real ones are in tests/e2e and tests/golden."""

import pytest

from farm.deadline import Pace
from farm.errors import InfrastructureError
from farm.guest.shell import CommandResult
from farm.leaks import LeakDetector

BOOT = "6f0c1b1e-2b0c-4c58-9c5e-6d1c3f1f7a01"
READY = b"[    1.5] kmemleak: Kernel memory leak detector initialized (mem pool available: 61321)\nfarm-guest ready\n"


def unreferenced(address, jiffies, function):
    return (f"unreferenced object 0x{address:x} (size 96):\n"
            f'  comm "dmsetup", pid 231, jiffies {jiffies}\n'
            "  hex dump (first 32 bytes):\n"
            "    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................\n"
            "  backtrace (crc 4a1f0e5c):\n"
            "    __kmalloc_cache_noprof+0x263/0x2f0\n"
            f"    {function}+0x2d6/0x1c60\n"
            "    table_load+0x134/0x3f0\n")


class Guest:
    """Answers as a guest that began at jiffy 5000 and found `leaks`."""

    def __init__(self, leaks="", status=0, boot=BOOT):
        self.answers = [CommandResult((), 0, f"{BOOT} 5000\n", "", 0.0),
                        CommandResult((), status, f"{boot}\n{leaks}", "", 0.0)]

    def run(self, argv, *, deadline=None, input=None, check=True):
        return self.answers.pop(0)


def search(guest):
    return LeakDetector(guest, Pace()).search()


def test_a_kernel_without_the_detector_is_not_asked(tmp_path):
    (tmp_path / "console.log").write_bytes(b"farm-guest ready\n")
    guest = Guest()
    assert LeakDetector.of(tmp_path / "console.log", guest, Pace()) is None
    assert len(guest.answers) == 2
    (tmp_path / "console.log").write_bytes(READY)
    assert LeakDetector.of(tmp_path / "console.log", guest, Pace()) is not None


def test_nothing_leaked():
    found = search(Guest())
    assert (found.new, found.old) == ((), ())


def test_objects_of_one_trace_are_one_finding():
    text = "".join(unreferenced(0xffff888004c1a400 + 96 * n, 5100 + n, "crypt_ctr") for n in range(30))
    (leak,) = search(Guest(text + unreferenced(0xffff888004c2a400, 5100, "linear_ctr"))).new[:1]
    assert (leak.kind, leak.function) == ("memory-leak", "crypt_ctr")
    assert leak.text.endswith("30 such objects")


def test_what_was_allocated_before_the_testcase_is_told_apart():
    found = search(Guest(unreferenced(0xffff888004c1a400, 4999, "nvme_probe")
                         + unreferenced(0xffff888004c1a800, 5000, "linear_ctr")))
    assert [leak.function for leak in found.new] == ["linear_ctr"]
    assert [leak.function for leak in found.old] == ["nvme_probe"]


def test_an_old_leak_does_not_hide_a_new_one_of_the_same_trace():
    found = search(Guest(unreferenced(0xffff888004c1a400, 4999, "nvme_probe")
                         + unreferenced(0xffff888004c1a800, 5000, "nvme_probe")))
    assert [leak.suppressed for leak in (*found.new, *found.old)] == [False, False]


def test_after_a_reboot_everything_is_new():
    found = search(Guest(unreferenced(0xffff888004c1a400, 4999, "nvme_probe"), boot="another"))
    assert [leak.function for leak in found.new] == ["nvme_probe"]


def test_a_detector_that_is_off_measured_nothing():
    with pytest.raises(InfrastructureError, match="Nobody looked for memory leaks: the detector is off"):
        search(Guest(status=3))
