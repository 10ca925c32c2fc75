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
# `crc32c: verify failed at file F offset N` and `verify: bad magic header X, wanted Y at file F offset N`.
_VERIFY = re.compile(
    r"^(?P<who>\w+): (?P<what>verify failed|bad [^\n]{1,120}?) at file (?P<file>[^\n]+?) offset (?P<offset>\d{1,19})",
    re.MULTILINE | re.ASCII)
# The pattern check has a shape of its own.
_PATTERN = re.compile(
    r"^fio: got pattern '[0-9a-f]+', wanted '[0-9a-f]+'. Bad bits \d+\n(?:fio: )?bad pattern block offset \d+",
    re.MULTILINE | re.ASCII)


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
    for match in re.finditer(r"^\{$.*?^\}$", stdout, re.MULTILINE | re.DOTALL):
        try:
            document = json.loads(match[0])
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict):
            yield document


def _number(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
