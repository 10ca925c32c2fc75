"""What a report says: crash reports, kernel, configuration, commits, ciphers, devices and functions. Pure."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from farm.model import Finding
from farm.oops import classify
from farm.repro.failures import spoken_of
from farm.repro.patchtext import Changes, changes, prose

# How much a function counts that a crash report names as the place, that is in its trace, or that is only mentioned.
_PLACE, _TRACE, _MENTIONED = 6.0, 3.0, 1.0
# Frames of a trace that count, and functions in all.
_FRAMES = 8
_FUNCTIONS = 60
# What mails put before lines that they quote.
_QUOTED = re.compile(r"^(?:[ \t]*[>|:])+ ?", re.MULTILINE)
_NAME = r"\b_{0,2}[a-z][a-z0-9]*_[a-z0-9_]+"
_IDENTIFIER = re.compile(rf"{_NAME}\b", re.ASCII)
# As calls are written, and as a trace has them.
_CALLED = re.compile(rf"({_NAME})(?:\(|\+0x)", re.ASCII)
_VERSION = re.compile(
    r"(?:Linux version |[Kk]ernel:? (?:version )?|Not tainted |Tainted: [A-Z ]+ |\bv|\bLinux )"
    r"(\d{1,3}\.\d{1,3}(?:\.\d{1,3})?(?:-rc\d+)?)(?![\d.]*\d)", re.ASCII)
_COMMIT = re.compile(r"(?:[Cc]ommit:? |Fixes: )([0-9a-f]{7,40})\b|\b([0-9a-f]{12,40}) \(\"", re.ASCII)
_REGRESSION = re.compile(r"\blr#[0-9a-f]{4,12}\b|bugzilla\.kernel\.org/show_bug\.cgi\?id=\d+|\bsyzbot\+[0-9a-f]{16,24}")
_CONFIG = re.compile(r"\bCONFIG_[A-Z0-9_]{2,60}\b")
_CIPHER = re.compile(
    r"\b(?:aes|serpent|twofish|chacha20|aegis128|adiantum)-[a-z0-9]+(?:-[a-z0-9:]+)?\b|"
    r"\b(?:xts|cbc|gcm|ctr|lrw|essiv|authenc|cryptd)\((?:[a-z0-9-]+\()?[a-z0-9-]+\)*|\b(?:xts|cbc|gcm)-aes-[a-z0-9-]+\b|"
    r"\bin (?:xts|cbc|gcm) mode\b")
_TARGET = re.compile(r"\bdm-(?:crypt|integrity|linear|mirror|raid1?|thin|verity|zoned|flakey|delay|snapshot|cache)\b")
# What stands before a line of a console: the level, the time, the CPU or the task (printk.c:info_print_prefix).
_STAMP = r"^[^\S\n]*+(?:<\d{1,3}>[^\S\n]*+)?(?:\[[^\]\n]{1,40}\][^\S\n]*+){0,2}"
# Architecture -> what only its reports have (arch/*/kernel/{traps,process,fault}*.c).
_ARCHITECTURES: Mapping[str, re.Pattern[str]] = {
    name: re.compile(rf"{_STAMP}(?:{begins})" + (rf"|{anywhere}" if anywhere else ""), re.MULTILINE)
    for name, begins, anywhere in (
        ("arm64", r"pstate:|ESR = 0x|pc : \w+", r"\baarch64\b"), ("arm", r"PC is at \w+", ""),
        ("powerpc", r"NIP \[?[0-9a-f]{8}", r"\bppc64"), ("riscv", r"epc : ", r"\briscv64\b"),
        ("s390", r"Krnl PSW :", ""), ("i386", r"EIP: ", ""))}
# Flavor -> kinds of reports that only it makes.
_FLAVORS: Mapping[str, frozenset[str]] = {
    "kasan": frozenset({"kasan", "ubsan"}), "lockdep": frozenset({"lockdep", "atomic-sleep"}),
    "kmemleak": frozenset({"memory-leak"})}
# The last release of each series that there was when this was written; beyond it nobody can have one.
_SERIES: Mapping[int, int] = {2: 6, 3: 19, 4: 20, 5: 19, 6: 19, 7: 2}


@dataclass(frozen=True)
class Concept:
    """A subject of reports, by the words that name it, and how a testcase shows that it is about that.

    Words may be names of files: a patch that names no function, where only inlined ones change, names those.
    """

    name: str
    words: re.Pattern[str]
    # Functions that only run where it plays a part.
    functions: tuple[str, ...] = ()
    # Words of a stack's text.
    stack: tuple[str, ...] = ()
    # Flavor that reports it best.
    flavor: str = ""


def _concept(name: str, words: str, functions: str = "", stack: str = "", flavor: str = "") -> Concept:
    return Concept(name, re.compile(words), tuple(functions.split()), tuple(stack.split()), flavor)


CONCEPTS: tuple[Concept, ...] = (
    _concept("dm-crypt", r"\bdm[-_]crypt\b|\bkcryptd", "crypt_map kcryptd_crypt crypt_convert", "crypt luks2"),
    _concept("dm-crypt without workqueues", r"FORCE_INLINE|no_(?:read|write)_workqueue|\binline (?:mode|IOs?|case)\b",
             "", "no_read_workqueue no_write_workqueue"),
    _concept("dm-integrity", r"\bdm[-_]integrity\b", "dm_integrity_map", "integrity"),
    _concept("dm-mirror", r"\bdm[-_](?:mirror|raid1)\b", "mirror_map", "mirror"),
    _concept("integrity payloads",
             r"\bbio[-_]integrity|\bblk[-_]integrity|protection information|\bT10\b|\bt10[-_]pi|guard tag",
             "bio_integrity_prep bio_integrity_verify_fn"),
    _concept("asynchronous ciphers", r"\bcryptd\b|CRYPTO_ALG_ASYNC|asynchronous|\b-?EINPROGRESS\b|async_done",
             "cryptd_enqueue_request kcryptd_async_done cryptd_skcipher_complete", "cryptd"),
    _concept("xts", r"\bxts\b", "xts_encrypt xts_decrypt", "xts"),
    _concept("XFS", r"\bXFS\b|\bxfs_", "xfs_file_write_iter", "xfs"),
    _concept("ext4", r"\b[Ee]xt4\b|\bjbd2\b", "ext4_file_write_iter", "ext4"),
    _concept("memory reclaim",
             r"\bGFP_(?:NOFS|NOIO|KERNEL|ATOMIC)\b|memalloc_no(?:fs|io)|\breclaim|\bkswapd|PF_MEMALLOC",
             "shrink_node shrink_folio_list try_to_free_pages", "swap"),
    _concept("swap", r"\bswap(?:out|in|ping|per|s|file)?\b|\bswap_(?:slots|state|writepage|read)", "swap_writepage",
             "swap"),
    _concept("zswap", r"\bzswap\b|\bzswap_|\bzsmalloc\b|\bzs_|\bzpool", "zswap_store zswap_compress zswap_pool_create"),
    _concept("CPU hotplug", r"\bhot-?(?:un)?plug|\boffl?in(?:e|ing)\b|\bCPUHP_|cpuhp_",
             "_cpu_down takedown_cpu zswap_cpu_comp_dead"),
    _concept("EVM and IMA", r"\b(?:EVM|IMA)\b|\b(?:evm|ima)_|\bsecurity/integrity/",
             "evm_verify_hmac evm_verifyxattr ima_appraise_measurement"),
    _concept("keys", r"\brequest_key|\bkeyring|\bkey_alloc\b|call_usermodehelper|\bsecurity/keys/|\bkeyctl",
             "request_key_and_link key_alloc"),
    _concept("zones", r"\bzoned\b|\bzone append\b|\bZNS\b|\bSMR\b|\bdm-zone\b", "nvme_report_zones", "zoned"),
    _concept("use after free", r"KASAN|use[- ]after[- ]free|\bUAF\b|out[- ]of[- ]bounds", flavor="kasan"),
    _concept("lock order", r"possible (?:recursive|circular) locking|\blockdep\b|lock inversion|deadlock",
             flavor="lockdep"),
    _concept("leak", r"kmemleak|memory leak|unreferenced object", flavor="kmemleak"),
)


@dataclass(frozen=True)
class Understanding:
    """What was read out of a report."""

    findings: tuple[Finding, ...]
    # Releases that are named, those of crash reports first.
    versions: tuple[str, ...]
    # Functions and how much each counts.
    functions: Mapping[str, float]
    # Subjects by name -> how often they are mentioned.
    concepts: Mapping[str, int]
    # Kinds of failure in words -> how often it speaks of them, most often first.
    failures: Mapping[str, int]
    commits: tuple[str, ...]
    config: tuple[str, ...]
    ciphers: tuple[str, ...]
    targets: tuple[str, ...]
    regressions: tuple[str, ...]
    # What a patch in it changes.
    changes: Changes
    # What limits it, a sentence each.
    doubts: tuple[str, ...]

    @property
    def subjects(self) -> tuple[Concept, ...]:
        return tuple(concept for concept in CONCEPTS if concept.name in self.concepts)

    def how(self, function: str) -> str:
        """How sure it is that a function has to do with it, in words."""
        if any(one.function == function for one in self.findings):
            return "where it happened"
        traced = any(frame.function == function for one in self.findings for frame in one.frames)
        return "in the trace" if traced else "mentioned"

    @property
    def flavors(self) -> tuple[str, ...]:
        """Flavors that would report it, the likeliest first: those of its crash reports, base, those of its words."""
        reported = [flavor for flavor, kinds in _FLAVORS.items() if any(one.kind in kinds for one in self.findings)]
        return tuple(dict.fromkeys([*reported, "base", *(one.flavor for one in self.subjects if one.flavor)]))

    @property
    def empty(self) -> bool:
        return not (self.findings or self.functions or self.concepts)


def understand(text: str, known: frozenset[str] = frozenset()) -> Understanding:
    """Read a report; `known` are functions of the kernel, by which names without a parenthesis are recognized."""
    plain = _QUOTED.sub("", text)
    findings = tuple(one for one in classify(plain.encode()) if not one.suppressed)
    versions = tuple(dict.fromkeys([*(one.kernel for one in findings if one.kernel), *_VERSION.findall(plain)]))
    # Of a report with a crash in it the crash says more than what somebody proposes to change.
    said = prose(plain) if findings else plain
    concepts = {one.name: len(found) for one in CONCEPTS if (found := one.words.findall(said))}
    return Understanding(
        findings, versions, _functions(said, findings, known), concepts, spoken_of(plain),
        commits=_unique(first or second for first, second in _COMMIT.findall(plain)),
        config=_unique(_CONFIG.findall(plain)), ciphers=_unique(_CIPHER.findall(plain)),
        targets=_unique(_TARGET.findall(plain)), regressions=_unique(_REGRESSION.findall(plain)),
        changes=changes(plain), doubts=tuple(_doubts(plain, findings, versions)))


def _unique(words: Iterator[str] | list[str], most: int = 20) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))[:most]


def _functions(text: str, findings: tuple[Finding, ...], known: frozenset[str]) -> dict[str, float]:
    weights: defaultdict[str, float] = defaultdict(float)
    for finding in findings:
        if finding.function:
            weights[finding.function] += _PLACE
        for frame in [one for one in finding.frames if not one.generic][:_FRAMES]:
            weights[frame.function] += _TRACE
    counted = Counter(_IDENTIFIER.findall(text))
    called = frozenset(_CALLED.findall(text))
    for name, count in counted.items():
        if name in known or name in called:
            weights[name] += _MENTIONED + math.log2(count)
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:_FUNCTIONS])


def _doubts(text: str, findings: tuple[Finding, ...], versions: tuple[str, ...]) -> Iterator[str]:
    for name, pattern in _ARCHITECTURES.items():
        if pattern.search(text):
            yield (f"The report is of {name}, and the farm's guests are x86-64: what only {name} has is not tried.")
    if any(one.corrupted for one in findings):
        yield "A crash report is cut off or mixed up: its function may be wrong."
    if not findings:
        yield "There is no crash report in it: functions and subjects are only mentioned."
    for version in versions:
        first, second = (int(part) for part in version.replace("-", ".").split(".")[:2])
        if first not in _SERIES or second > _SERIES[first]:
            yield f"Nobody has a Linux {version}: the number is misread, or the report is not what it seems."
