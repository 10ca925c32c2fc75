"""Mutants: patches that put a bug back into the kernel, with a header that says who has to notice.

    Mutant: dm-crypt allocates its requests with GFP_KERNEL
    Report: 000
    Upstream: drivers/md/dm-crypt.c:crypt_alloc_req_skcipher
    Kernels: 6.12, 6.1
    Testcase: test_crypt_reclaim.py::test_xfs_and_swap
    Kind: hung-task
    Function: crypt_convert, dm_submit_bio

    Why it breaks, in a paragraph for the reader.
    ---
    the diff

The header ends at the first empty line; a line that begins with a blank goes on where the one above ended.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from farm.errors import UserError
from farm.host.workdir import data_directory
from farm.kernel import DEFAULT_FLAVOR
from farm.oops import KINDS
from farm.verdict import OWN_KINDS

DIRECTORY = "mutants"
SUFFIX = ".patch"


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


_List = Annotated[tuple[str, ...], BeforeValidator(_listed)]


def _known(kind: str) -> str:
    kinds = dict.fromkeys((*KINDS, *OWN_KINDS))
    if kind not in kinds:
        raise ValueError(f"{kind} is none of {', '.join(kinds)}")
    return kind


class _Header(BaseModel):
    """The header as people write it; a key is the field's name with a capital."""

    model_config = ConfigDict(extra="forbid", alias_generator=str.capitalize, str_strip_whitespace=True)

    mutant: str = Field(min_length=1)
    report: str = Field("-", pattern=r"^\S+$")
    upstream: str = Field(min_length=1)
    kernels: Annotated[_List, Field(min_length=1)]
    testcase: str = Field(pattern=r"^test_\w+\.py::test_\S+$")
    kind: Annotated[tuple[Annotated[str, AfterValidator(_known)], ...], BeforeValidator(_listed), Field(min_length=1)]
    function: _List = ()
    flavor: str = DEFAULT_FLAVOR


@dataclass(frozen=True)
class Mutant:
    """One bug, ready to be put back."""

    # Name of its file, without the suffix.
    name: str
    path: Path
    # SHA-256 of the file.
    digest: str
    # What it puts back, in a line.
    what: str
    # Number of the report in which such a bug was discussed (docs/qualification.md), or its URL; `-` for none.
    report: str
    # Commit that mended or made it upstream, or file and function.
    upstream: str
    # Versions that the patch is for, e.g. `6.12`.
    kernels: tuple[str, ...]
    # Node id of the testcase that must catch it, relative to the farm's testcases.
    testcase: str
    # Kinds of report of which one has to name it.
    kinds: tuple[str, ...]
    # Functions of which one has to be named; empty when no report of it names any.
    functions: tuple[str, ...]
    # Flavor in which it shows.
    flavor: str

    def is_for(self, release: str) -> bool:
        """Whether it is made for a kernel release such as `6.12.117-farm`."""
        return any(release == version or release.startswith(f"{version}.") for version in self.kernels)


def read_mutant(path: Path) -> Mutant:
    """Raises UserError, naming file and key, when the header is not what the module's text asks for."""
    try:
        data = path.read_bytes()
        head, _, rest = data.decode("utf-8").partition("\n\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The mutant {path} cannot be read: {error}.") from error
    if "\n--- " not in rest or "\n+++ " not in rest:
        raise UserError(f"The mutant {path} has no diff behind its header and an empty line.")
    parsed = HeaderParser().parsestr(head + "\n\n")
    given: dict[str, Any] = {}
    for key, value in parsed.items():
        if key in given:
            raise UserError(f"The mutant {path} has the key {key} twice.")
        given[key] = " ".join(value.split())
    try:
        header = _Header.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        key = place.capitalize()
        raise UserError(f"The mutant {path}: {key}: {first['msg']}. See CONTRIBUTING.md, \"A mutant\".") from error
    return Mutant(
        name=path.stem, path=path, digest=hashlib.sha256(data).hexdigest(), what=header.mutant, report=header.report,
        upstream=header.upstream, kernels=header.kernels, testcase=header.testcase, kinds=header.kind,
        functions=header.function, flavor=header.flavor)


def load_mutants(names: Sequence[str] = (), directory: Path | None = None) -> tuple[Mutant, ...]:
    """The mutants of these names, or all there are, by name; a path of a patch of one's own works too.

    Raises UserError for an unknown name, for two patches of one name, by which their runs would be mixed up, or for a
    mutant that is not written as it has to be.
    """
    folder = directory or data_directory("testcases") / DIRECTORY
    known = {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}
    paths: dict[str, Path] = {}
    for name in names:
        own = Path(name)
        path = known.get(name.removesuffix(SUFFIX), own)
        if not path.is_file():
            raise UserError(f"There is no mutant {name}. Known are {', '.join(known)}; the path of a patch works too.")
        if paths.setdefault(path.stem, path) != path:
            raise UserError(f"Two mutants are called {path.stem}: {paths[path.stem]} and {path}. Rename one of them.")
    return tuple(map(read_mutant, (paths or known).values()))
