"""Many commands in one round trip: a shell script that says of each command how it ended.

One ssh command costs about 0.14 s under emulation, whatever it does; a stack takes ten.
"""

import base64
import binascii
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from farm.stack.steps import Step

# Output is carried as base64, so that no tool's output can be taken for a report line.
_REPORT = re.compile(r"^farm-step ([0-9]{1,4}) ([0-9]{1,3}) ([A-Za-z0-9+/=]*)$", re.MULTILINE | re.ASCII)
_PROLOGUE = """\
set -u
# No udev runs in the guest: libdevmapper shall make the nodes below /dev/mapper itself.
export DM_DISABLE_UDEV=1
mkdir -p /run/farm
step() {
  number=$1 data=$2; shift 2
  if [ -n "$data" ]; then out=$(printf %s "$data" | base64 -d | "$@" 2>&1); status=$?
  else out=$("$@" 2>&1 </dev/null); status=$?; fi
  [ -z "$out" ] || out=$(printf %s "$out" | tail -c 20000 | base64 -w0)
  echo "farm-step $number $status $out"
"""
_STOP = '  [ "$status" = 0 ] || exit 0\n}\n'
_GO_ON = "}\n"


@dataclass(frozen=True)
class StepResult:
    """How one step ended."""

    step: Step
    # Exit status.
    status: int
    # Both of its outputs, at most the last 20 kB.
    output: str


def render(steps: Sequence[Step], *, go_on: bool = False) -> str:
    """The script; it stops at the first step that fails unless `go_on`."""
    lines = [_PROLOGUE + (_GO_ON if go_on else _STOP)]
    for number, step in enumerate(steps):
        data = base64.b64encode(step.input).decode()
        lines.append(f"step {number} '{data}' {shlex.join(step.argv)}\n")
    return "".join(lines)


def results(steps: Sequence[Step], printed: str) -> list[StepResult]:
    """What the script reported, in order; steps it never reached are missing. Damaged lines are passed over."""
    found: list[StepResult] = []
    for match in _REPORT.finditer(printed):
        if int(match[1]) != len(found) or len(found) == len(steps):
            continue
        try:
            output = base64.b64decode(match[3], validate=True).decode(errors="replace")
        except (binascii.Error, ValueError):
            output = "(unreadable)"
        found.append(StepResult(steps[len(found)], int(match[2]), output))
    return found
