"""What a finding says: function, title, facts, layer."""

import pytest

from farm.oops import classify
from farm.oops.demangle import demangle
from farm.oops.frames import base_name, call_name, parse_frames, parse_register

from . import reports, samples

EXPECTED = {
    "kasan": ("crypt_dec_pending", "KASAN: slab-use-after-free Read in crypt_dec_pending"),
    "hung-task": ("blk_mq_get_tag", "INFO: task hung in blk_mq_get_tag"),
    "oops": ("bio_integrity_prep", "BUG: unable to handle kernel NULL pointer dereference in bio_integrity_prep"),
    "rcu-stall": ("dm_ctl_ioctl", "INFO: rcu detected stall in dm_ctl_ioctl"),
}


@pytest.mark.parametrize("name", reports.ALL)
def test_function_and_title(name: str) -> None:
    found = classify(reports.ALL[name].encode())[0]
    assert (found.kind, found.function, found.title) == (name, *EXPECTED[name])
    assert not found.corrupted


def test_facts() -> None:
    found = classify(reports.KASAN.encode())[0]
    assert (found.process, found.kernel) == ("kworker/u8:3", "6.12.117-farm")
    assert found.workqueue == "kcryptd/253:0 kcryptd_crypt"
    assert found.taint == ""
    assert found.alt_titles == ("bad-access in crypt_dec_pending",)
    assert classify(reports.OOPS.encode())[0].taint == "G W"


def test_frames_are_marked() -> None:
    frames = classify(reports.KASAN.encode())[0].frames
    specific = [frame.function for frame in frames if not frame.generic]
    assert specific == ["crypt_dec_pending", "kcryptd_crypt_read_convert"]
    assert frames[3].offset == "0x3b/0x120"


def test_the_report_is_cut_out() -> None:
    noise = "[    9.000000] nvme nvme0: 2/0/0 default/read/poll queues\n" * 50
    console = (noise + reports.stamped(reports.KASAN) + noise).encode()
    found = classify(console)[0]
    cut = console[found.start : found.end]
    assert cut.startswith(b"[   12.001000] BUG: KASAN")
    assert b"nvme" not in cut


@pytest.mark.parametrize("name", reports.ALL)
def test_signature_is_stable(name: str) -> None:
    text = reports.ALL[name]
    other = (
        text.replace("ffff888004c1a408", "ffff88800badf00d").replace("57", "4711").replace("CPU: 1", "CPU: 0")
        .replace("412", "513").replace("+0x3b/", "+0x3f/").replace("122 seconds", "143 seconds").replace("5249", "99")
    )  # fmt: skip
    assert classify(other.encode())[0].signature == classify(text.encode())[0].signature
    changed = text.replace(EXPECTED[name][0], "another_function")
    assert classify(changed.encode())[0].signature != classify(text.encode())[0].signature


@pytest.mark.parametrize(
    ("name", "layer", "device", "sector"),
    [
        ("pi-guard", "pi-guard", "nvme0n1", 8), ("pi-ref", "pi-ref", "nvme0n1", 16),
        ("nvme-app", "pi-app", "nvme0n1", -1),
        ("nvme-media", "nvme-status", "nvme1n1", -1), ("dm-crypt", "dm-crypt-aead", "dm-1", 128),
        ("dm-integrity", "dm-integrity", "dm-0", 128), ("xfs-crc", "fs-checksum", "dm-0", 1),
        ("fio-verify", "fio-verify", "/dev/dm-0", 2048), ("blk-error", "", "nvme0n1", 2048),
        ("jbd2-io", "", "dm-0", -1), ("ext4-io", "", "dm-0", -1), ("btrfs-device", "", "dm-1", -1),
        ("nvme-generation", "", "nvme0", -1), ("dm-pool", "", "253:4", -1),
    ],
)  # fmt: skip
def test_layer_device_and_sector(name: str, layer: str, device: str, sector: int) -> None:
    (found,) = classify(f"[   12.345678] {samples.EVENTS[name]}\n".encode())
    assert (found.layer, found.device, found.sector) == (layer, device, sector)


@pytest.mark.parametrize("word", ["dev", "device"])
def test_a_failed_buffer_by_either_name(word: str) -> None:
    """fs/buffer.c says `dev`, and fs/ext4/page-io.c `device`."""
    (found,) = classify(f"Buffer I/O error on {word} dm-0, logical block 12, lost async page write\n".encode())
    assert (found.kind, found.device) == ("io-error", "dm-0")


