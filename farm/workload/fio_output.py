"""Reading what fio 3.33 says: its JSON, its verification failures and its I/O errors. Hostile input: nothing raises."""

import errno
import json
import os
import re
from collections.abc import Iterator
from typing import Any

from farm.workload.result import IoError, VerifyError

# fio prints strerror() in the guest's C locale, which is this host's table.
_ERRNO = {os.strerror(number): name for number, name in sorted(errno.errorcode.items())}

_IO = re.compile(
    r"^fio: io_u error on file (?P<file>[^\n]+?): (?P<text>[^:\n]+): (?P<op>\w+) offset=(?P<offset>\d{1,19}), "
    r"buflen=(?P<length>\d{1,15})", re.MULTILINE | re.ASCII)
# `crc32c: verify failed at file F offset N`, the same of `pattern` below two lines of bits that say no place, and
# `verify: bad magic header X, wanted Y at file F offset N`.
_VERIFY = re.compile(
    r"^(?P<who>\w+): (?P<what>verify failed|bad [^\n]{1,120}?) at file (?P<file>[^\n]+?) offset (?P<offset>\d{1,19})",
    re.MULTILINE | re.ASCII)
# What fio counts with; JSON may hold longer numbers, which Python does not print.
_BITS = 64


def io_errors(said: str) -> tuple[IoError, ...]:
    return tuple(
        IoError(_ERRNO.get(match["text"].strip(), ""), match["op"], match["file"], int(match["offset"]),
                int(match["length"]))
        for match in _IO.finditer(said))


def verify_errors(said: str) -> tuple[VerifyError, ...]:
    return tuple(
        VerifyError(_plain(match["who"], match["what"]), match["file"], int(match["offset"]))
        for match in _VERIFY.finditer(said))


def _plain(who: str, what: str) -> str:
    """`bad magic header 49c7, wanted acca` -> `bad magic header`."""
    words = re.split(r",|\s(?=[0-9a-f]+\b)", what, maxsplit=1)[0].strip()
    return words if who == "verify" else f"{who} {words}"


def totals(stdout: str) -> tuple[int, int, int]:
    """Passes, finished I/Os and bytes over all the JSON documents printed one after the other."""
    passes = ios = count = 0
    for document in _documents(stdout):
        passes += 1
        jobs = document.get("jobs")
        for job in jobs if isinstance(jobs, list) else []:
            for direction in ("read", "write", "trim"):
                part = job.get(direction) if isinstance(job, dict) else None
                if isinstance(part, dict):
                    ios += _number(part.get("total_ios"))
                    count += _number(part.get("io_bytes"))
    return passes, ios, count


def _documents(stdout: str) -> Iterator[dict[str, Any]]:
    """fio prints notes between and before the documents, which begin and end with a bracket alone on a line."""
    lines = stdout.split("\n")
    # Not by an expression, which would look for the end anew from each beginning.
    begin = -1
    for at, line in enumerate(lines):
        if begin < 0:
            begin = at if line == "{" else -1
        if begin < 0 or line != "}":
            continue
        text, begin = "\n".join(lines[begin:at + 1]), -1
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict):
            yield document


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << _BITS else 0
