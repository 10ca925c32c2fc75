"""replay.sh: a bundle on a machine without the farm, by QEMU and ssh alone. Pure, from a manifest to text."""

import re
import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from farm.guest.argv import ACCELERATORS, Launch, qemu_argv
from farm.guest.disk import Geometry
from farm.model import Namespace
from farm.repro.archive import KERNEL
from farm.repro.manifest import Manifest

_TEMPLATE = "replay.sh.in"
# What the script only knows when it runs, as it stands in the argv (the shell needs no quotes for any of it), and what
# it becomes.
_PORT = 65535
_LATE: Mapping[str, str] = {
    "@kernel@": '"$KERNEL"', "@image@": '"$IMAGE"', "@work@": '"$work"', f":{_PORT}-": ':"$PORT"-',
    "socket,id=console,fd=-1": 'file,id=console,path="$work"/console.txt',
}
# Options of the argv that the script sets by itself, and those that speak of QMP.
_OWN = ("-accel", "-cpu")
# Seconds beyond the workloads: the boot, under emulation, and a hang's watchdogs.
_PATIENCE = 600
_NAMED = re.compile(r"^/sys/block/(nvme\d+n\d+)/device/serial:(\S+)\s*$", re.MULTILINE | re.ASCII)


def replay_script(
    manifest: Manifest, finding: Mapping[str, Any] | None, commands: Sequence[Mapping[str, Any]], notes: Sequence[str]
) -> str:
    """The script.

    `finding` is the crash report to look for, `commands` what ran in the guest, `notes` what cannot be repeated.
    """
    machine = manifest.cell.machine
    values = {
        "TITLE": _comment(manifest.title or "a testcase that passed"),
        "TESTCASE": _comment(manifest.cell.testcase),
        "KERNEL": _comment(manifest.cell.kernel.release),
        # What a bzImage says of itself, when it was a ready one.
        "RELEASE": shlex.quote(_comment(manifest.cell.kernel.release)),
        "KERNEL_DIGEST": manifest.files[KERNEL].sha256 if KERNEL in manifest.files else "",
        "QEMU": _qemu(manifest),
        "KVM": shlex.join(ACCELERATORS["kvm"]), "TCG": shlex.join(ACCELERATORS["tcg"]),
        "DISKS": "\n".join(_disk(one) for one in machine.namespaces) or ":",
        "PATTERN": shlex.quote(pattern_of(finding)),
        "FUNCTION": shlex.quote(str(finding.get("function", "")) if finding else ""),
        "NAMES": "\n".join(f'  [ "$(guest cat /sys/block/{name}/device/serial | tr -d " ")" = {serial} ] || return 1'
                           for name, serial in names(commands, machine.namespaces).items()),
        "SECONDS": str(int(_PATIENCE + 8 * manifest.cell.duration)),
        "NOTES": "\n".join(f"say {shlex.quote(f'note: {note}')}" for note in notes),
    }
    template = (files("farm.repro") / _TEMPLATE).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], template)


def names(commands: Sequence[Mapping[str, Any]], namespaces: Sequence[Namespace]) -> dict[str, str]:
    """Kernel name -> serial of the namespaces as they were in the run; those of another boot may differ."""
    known = {one.serial for one in namespaces}
    found = [match for one in commands for match in _NAMED.findall(str(one.get("stdout", "")))]
    return {name: serial for name, serial in found if serial in known}


def pattern_of(finding: Mapping[str, Any] | None) -> str:
    """An extended regular expression for the line that a report begins with; "" for none."""
    text = str(finding.get("text", "")) if finding else ""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")[:200]
    quoted = re.sub(r"([][(){}.*+?^$|\\])", r"\\\1", first)
    # The script is read before it is run: nothing that a terminal obeys may stand in it.
    plain = re.sub(r"[^ -~]+", ".*", quoted)
    return re.sub(r"\b(0x)?[0-9a-f]*[0-9][0-9a-f]*\b", "[0-9a-fx]+", plain)


def _qemu(manifest: Manifest) -> str:
    """The argv, an option with its value on each line."""
    machine = manifest.cell.machine
    launch = Launch(Path("@kernel@"), Path("@image@"), -1, -1,
                    {one.serial: Path(f"@work@/{one.serial}.raw") for one in machine.namespaces}, ssh_port=_PORT)
    lines: list[str] = []
    for word in qemu_argv(machine, "tcg", launch, manifest.append)[1:]:
        quoted = shlex.quote(word)
        for early, late in _LATE.items():
            # What had to be quoted holds none of these, or holds it by chance.
            quoted = quoted if quoted.startswith("'") else quoted.replace(early, late)
        if word.startswith("-"):
            lines.append(quoted)
        else:
            lines[-1] += f" {quoted}"
    return " \\\n  ".join(line for line in lines if not line.startswith(_OWN) and "qmp" not in line)


def _disk(namespace: Namespace) -> str:
    geometry, path = Geometry.of(namespace), f'"$work"/{namespace.serial}.raw'
    if not namespace.pi:
        return f"truncate -s {geometry.file_bytes} {path}"
    # As farm/guest/disk.py, make_backing_files: protection information begins as all ones.
    ones = geometry.file_bytes - geometry.metadata_offset
    return (f"truncate -s {geometry.metadata_offset} {path}\n"
            f"head -c {ones} /dev/zero | tr '\\0' '\\377' >>{path}")


def _comment(text: str) -> str:
    return "".join(char if char.isprintable() and char.isascii() else "?" for char in text)[:200]
