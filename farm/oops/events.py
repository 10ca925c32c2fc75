"""Messages of one line that are no crash: I/O errors, timeouts, failed verification, file systems that gave up.

Each says which layer reported (see `Finding.layer`), on which device and at which sector, as far as the line tells.
Messages about media that come and go as userspace pleases (loop, nbd, floppy, CD) are nobody's bug and left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from farm.model import Finding, json_digest
from farm.oops.lines import Line


@dataclass(frozen=True)
class Event:
    """One row: a message, what it means, and who says so."""

    # Identifies the row; the sample of the same name in the tests proves it.
    name: str
    # One of KINDS.
    kind: str
    # Literal string that every matching line has.
    word: str
    # Searched in the text, which is hostile: it begins with something fixed or bounded. Groups `device`, `function`,
    # `what`, and for the place `sector`, `hex` (sector in hex), `byte` (offset) with `length` (bytes), or `lba` with
    # `blocks`: numbers of at most 64 bits, for Python neither reads nor prints one of more than 4300 digits.
    expression: str
    # With `{what}` and other groups.
    title: str
    # Word for the reporting layer, or "".
    layer: str = ""

    @cached_property
    def regex(self) -> re.Pattern[str]:
        return re.compile(self.expression)


_DM = r"device-mapper: (?P<target>[\w-]+): (?:(?P<device>[\w:.-]+): )?"
_NVME = r"\b(?P<device>nvme\w+): \w[\w ]*\(0x[0-9a-f]+\)(?: @ LBA (?P<lba>\d{1,19}), (?P<blocks>\d{1,19}) blocks)?, "
_BLK = r"error, dev (?P<device>[\w/-]+), sector (?P<sector>\d{1,19})"
# fs/xfs/xfs_error.c: xfs_buf_verifier_error says the block, xfs_inode_verifier_error only an inode.
_XFS_BLOCK = r"(?:[^,]*, \S+ block 0x(?P<hex>[0-9a-f]{1,16}))?"
_EXT4 = r"EXT4-fs error \(device (?P<device>\S+?)\)(?: in|:) (?P<function>\w+):\d+: "
_BTRFS = r"\(device (?P<device>[\w-]{1,64}+)[^)]*\)"

# verify.c, log_verify_failure: the block that was checked, which may be a part of the one that was read.
_LENGTH = r"(?:, length (?P<length>\d{1,19}))?"

EVENTS: tuple[Event, ...] = (
    # block/t10-pi.c, t10_pi_verify and ext_pi_crc64_verify; `app tag` before 6.11 by drivers
    Event(
        "pi-guard", "verification", "rror",
        r"\b(?P<device>[\w-]{1,64}): guard tag error at sector (?P<sector>\d{1,19})",
        "guard tag error on {device}", "pi-guard",
    ),
    Event(
        "pi-ref", "verification", "rror",
        r"\b(?P<device>[\w-]{1,64}): ref tag error at location (?P<sector>\d{1,19})",
        "reference tag error on {device}", "pi-ref",
    ),
    Event(
        "pi-app", "verification", "rror",
        r"\b(?P<device>[\w-]{1,64}): app tag error at (?:location|sector) (?P<sector>\d{1,19})",
        "application tag error on {device}", "pi-app",
    ),
    # drivers/nvme/host/core.c nvme_log_error with the names of drivers/nvme/host/constants.c: the controller checked
    Event(
        "nvme-guard", "verification", "rror",
        _NVME + r"End-to-end Guard Check Error",
        "controller: guard check error on {device}", "pi-guard",
    ),
    Event(
        "nvme-ref", "verification", "rror",
        _NVME + r"End-to-end Reference Tag Check Error",
        "controller: reference tag check error on {device}", "pi-ref",
    ),
    Event(
        "nvme-app", "verification", "rror",
        _NVME + r"End-to-end Application Tag Check Error",
        "controller: application tag check error on {device}", "pi-app",
    ),
    Event(
        "nvme-media", "verification", "(sct 0x",
        _NVME + r"(?P<what>[\w -]+) \(sct 0x2 / sc ",
        "controller: {what} on {device}", "nvme-status",
    ),
    Event(
        "nvme-status", "io-error", "(sct 0x",
        _NVME + r"(?P<what>(?!Invalid (?:Field|Command)|Feature|Namespace)[\w -]+) \(sct 0x[013-7] / sc ",
        "controller: {what} on {device}",
    ),
    # block/blk-mq.c blk_print_req_error with the names of block/blk-core.c blk_errors; `blk_update_request:` until 5.16
    Event(
        "blk-protection", "verification", "rror",
        r"protection " + _BLK,
        "protection error on {device}",
    ),
    Event("blk-timeout", "io-timeout", "rror", r"timeout " + _BLK, "I/O timeout on {device}"),
    Event(
        "blk-error", "io-error", "rror",
        r"(?P<what>I/O|critical (?:target|medium|nexus|space allocation)|recoverable transport|transport|"
        r"device offline|(?:kernel|device) resource|dm internal retry|(?:open|active) zones exceeded|"
        r"duration limit exceeded) " + _BLK,
        "{what} error on {device}",
    ),
    # fs/buffer.c, buffer_io_error; `device` by fs/ext4/page-io.c, buffer_io_error; mm/page_io.c, mm/swapfile.c
    Event(
        "buffer-error", "io-error", "rror",
        r"Buffer I/O error on dev(?:ice)? (?P<device>[\w-]+), logical block \d+",
        "Buffer I/O error on {device}",
    ),
    Event(
        "swap-error", "io-error", "rror",
        r"(?P<what>Read|Write)-error on swap-device \((?P<device>\d+:\d+):(?P<sector>\d{1,19})\)",
        "{what}-error on swap-device {device}",
    ),
    Event(
        "swap-entry", "other", "Bad swap ",
        r"\b(?P<function>\w{1,64}): (?P<what>Bad swap (?:file|offset) entry) [0-9a-f]+",
        "{what} in {function}",
    ),
    # mm/zswap.c, zswap_decompress, since 6.15; a BUG_ON before
    Event(
        "zswap", "other", "rror", r"Decompression error from zswap \(",
        "zswap: decompression error",
    ),
    # drivers/nvme/host/pci.c nvme_timeout, nvme_warn_reset; drivers/nvme/host/core.c nvme_wait_ready
    Event(
        "nvme-timeout", "io-timeout", "timeout, ",
        r"\b(?P<device>nvme\w+): I/O (?:tag )?\d+ .*QID \d+ timeout, (?P<what>aborting|reset controller|"
        r"disable controller|completion polled)",
        "nvme timeout, {what} on {device}",
    ),
    Event(
        "nvme-dead", "io-timeout", "controller is down; will reset",
        r"\b(?P<device>nvme\w+): controller is down; will reset",
        "nvme controller is down on {device}",
    ),
    Event(
        "nvme-not-ready", "io-timeout", "Device not ready; aborting",
        r"\b(?P<device>nvme\w+): Device not ready; aborting (?P<what>\w+)",
        "nvme controller not ready on {device}",
    ),
    # drivers/nvme/host/pci.c nvme_handle_cqe, nvme.h nvme_find_rq: an answer to no request, or to an older one
    Event(
        "nvme-completion", "io-error", "completed on queue",
        r"\b(?P<device>nvme\w+): invalid id \d+ completed on queue \d+",
        "nvme answer to no request on {device}",
    ),
    Event(
        "nvme-generation", "io-error", "genctr mismatch",
        r"\b(?P<device>nvme\w+): request 0x[0-9a-f]+ genctr mismatch",
        "nvme answer to an older request on {device}",
    ),
    # drivers/nvme/host/pci.c, nvme_reset_work
    Event(
        "nvme-disabled", "io-error", "Disabling device after reset",
        r"\b(?P<device>nvme\w+): Disabling device after reset failure: -?\d+",
        "nvme controller given up after a failed reset on {device}",
    ),
    Event(
        "scsi-timeout", "io-timeout", "timing out command",
        r"\[(?P<device>sd\w+)\] .*timing out command",
        "scsi timeout on {device}",
    ),
    # drivers/md/dm-crypt.c, crypt_convert_block_aead and kcryptd_async_done
    Event(
        "dm-crypt", "verification", "INTEGRITY AEAD ERROR",
        _DM + r"INTEGRITY AEAD ERROR, sector (?P<sector>\d{1,19})",
        "dm-crypt: integrity AEAD error on {device}", "dm-crypt-aead",
    ),
    # drivers/md/dm-integrity.c, integrity_metadata and __journal_read_write
    Event(
        "dm-integrity", "verification", "Checksum failed ",
        _DM + r"Checksum failed (?P<what>when reading from journal, )?at sector 0x(?P<hex>[0-9a-f]{1,16})",
        "dm-integrity: checksum failed {what}on {device}", "dm-integrity",
    ),
    # dm_integrity_io_error, which names no device; any other -84 (EILSEQ) comes from the layer beneath
    Event(
        "dm-integrity-mac", "verification", "rror",
        r"device-mapper: integrity: Error on (?P<what>(?:tag mismatch when replaying journal|\w+ mac): -84|"
        r"(?:journal commit ids?|invalid sector in journal): -5)",
        "dm-integrity: error on {what}", "dm-integrity",
    ),
    Event(
        "dm-integrity-error", "io-error", "rror",
        r"device-mapper: integrity: Error on (?P<what>[\w ]+): -\d+",
        "dm-integrity: error on {what}",
    ),
    # drivers/md/dm-verity-target.c, verity_handle_err
    Event(
        "dm-verity", "verification", "mapper: verity: ",
        _DM + r"(?P<what>data|metadata) block \d+ is corrupted",
        "dm-verity: {what} block corrupted on {device}", "dm-verity",
    ),
    # drivers/md/persistent-data/dm-block-manager.c dm_bm_validate_buffer; dm-thin.c and dm-cache-target.c,
    # metadata_operation_failed
    Event(
        "dm-metadata", "verification", "check failed for block",
        r"device-mapper: block manager: (?P<what>[\w ]+) validator check failed for block \d+",
        "device-mapper: {what} failed its check",
    ),
    Event(
        "dm-pool", "io-error", "rror",
        r"device-mapper: (?P<target>thin|cache): (?P<device>\S+): metadata operation '(?P<what>\w+)' failed: error = ",
        "dm-{target}: {what} failed on {device}",
    ),
    # drivers/md/raid1.c, raid10.c, raid5.c
    Event(
        "md-failure", "io-error", "Disk failure on",
        r"md/raid\w{0,8}:(?P<array>[^\s:]{1,64}): Disk failure on (?P<device>[\w-]+)",
        "md: disk failure on {device}",
    ),
    # fs/xfs/xfs_error.c xfs_buf_verifier_error, xfs_fsops.c xfs_do_force_shutdown, xfs_buf.c, xfs_aops.c
    Event(
        "xfs-crc", "verification", "rror",
        r"XFS \((?P<device>\S+)\): Metadata CRC error detected at (?P<function>\w+)" + _XFS_BLOCK,
        "XFS: metadata CRC error in {function}", "fs-checksum",
    ),
    Event(
        "xfs-corruption", "verification", "Metadata corruption",
        r"XFS \((?P<device>\S+)\): Metadata corruption detected at (?P<function>\w+)" + _XFS_BLOCK,
        "XFS: metadata corruption in {function}", "fs-checksum",
    ),
    Event(
        "xfs-shutdown", "fs-shutdown", "Shutting down filesystem",
        r"XFS \((?P<device>\S+)\): (?!User initiated)(?P<what>[\w/ -]+?) \(0x[0-9a-f]+\) detected at (?P<function>\w+)",
        "XFS: {what}, shutting down in {function}",
    ),
    Event(
        "xfs-shutdown-old", "fs-shutdown", "Shutting down filesystem",
        r"XFS \((?P<device>\S+)\): (?P<what>[\w/ -]+?)\. *Shutting down filesystem",
        "XFS: {what}, shutting down",
    ),
    Event(
        "xfs-internal", "fs-shutdown", "rror",
        r"XFS \((?P<device>\S+)\): Internal error (?P<what>.+?) at line \d+ of file \S+\s+Caller (?P<function>\w+)",
        "XFS: internal error in {function}",
    ),
    Event(
        "xfs-io", "io-error", "rror",
        r"XFS \((?P<device>\S+)\): metadata I/O error in \"(?P<function>\w{1,64})[^\s\"]{0,80}\" at daddr "
        r"0x(?P<hex>[0-9a-f]{1,16})",
        "XFS: metadata I/O error in {function}",
    ),
    Event(
        "xfs-writeback", "io-error", "rror",
        r"XFS \((?P<device>\S+)\): writeback error on inode \d+, offset \d+, sector (?P<sector>\d{1,19})",
        "XFS: writeback error on {device}",
    ),
    # fs/xfs/xfs_log.c xlog_ioend_work, xfs_log_recover.c xlog_do_io
    Event(
        "xfs-log", "io-error", "rror",
        r"XFS \((?P<device>\S+)\): (?P<what>log(?: recovery \w+)?) I/O error",
        "XFS: {what} I/O error on {device}",
    ),
    # fs/ext4/super.c __ext4_error; texts about checksums in balloc.c, ialloc.c, namei.c, inode.c, extents.c
    Event(
        "ext4-checksum", "verification", "rror",
        _EXT4 + r".*(?:[Cc]hecksum|CRC)",
        "EXT4: checksum error in {function}", "fs-checksum",
    ),
    Event("ext4-error", "fs-shutdown", "rror", _EXT4, "EXT4-fs error in {function}"),
    Event(
        "ext4-readonly", "fs-shutdown", "Remounting filesystem read-only",
        r"EXT4-fs \((?P<device>\S+)\): Remounting filesystem read-only",
        "EXT4: remounting read-only on {device}",
    ),
    # fs/ext4/page-io.c ext4_end_bio; super.c ext4_commit_super
    Event(
        "ext4-io", "io-error", "rror",
        r"EXT4-fs (?:warning )?\((?:device )?(?P<device>\S+?)\): "
        r"(?:ext4_end_bio:\d+: I/O error \d+ (?P<what>writing to inode)|I/O error while (?P<super>writing superblock))",
        "EXT4: I/O error {what}{super} on {device}",
    ),
    # fs/jbd2/commit.c jbd2_journal_commit_transaction, journal.c jbd2_write_superblock
    Event(
        "jbd2-io", "io-error", "rror",
        r"JBD2: (?:Detected IO errors while (?P<what>flushing file data) on|"
        r"I/O error when (?P<super>updating journal superblock) for) (?P<device>[\w-]+?)(?:-\d+)?\.?$",
        "jbd2: I/O error {what}{super} on {device}",
    ),
    # fs/jbd2/journal.c, __jbd2_journal_abort_hard
    Event(
        "jbd2-abort", "fs-shutdown", "Aborting journal on device",
        r"Aborting journal on device (?P<device>[\w-]+?)(?:-\d+)?\.",
        "jbd2: aborting journal on {device}",
    ),
    # fs/btrfs/inode.c btrfs_print_data_csum_error, disk-io.c, super.c btrfs_handle_fs_error
    Event(
        "btrfs-csum", "verification", "BTRFS ",
        r"BTRFS (?:warning|error) " + _BTRFS + r": (?:csum failed|checksum (?:verify failed|error))",
        "BTRFS: checksum error on {device}", "fs-checksum",
    ),
    Event(
        "btrfs-error", "fs-shutdown", "rror",
        r"BTRFS: error " + _BTRFS + r" in (?P<function>\w+):\d+: errno=(?P<what>-\d+ .*)",
        "BTRFS: error in {function}: {what}",
    ),
    # fs/btrfs/disk-io.c btrfs_buffer_uptodate, tree-checker.c; volumes.c btrfs_dev_stat_inc_and_print
    Event(
        "btrfs-transid", "verification", "BTRFS ",
        r"BTRFS (?:warning|error) " + _BTRFS + r": parent transid verify failed",
        "BTRFS: parent transid verify failed on {device}", "fs-checksum",
    ),
    Event(
        "btrfs-corrupt", "verification", "BTRFS ",
        r"BTRFS critical " + _BTRFS + r": corrupt (?P<what>leaf|node)",
        "BTRFS: corrupt {what} on {device}", "fs-checksum",
    ),
    Event(
        "btrfs-device", "io-error", "rror",
        r"BTRFS error \(device [^)]*\): bdev (?:/dev/)?(?P<device>\S+) errs: wr \d+",
        "BTRFS: errors on {device}",
    ),
    # fs/f2fs: f2fs_err about checksums
    Event(
        "f2fs-checksum", "verification", "F2FS-fs (",
        r"F2FS-fs \((?P<device>\S{1,64}?)\): .{0,200}?(?:[Cc]hecksum|CRC) (?:invalid|error|mismatch)",
        "F2FS: checksum error on {device}", "fs-checksum",
    ),
    # fio's verify.c, when its output goes to the console: log_verify_failure, verify_header
    Event(
        "fio-verify", "verification", "verify failed at file",
        r"\b(?P<what>\w{1,64}): verify failed at file (?P<device>\S+) offset (?P<byte>\d{1,19})" + _LENGTH,
        "fio: {what} verify failed on {device}", "fio-verify",
    ),
    Event(
        "fio-header", "verification", "at file ",
        r"verify: bad (?P<what>[\w ]*?)(?: header)?(?: \w+)?, wanted \S+ at file (?P<device>\S+) offset "
        r"(?P<byte>\d{1,19})" + _LENGTH,
        "fio: bad verify header on {device}", "fio-verify",
    ),
    # mm/oom_kill.c, __oom_kill_process, when its long report was rate limited
    Event(
        "oom-kill", "oom", "Killed process",
        r"(?P<what>Out of memory|Memory cgroup out of memory)[^:]*: Killed process \d+ \((?P<process>.{1,64}?)\)",
        "{what}: killed {process}",
    ),
    # drivers/tty/sysrq.c sysrq_handle_reboot, kernel/reboot.c kernel_restart
    Event("sysrq-reset", "reboot", "sysrq: Resetting", r"sysrq: Resetting", "system reset by sysrq"),
    Event(
        "restart", "reboot", "reboot: Restarting system",
        r"reboot: Restarting system",
        "kernel restarted the system",
    ),
)  # fmt: skip

_NO_MEDIUM = re.compile(r"(?:/dev/)?(?:loop|nbd|fd|sr|zram)\d+(?:p\d+)?")
# One controller path of a multipath namespace (drivers/nvme/host/multipath.c, nvme_mpath_set_disk_name).
_PATH = re.compile(r"(nvme\d+)c\d+(n\d+)")


def event_words() -> Iterator[str]:
    """The literals that trigger a closer look."""
    for event in EVENTS:
        yield event.word


def match_event(line: Line) -> Finding | None:
    """The finding that a line is by itself, or None."""
    text = line.text
    for event in EVENTS:
        if event.word not in text:
            continue
        match = event.regex.search(text)
        if match is None:
            continue
        groups = {key: (value or "").strip() for key, value in match.groupdict().items()}
        device = _PATH.sub(r"\1\2", groups.get("device", ""))
        if _NO_MEDIUM.fullmatch(device):
            return None
        function = groups.get("function", "")
        title = event.title.format_map({"what": "", **groups, "device": device or "a device"})
        return Finding(
            kind=event.kind, title=" ".join(title.split()), function=function,
            signature=json_digest([event.kind, event.name, function, device])[:16], process=groups.get("process", ""),
            layer=event.layer, device=device, start=line.start, end=line.end, text=text, **_place(groups),
        )  # fmt: skip
    return None


def _place(groups: dict[str, str]) -> dict[str, Any]:
    """The fields of a finding that say where."""
    numbers = {name: int(groups[name]) for name in ("sector", "byte", "length", "lba", "blocks") if groups.get(name)}
    if groups.get("hex"):
        return {"sector": int(groups["hex"], 16)}
    if "byte" in numbers:
        return {"sector": numbers["byte"] // 512, "sectors": -(-numbers.get("length", 0) // 512)}
    return {name: numbers[name] for name in ("sector", "lba", "blocks") if name in numbers}
