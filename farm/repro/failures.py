"""The kinds of failure that reports speak of in words, and what each may end in here. Pure."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """A kind of failure as people speak of it, and the kinds of report, or of the monitor's findings, it ends in."""

    name: str
    words: re.Pattern[str]
    kinds: frozenset[str]


def _failure(name: str, words: str, kinds: str) -> Failure:
    return Failure(name, re.compile(words, re.IGNORECASE), frozenset(kinds.split()))


FAILURES: tuple[Failure, ...] = (
    _failure("deadlock or hang",
             r"\bdeadlock\w*|\bhung task|\bhangs?\b|\bstuck\b|blocked for more than|\blivelock|soft lockup|"
             r"lock inversion|possible (?:circular|recursive) locking",
             "hung-task no-progress silence lockdep soft-lockup hard-lockup rcu-stall workqueue-lockup "
             "io-timeout"),
    _failure("crash",
             r"\boops\b|NULL[- ]pointer|null[- ]deref\w*|general protection|kernel BUG|\bBUG_ON\b|\bpanics?\b|"
             r"\bcrash(?:es|ed|ing)?\b", "oops gpf kernel-bug panic kasan kfence stack-overflow"),
    _failure("use after free", r"use[- ]after[- ]free|\bUAF\b|out[- ]of[- ]bounds|double[- ]free",
             "kasan kfence oops gpf kernel-bug"),
    _failure("wrong data", r"data (?:corruption|loss)|\bcorrupt(?:s|ed|ing|ion)?\b|wrong data|(?:guard|ref|app) tag|"
             r"AEAD ERROR|checksum (?:failed|mismatch|error)|I/O errors?",
             "verification io-error fs-shutdown unnoticed"),
    _failure("leak", r"memory leak|kmemleak|unreferenced object|\bleaks?\b", "memory-leak"),
    _failure("warning", r"\bWARNING:|\bWARN_ON|\bsplat\b|sleeping function called", "warning atomic-sleep lockdep"),
)


def spoken_of(text: str) -> dict[str, int]:
    """Failures and how often a text speaks of each, most often first; a line that mails quote again counts once."""
    lines = dict.fromkeys(text.splitlines())
    counts = {one.name: sum(len(one.words.findall(line)) for line in lines) for one in FAILURES}
    return {name: count for name, count in sorted(counts.items(), key=lambda item: -item[1]) if count}
