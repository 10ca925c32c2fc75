"""From a bundle to a run on this machine. Of what is in it only the kernel is ever started, and that in QEMU."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from farm import trial
from farm.errors import InfrastructureError, UserError
from farm.guest.machinetext import machine_text, namespace_text
from farm.host.workdir import data_directory
from farm.model import REQUEST_REFUSED, Outcome, Verdict
from farm.options import as_arguments
from farm.repro import archive
from farm.repro.manifest import HARMLESS_CONFIG, Manifest
from farm.repro.recorded import load
from farm.verdict import Cause

_NOT_ASKED = {Outcome.ERROR: Verdict.STOP, Outcome.SKIP: Verdict.SKIP}


@dataclass(frozen=True)
class Comparison:
    """A run in a bundle, and the same here."""

    manifest: Manifest
    outcome: Outcome
    title: str
    cause: Cause | None
    # The run directory of its cell here; None when it became none.
    directory: Path | None
    # What was not the same beforehand, a sentence each.
    differences: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """GOOD when it ended as in the bundle, by the same kind of report in the same function; BAD when not.

        SKIP or STOP when it could not be asked.
        """
        if self.outcome in _NOT_ASKED:
            return _NOT_ASKED[self.outcome]
        return Verdict.GOOD if self.outcome is self.manifest.outcome and same(self.cause, self.manifest.cause) else (
            Verdict.BAD)


def same(one: Cause | None, other: Cause | None) -> bool:
    """True for failures that a maintainer would call the same: kind and function, or what is said without one."""
    if one is None or other is None:
        return one is other
    if one.kind != other.kind:
        return False
    return one.function == other.function if one.function or other.function else True


def arguments(manifest: Manifest, files: Path, given: Mapping[str, object], *, trust: bool) -> list[str]:
    """The command line of `farm run` that repeats the bundle unpacked in `files`.

    `given` are options of `farm run` from the user. Raises UserError when the testcase is not the farm's own, or when a
    kernel would have to be built from what a stranger may have written, unless `trust`.
    """
    testcase = _testcase(manifest)
    kernel, machine = manifest.cell.kernel, manifest.cell.machine
    chosen: dict[str, object] = {
        **given, "seed": manifest.cell.seed, "duration": manifest.cell.duration, "rounds": manifest.rounds,
        "image_recipe": manifest.image_recipe, "flavor": kernel.flavor, "config": kernel.config,
        # Said outright: the run may have had others than the testcase asks for, and so may the testcase here.
        "machine": machine_text(machine), "namespace": tuple(map(namespace_text, machine.namespaces)),
        "stack": manifest.cell.stacks}
    if given.get("kernel_image") is None and archive.KERNEL in manifest.files:
        chosen |= {"kernel_image": files / archive.KERNEL}
    if chosen.get("kernel_image") is not None:
        chosen |= {"config": (), "patch": ()}
        return ["run", testcase, "--json", *as_arguments(chosen)]
    if kernel.source.startswith("image:"):
        raise UserError("The run's kernel was a ready image, which is not in the bundle. Name it with --kernel-image "
                        f"(its SHA-256 is {kernel.source.removeprefix('image:')}).")
    if _wants_trust(manifest) and not trust:
        raise UserError(
            "The bundle has patches or configuration values to build a kernel from, and a kernel's makefiles run on "
            "this host. `farm replay BUNDLE --unpack DIR` shows them; with --trust they are built. A bundle made with "
            "--with-kernel needs neither.")
    chosen["patch"] = _patches(manifest, files)
    if kernel.source.startswith("debian:"):
        chosen["source"] = kernel.source
    elif given.get("tree") is None:
        raise UserError(f"The kernel is commit {kernel.source[:12]}. Name a git repository that has it by --tree.")
    else:
        chosen["rev"] = kernel.source
    return ["run", testcase, "--json", *as_arguments(chosen)]


def command_line(manifest: Manifest, bundle: str) -> str:
    """The `farm replay` that repeats the bundle called so, with what it will not do without."""
    source, wanted = manifest.cell.kernel.source, []
    if archive.KERNEL not in manifest.files:
        if source.startswith("image:"):
            wanted = ["--kernel-image FILE"]
        else:
            wanted = [*([] if source.startswith("debian:") else ["--tree PATH"]),
                      *(["--trust"] if _wants_trust(manifest) else [])]
    return " ".join(["farm replay", shlex.quote(bundle), *wanted])


def _wants_trust(manifest: Manifest) -> bool:
    """True when building its kernel means to run what a stranger may have written."""
    kernel = manifest.cell.kernel
    return bool(kernel.patches) or not all(map(HARMLESS_CONFIG.fullmatch, kernel.config))


def _testcase(manifest: Manifest) -> str:
    path = data_directory("testcases") / manifest.testcase_file
    if not path.is_file():
        raise UserError(
            f"The testcase {manifest.testcase_file} is not one of the farm's own, and a testcase out of a bundle is a "
            "program that is not run on this host. The bundle's replay.sh runs its commands in a guest alone.")
    return f"{path}::{manifest.cell.testcase.partition('::')[2]}"


def _patches(manifest: Manifest, files: Path) -> list[Path]:
    paths = [files / name for name in sorted(manifest.files) if name.startswith("patches/")]
    digests = tuple(manifest.files[f"patches/{path.name}"].sha256 for path in paths)
    if digests != manifest.cell.kernel.patches:
        raise UserError("The patches in the bundle are not those of the run. Ask for the bundle again.")
    return paths


def differences(manifest: Manifest, files: Path, directory: Path | None) -> list[str]:
    """What is not the same here as in the run, a sentence each; `directory` is that of the cell here."""
    found = []
    here, there = data_directory("testcases") / manifest.testcase_file, files / "testcase.py"
    if there.is_file() and here.is_file() and here.read_bytes() != there.read_bytes():
        found.append(f"{manifest.testcase_file} is another version than in the bundle.")
    if directory is None:
        return found
    cell, wanted = load(directory).cell, manifest.cell
    for what, one, other in (
            ("machine", cell.machine, wanted.machine), ("stacks", cell.stacks, wanted.stacks),
            ("guest image", cell.image[:12], wanted.image[:12]),
            ("kernel", cell.kernel.release, wanted.kernel.release)):
        if one != other:
            found.append(f"The {what} is not the bundle's: {one} instead of {other}.")
    configs = [path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
               for path in (directory / "config", files / "config")]
    if all(configs) and (changed := set(configs[0]) ^ set(configs[1])):
        lines = sorted(line for line in changed if "CONFIG_" in line and "_VERSION" not in line)
        if lines:
            found.append(f"The kernel's .config differs in {len(lines)} lines, {lines[0]} among them.")
    return found


def replay(manifest: Manifest, files: Path, command: Sequence[str], log: Path) -> Comparison:
    """Run it. Raises UserError or InfrastructureError with what `farm run` said when it did not come to a cell."""
    ended = trial.Command(command, log).wait()
    cells = trial.cells(ended)
    if not cells:
        error = UserError if ended.status == REQUEST_REFUSED else InfrastructureError
        raise error(ended.said or f"farm run ended with status {ended.status} and said nothing; see {log}")
    cell = cells[0]
    return Comparison(manifest, cell.outcome, cell.title, cell.cause, cell.directory,
                      tuple(differences(manifest, files, cell.directory)))