@pytest.mark.parametrize(
    "line",
    [
        "DEBUG: nothing to see", "INFO: lockdep is turned off.",
        "INFO: NMI handler (perf) took too long to run: 2.2 msecs",
        "traps: a.out[3615] general protection fault ip:7feb96eb56a1 sp:20000fd0 error:0 in a.out[7feb96e75000+84000]",
        "XFS (dm-0): WARNING: Reset corrupted AGFL on AG 0. 4 blocks leaked. Please unmount and run xfs_repair.",
        "EXT4-fs warning (device dm-0): ext4_multi_mount_protect:328: MMP interval 42 higher than expected",
        "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible",
        "WARNING: the mand mount option is being deprecated and", "WARNING: /etc/ssh/moduli does not exist",
        "BUG UNIX (Not tainted): kasan: bad access detected",
        "lkdtm: No crash points registered, enable through debugfs",
        "blk_update_request: I/O error, dev fd0, sector 0 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0",
        "Buffer I/O error on dev loop0, logical block 0, async page read",
        "nvme0n1: Identify(0x6), Invalid Field in Command (sct 0x0 / sc 0x2) DNR cdw10=0x0",
        "operation not supported error, dev nvme0n1, sector 0 op 0x9:(WRITE_ZEROES) flags 0x800",
        "INFO: something detected stall in the pipeline", "Internal error: please contact support [#1]",
        "Test case [#1] passed", "fio[412]: segfault at 0 ip 00007f3c sp 00007ffc error 4 in libc.so.6[7f3c+1b0000]",
        "XFS (dm-0): User initiated shutdown (0x1) detected at xfs_fs_goingdown+0x1/0x2 (fs/xfs/xfs_fsops.c:1).  "
        "Shutting down filesystem.", "BTRFS warning (device dm-0): excessive commit interval 400",
        "workqueue: kcryptd_crypt hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND",
        "User process fault: interruption code 003b ilc:3 in fio[1000000+1000]",
        "systemd[1]: Failed to start oops.service: WARNING: nothing", "reboot: Power down",
    ],
)  # fmt: skip
def test_no_failure(line: str) -> None:
    assert classify(f"[   12.345678] {line}\n".encode()) == []
    assert classify(f"{line}\n".encode()) == []


@pytest.mark.parametrize("sector", [0, 2048])
def test_a_discard_that_fails_counts_wherever_it_begins(sector: int) -> None:
    (found,) = classify(f"I/O error, dev nvme0n1, sector {sector} op 0x3:(DISCARD) flags 0x800\n".encode())
    assert (found.kind, found.device, found.sector) == ("io-error", "nvme0n1", sector)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (" foo+0x1a/0x40 [dm_mod]", ["foo"]), (" [<ffffffff81055862>] bar+0x22/0x70", ["bar"]),
        ("[<8011344c>] (unwind_backtrace) from [<8010ef84>] (show_stack+0x1/0x2)", ["unwind_backtrace", "show_stack"]),
        (" dump_stack_lvl from panic+0x104/0x2cc", ["dump_stack_lvl", "panic"]),
        (" baz drivers/md/dm.c:1364 [inline]", ["baz"]),
        (" crypt_map (drivers/md/dm-crypt.c:3500) dm_crypt", ["crypt_map"]),
        (" crypt_map+0x1/0x2 (drivers/md/dm-crypt.c:3500 include/linux/bio.h:7)", ["crypt_map"]),
        (" [<ffffffff81055862>] ? bar+0x22/0x70 (mm/slub.c:12 (discriminator 3))", ["bar"]),
        ("[<ffffffe00008c762>] schedule_tail+0x72/0xb2", ["schedule_tail"]), (" el0_svc+0x30/0xd8 (P)", ["el0_svc"]),
        ("[c000000003a1bb30] [c0000000001c0a5c] die+0x1/0x2 (unreliable)", ["die"]), ("RAX: 0000000000000000", []),
    ],
)  # fmt: skip
def test_frames_of_every_architecture(text: str, names: list[str]) -> None:
    assert [frame.function for frame, _ in parse_frames(text)] == names


@pytest.mark.parametrize(
    ("text", "register", "name"),
    [
        ("RIP: 0010:dm_io+0x1/0x2", "RIP", "dm_io"), ("EIP is at dm_io+0x1/0x2", "EIP", "dm_io"),
        ("RIP: 0010:[<ffffffff824164eb>]  [<ffffffff824164eb>] dm_io+0x129b/0x2280", "RIP", "dm_io"),
        ("PC is at dm_io+0x154/0x39c", "PC", "dm_io"), ("pc : dm_io+0x1/0x2 [dm_mod]", "PC", "dm_io"),
        ("epc : dm_io+0x72/0xb2", "EPC", "dm_io"), ("NIP [c0000000001c0a5c] dm_io+0x1c/0x60", "NIP", "dm_io"),
    ],
)  # fmt: skip
def test_registers_of_every_architecture(text: str, register: str, name: str) -> None:
    found = parse_register(text)
    assert found is not None
    assert (found[0], found[1].function) == (register, name)


def test_user_space_registers_are_left_out() -> None:
    assert parse_register("RIP: 0033:main+0x1/0x2") is None


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("dup_fd.isra.0.cold", "dup_fd"), ("copy_process.part.3", "copy_process"),
        ("crypt_map.llvm.1234567", "crypt_map"),
        ("_Z8fakeNameiii", "fakeName"), ("plain", "plain"), ("_RINvBroken", "_RINvBroken"),
    ],
)  # fmt: skip
def test_base_names(name: str, base: str) -> None:
    assert base_name(name) == base


@pytest.mark.parametrize("name", ["__x64_sys_openat2", "__se_sys_openat2", "__do_sys_openat2", "SyS_openat2"])
def test_call_names(name: str) -> None:
    assert call_name(name) == "openat2"


@pytest.mark.parametrize(("message", "title"), [("it broke", "it broke"), ("", "rust panic")])
def test_the_message_of_rust_is_on_the_next_line(message: str, title: str) -> None:
    text = f"rust_kernel: panicked at drivers/block/rnull.rs:40:5:\n[   12.345678] {message}\n"
    assert [one.title for one in classify(text.encode())] == [title]


def test_a_rust_name() -> None:
    name = "_RNvXs1_CscPPBqWtAqum_11ashmem_rustNtB5_6AshmemNtNtCs43vyB533jt3_6kernel10miscdevice10MiscDevice4mmap"
    assert demangle(name) == "<ashmem_rust::Ashmem as kernel::miscdevice::MiscDevice>::mmap"
