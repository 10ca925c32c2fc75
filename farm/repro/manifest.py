"""What a bundle says of itself. It may come from a stranger: every word is checked before it is used."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from farm import __version__
from farm.errors import UserError
from farm.guest.argv import check_machine
from farm.model import Cell, Machine, Outcome
from farm.stack import check_stack, parse_stack
from farm.verdict import Cause

# Raised when an older farm could not make sense of a bundle any more.
FORMAT = 1
MANIFEST = "manifest.json"

# A machine that a stranger may ask for, in MiB: beyond it lies an attack on the host rather than a test.
MOST_MEMORY_MIB = 64 << 10
MOST_DISK_MIB = 64 << 10

_DIGEST = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[!-~]{1,200}")
_TEXT = re.compile(r"[ -~]{1,400}")
_LONG_TEXT = re.compile(r"[ -~]{1,4000}")
_TESTCASE = re.compile(r"(?P<file>test_\w{1,80}\.py)::[ -~]{1,300}", re.ASCII)
# A source package, a commit, or the digest of a ready image.
SOURCE = re.compile(r"debian:linux-source-[0-9.]{1,20}|[0-9a-f]{40}|[0-9a-f]{64}|image:[0-9a-f]{64}")
_FLAVOR = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")
_RECIPE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,40}")
# A configuration symbol whose value cannot name a file of the host, nor be taken for a makefile's function.
HARMLESS_CONFIG = re.compile(r"\w{1,100}=(y|m|n|-?\d{1,20}|0x[0-9a-fA-F]{1,16})", re.ASCII)
_CONFIG = re.compile(r"\w{1,100}=[ -~]{1,200}", re.ASCII)

_Size = Annotated[int, Field(ge=0)]


class FileEntry(BaseModel):
    """One file of a bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: _Size


class Manifest(BaseModel):
    """manifest.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    # Version of the farm that made it.
    farm: str = Field(max_length=40)
    cell: Cell
    outcome: Outcome
    title: str = Field(max_length=4000)
    # What ended the testcase; None for one that passed.
    cause: Cause | None = None
    # Version of QEMU, and the accelerator.
    qemu: str = Field(max_length=200)
    accelerator: str = Field(pattern=r"^(kvm|tcg)$")
    # The kernel's command line beyond what every guest gets and what the cell says.
    append: tuple[str, ...] = ()
    rounds: int = Field(ge=1, le=1_000_000)
    # Recipe of the guest image; its digest is the cell's.
    image_recipe: str
    # Files of the bundle other than this one.
    files: dict[str, FileEntry]

    @property
    def testcase_file(self) -> str:
        """Name of the file that the testcase was in."""
        return self.cell.testcase.partition("::")[0]

    def text(self) -> str:
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"


_CELL = TypeAdapter(Cell)


def cell_of(value: object, where: str) -> Cell:
    """A cell as result.json has it. Raises UserError, naming the place, when it is none."""
    try:
        return _CELL.validate_python(value)
    except ValidationError as error:
        raise UserError(f"{where} describes no cell: {_first(error)}.") from error


def read_manifest(text: bytes, name: str) -> Manifest:
    """The manifest of the bundle called `name`, every word of it checked.

    Raises UserError for a bundle of a newer farm, and for one that no farm would have made.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name}: its {MANIFEST} is no JSON. Ask for the bundle again.") from error
    if not isinstance(value, dict) or not isinstance(value.get("format"), int):
        raise UserError(f"{name}: its {MANIFEST} does not say which format it has, so this is no bundle of the farm.")
    if value["format"] != FORMAT:
        maker = f"farm {value['farm']}" if _RECIPE.fullmatch(str(value.get("farm"))) else "another farm"
        raise UserError(f"{name} was made by {maker} in format {value['format']}, and this is farm {__version__}, "
                        f"which reads format {FORMAT}. Update the farm, or ask for a bundle made by this version.")
    try:
        manifest = Manifest.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{name}: {MANIFEST}: {_first(error)}. No farm writes such a bundle.") from error
    check(manifest, name)
    return manifest


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])[:200]}: {first['msg'][:200]}"


def check(manifest: Manifest, name: str) -> None:
    """Raises UserError for words that must not reach a command line, and for a machine that nobody means."""
    cell, kernel = manifest.cell, manifest.cell.kernel
    words: Mapping[str, tuple[re.Pattern[str], tuple[str, ...]]] = {
        "testcase": (_TESTCASE, (cell.testcase,)),
        "kernel.source": (SOURCE, (kernel.source,)),
        "kernel.release": (_TEXT, (kernel.release or "none",)),
        "kernel.flavor": (_FLAVOR, (kernel.flavor,)),
        "kernel.config": (_CONFIG, kernel.config),
        "kernel.patches": (_DIGEST, kernel.patches),
        "kernel.build": (_DIGEST, (kernel.build,) if kernel.build else ()),
        "machine.append": (_WORD, cell.machine.append),
        "append": (_WORD, manifest.append),
        "stacks": (_TEXT, cell.stacks),
        "workloads": (_LONG_TEXT, cell.workloads),
        "pressure": (_LONG_TEXT, cell.pressure),
        "image": (_DIGEST, (cell.image,)),
        "image_recipe": (_RECIPE, (manifest.image_recipe,)),
    }
    for place, (pattern, values) in words.items():
        for value in values:
            if not pattern.fullmatch(value):
                raise UserError(f"{name}: {MANIFEST}: {place} cannot be {value[:80]!r}. No farm writes such a bundle.")
    if len(kernel.patches) > 64 or len(cell.stacks) > 64:
        raise UserError(f"{name}: {MANIFEST} lists more patches or stacks than any run has.")
    if not 0 <= cell.seed < 1 << 64 or not 0 < cell.duration <= 86400:
        raise UserError(f"{name}: {MANIFEST}: no run has the seed {cell.seed} and a duration of {cell.duration} s.")
    _guarded(lambda: _check_machine(cell), name)


def _check_machine(cell: Cell) -> None:
    machine: Machine = cell.machine
    check_machine(machine)
    disks = sum(one.size_mib for one in machine.namespaces)
    if machine.memory_mib > MOST_MEMORY_MIB or disks > MOST_DISK_MIB:
        raise UserError(f"it asks for {machine.memory_mib} MiB of memory and {disks} MiB of disks; at most "
                        f"{MOST_MEMORY_MIB} and {MOST_DISK_MIB} are taken from a bundle.")
    for text in cell.stacks:
        check_stack(parse_stack(text), machine.namespaces)


def _guarded(work: Callable[[], Any], name: str) -> None:
    try:
        work()
    except UserError as error:
        raise UserError(f"{name}: its machine cannot be: {error}") from error
