"""From a run directory to a bundle: everything that it takes to repeat one cell on another machine."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farm import __version__
from farm.errors import UserError
from farm.host import lease
from farm.host.cache import Entry, Store
from farm.image.build import CLIENT_KEY as IMAGE_CLIENT_KEY
from farm.image.build import HOST_KEY as IMAGE_HOST_KEY
from farm.image.build import IMAGE as IMAGE_FILE
from farm.image.build import KIND as IMAGE_KIND
from farm.image.rekey import rekeyed
from farm.kernel.build import KIND as KERNEL_KIND
from farm.model import json_digest
from farm.repro import archive
from farm.repro.guestscript import guest_script
from farm.repro.manifest import FORMAT, FileEntry, Manifest, check
from farm.repro.recorded import COMMANDS, Recorded, without_paths
from farm.repro.replay import command_line
from farm.repro.replayscript import replay_script
from farm.results import records

# Of result.json, what speaks of the host and not of the run.
_OF_THE_HOST = ("host", "command")
# Copied as they are, where the run has them.
_COPIED = ("config", "console.log", "testcase.py")


def bundle_name(run: Recorded) -> str:
    """A file name for the bundle of a run."""
    return f"{run.directory.name[:80]}-{json_digest([run.cell.digest, run.title])[:8]}{archive.SUFFIX}"


def write_bundle(run: Recorded, path: Path, store: Store, *, with_kernel: bool, with_image: bool) -> Manifest:
    """Write the bundle of a run to `path`.

    Raises UserError when the run lacks something, or its kernel or image has been pruned from the cache.
    """
    archive.check_place(path)  # before a guest image is copied
    held: list[Entry] = []
    files: dict[str, Path | bytes] = {
        name: run.directory / name for name in _COPIED if (run.directory / name).is_file()}
    files |= {f"patches/{one.name}": one for one in run.patches}
    files |= {f"reports/{one.name}": one for one in sorted(run.directory.glob("reports/*.txt"))}
    files["result.json"] = _without_host(run)
    files["qemu.txt"] = _qemu_text(run)
    files["commands.jsonl"] = "".join(
        json.dumps(one, sort_keys=True) + "\n" for one in records.read(run.directory / COMMANDS)).encode()
    if with_kernel:
        files[archive.KERNEL] = _kernel(run, store, held)
    if with_image:
        files |= _image(run, store, held)
    known = archive.entries(files)
    manifest = _manifest(run, known)
    check(manifest, str(run.directory))
    notes, commands = missing(run), run.commands()
    written: dict[str, Path | bytes] = {
        "guest.sh": guest_script(commands).encode(),
        "replay.sh": replay_script(manifest, run.report, commands, notes).encode(),
        "README.md": _readme(manifest, path.name, notes).encode()}
    archive.pack(path, _manifest(run, {**known, **archive.entries(written)}), {**files, **written})
    return manifest


def _manifest(run: Recorded, files: dict[str, FileEntry]) -> Manifest:
    facts = run.facts
    recipe = str(facts.get("image_recipe", "debian")).rstrip("/").rpartition("/")[2]
    return Manifest(
        format=FORMAT, farm=__version__, cell=run.cell, outcome=run.outcome, title=run.title[:4000], cause=run.cause,
        qemu=str(facts.get("qemu") or "unknown"), accelerator=str(facts.get("accelerator", "tcg")), append=run.append,
        rounds=int(facts.get("rounds", 100)), image_recipe=recipe, files=files)


def missing(run: Recorded) -> list[str]:
    """What happened on the host in this run, which replay.sh, knowing QEMU and ssh alone, does not repeat."""
    found = []
    if run.facts.get("expected"):
        found.append("the testcase changed bits of the disk from the host, which this script does not do")
    if run.facts.get("power_cuts"):
        found.append("the testcase cut the machine's power and booted it again, which this script does not do")
    if any(text.startswith("balloon") for text in run.cell.pressure):
        found.append("the testcase shrank the guest's memory by its balloon, which this script does not do")
    if run.cause is not None and run.cause.kind == "assertion":
        found.append("the testcase failed by a check of its own, which this script does not make")
    if not run.facts.get("over"):
        found.append("the record of the commands ends before the testcase did")
    return found


def _without_host(run: Recorded) -> bytes:
    facts = {name: value for name, value in run.facts.items() if name not in _OF_THE_HOST}
    return (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()


def _qemu_text(run: Recorded) -> bytes:
    path = run.directory / "qemu.txt"
    if not path.is_file():
        raise UserError(f"{run.directory} has no qemu.txt: the run ended before QEMU was started. Run it again.")
    return "".join(without_paths(line) + "\n" for line in path.read_text(encoding="utf-8").splitlines()).encode()


def _kernel(run: Recorded, store: Store, held: list[Entry]) -> Path:
    kernel = run.cell.kernel
    if kernel.source.startswith("image:"):
        raise UserError("The run's kernel was a ready --kernel-image, which the farm does not keep. Leave "
                        "--with-kernel out, and send the bzImage along.")
    return _entry(store, (KERNEL_KIND, kernel.build), "run the testcase again", held).file("bzImage")


def _image(run: Recorded, store: Store, held: list[Entry]) -> Mapping[str, Path]:
    entry = _entry(store, (IMAGE_KIND, run.cell.image), "`farm image` builds the one of today", held)
    scratch = lease.scratch_directory("bundle")
    # The cache's own key opens every guest of this host: what leaves it has keys of its own.
    rekeyed(entry.file(IMAGE_FILE), scratch)
    return {archive.IMAGE: scratch / IMAGE_FILE, archive.CLIENT_KEY: scratch / IMAGE_CLIENT_KEY,
            archive.HOST_KEY: scratch / IMAGE_HOST_KEY}


def _entry(store: Store, place: tuple[str, str], how: str, held: list[Entry]) -> Entry:
    kind, key = place
    entry = store.get(kind, key)
    if entry is None:
        raise UserError(f"The {kind} of this run ({key[:12]}) is not in the cache any more: {how}, or leave "
                        f"--with-{kind} out.")
    held.append(entry)  # nobody prunes it meanwhile
    return entry


def _readme(manifest: Manifest, name: str, notes: list[str]) -> str:
    cell, facts = manifest.cell, manifest.files
    kernel, machine = cell.kernel, cell.machine
    own = "the kernel in this bundle" if archive.KERNEL in facts else "the same kernel, built there"
    rows: dict[str, Any] = {
        "testcase": cell.testcase, "outcome": f"{manifest.outcome.value} {_plain(manifest.title)}",
        "kernel": f"{kernel.release}, {kernel.source}, flavor {kernel.flavor}",
        "configuration": " ".join(kernel.config) or "as the flavor has it", "patches": len(kernel.patches),
        "machine": f"{machine.cpus} CPUs, {machine.memory_mib} MiB, {len(machine.namespaces)} namespaces",
        "stacks": "; ".join(cell.stacks) or "none", "workloads": "; ".join(cell.workloads) or "none",
        "seed": cell.seed, "duration": f"{cell.duration:g} s", "image": f"{manifest.image_recipe} {cell.image[:12]}",
        "QEMU": f"{manifest.qemu}, {manifest.accelerator}", "farm": manifest.farm}
    table = "".join(f"    {what:14} {value}\n" for what, value in rows.items())
    lacks = "".join(f"\nNote for replay.sh: {note}.\n" for note in notes)
    return f"""# A run of the farm

{table}
## To repeat it

With the farm, on {own}:

    {command_line(manifest, name)}

It unpacks by itself and starts nothing that is in here but the kernel, in QEMU.

Without the farm, by QEMU and ssh alone:

    ./replay.sh

It is a shell script out of this bundle: read it first. It says what it lacks: the kernel is here when the bundle was
made with --with-kernel, the guest image with --with-image (its ssh key opens this image and nothing else).
{lacks}
## What is here

manifest.json (all of the above, and the digest of every file), config (the kernel's .config), patches/, testcase.py
(for reading), qemu.txt (QEMU's argv), commands.jsonl (what ran in the guest, with its output), guest.sh (the same, to
be run again), console.log, reports/ (the crash reports), result.json.
"""


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text.partition("\n")[0])[:300]
