"""What ran in a guest, as one shell script: pure, from the record of its commands to text.

The commands keep their order and what ran beside what: one during which no other began is waited for, any other
goes to the background and is waited for, or killed, where it ended.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from farm.guest.command import END

# Statuses of the script: a command failed that had succeeded; one failed as it had failed; what it takes was not kept.
DIFFERENT, AS_RECORDED, INCOMPLETE = 3, 10, 4
# What scripts/supervise.sh of the workloads says at the end.
_STATUS = re.compile(r"^farm-status (\d+)$", re.MULTILINE)

_TEMPLATE = "guest.sh.in"


@dataclass(frozen=True)
class _Step:
    number: int
    # As one would type it.
    command: str
    # Base64 of its standard input.
    input: str
    began: float
    ended: float
    # Recorded exit status; "" when it was not waited for to the end.
    status: str
    # Status of the workload that it supervised, "" for none.
    workload: str
    # It was stopped by the testcase.
    stopped: bool


def guest_script(commands: Sequence[Mapping[str, Any]]) -> str:
    """The script that repeats these commands, as `farm.results` records them."""
    values = {"AS_RECORDED": AS_RECORDED, "DIFFERENT": DIFFERENT, "END": END.strip()}
    template = (files("farm.repro") / _TEMPLATE).read_text(encoding="utf-8")
    lines = [re.sub(r"@([A-Z_]+)@", lambda match: str(values[match[1]]), template)]
    lacking = [one for one in commands if one.get("input_bytes")]
    if lacking:
        text = shlex.quote(f"the input of `{lacking[0]['command'][:80]}` was too long to be recorded")
        return "\n".join([*lines, f"say {text}", f"exit {INCOMPLETE}", ""])
    steps = [_step(number, one) for number, one in enumerate(commands, 1)]
    return "\n".join([*lines, *_body(steps), "exit 0", ""])


def _step(number: int, one: Mapping[str, Any]) -> _Step:
    error = str(one.get("error", ""))
    workload = _STATUS.findall(str(one.get("stdout", "")))
    return _Step(
        number, str(one["command"]), str(one.get("input", "")), float(one["started"]),
        float(one["started"]) + float(one["seconds"]), "" if error else str(int(one["status"])),
        workload[-1] if workload and not error else "", stopped=error == "stopped")


def _body(steps: Sequence[_Step]) -> Iterator[str]:
    moments = sorted([(step.began, 1, step) for step in steps] + [(step.ended, 0, step) for step in steps],
                     key=lambda moment: (moment[0], moment[1], moment[2].number))
    behind = set()
    for place, (_, begins, step) in enumerate(moments):
        if begins:
            alone = place + 1 < len(moments) and moments[place + 1][2] is step
            yield from _begin(step, alone=alone)
            behind |= set() if alone else {step.number}
        elif step.number in behind:
            n = step.number
            yield f"farm_end $p{n}; wait $p{n}" if step.stopped else f"wait $p{n}; {_check(step)}"


def _begin(step: _Step, *, alone: bool) -> Iterator[str]:
    n = step.number
    # Function and not argument list: a command may be as long as it likes.
    yield f"s{n}() {{"
    yield f"  printf %s {step.input} | base64 -d | {step.command}" if step.input else f"  {step.command} </dev/null"
    yield "}"
    if alone:
        yield f"( s{n} ) >{n}.out 2>&1; {_check(step)}"
    else:
        # A group of its own, by which it can be killed; job control does that in a script too.
        yield f"set -m; ( s{n} ) >{n}.out 2>&1 & p{n}=$!; set +m"


def _check(step: _Step) -> str:
    return f"check {step.number} $? {shlex.quote(step.status)} {shlex.quote(step.workload)}"
