"""The plan of nightly runs, as people write it: TOML, checked by pydantic. docs/nightly.md shows every key."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from farm.errors import UserError
from farm.guest.machinetext import parse_machine, parse_namespace
from farm.kernel.flavors import load as load_flavors
from farm.model import json_digest
from farm.nightly.toml import read_toml
from farm.stack import check_stack, parse_stack

# Names become parts of file names and of series.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,60}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Kernel(_Part):
    """A kernel that is built every night: a source package, or a branch of a tree."""

    # What its history is kept under, whatever its revision.
    name: Name
    source: str = Field("", pattern=r"^(debian:[a-z0-9][a-z0-9.+-]+)?$")
    # A git repository, and what of it; it is never written to.
    tree: Path | None = None
    rev: str = ""
    patches: tuple[Path, ...] = ()
    # `SYMBOL=value`.
    config: tuple[Annotated[str, Field(pattern=r"^[A-Z0-9_]+=.*$")], ...] = ()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.source) == bool(self.tree):
            raise ValueError("give either source (a Debian package) or tree (a git repository)")
        if self.rev and not self.tree:
            raise ValueError("rev needs tree: a source package has no revisions")
        return self

    @property
    def release(self) -> str:
        """The version as far as the name of the package tells it: some rules of stacks depend on it."""
        found = re.search(r"(\d+\.\d+)", self.source)
        return found[1] if found else ""


class MachineEntry(_Part):
    """A machine in place of the testcases' own."""

    name: Name
    # As `farm run --machine`.
    text: str

    @field_validator("text")
    @classmethod
    def _readable(cls, text: str) -> str:
        return _checked(parse_machine, text)


class StackEntry(_Part):
    """A stack and the namespaces that it lies on, in place of the testcases' own."""

    name: Name
    # As `farm run --stack`.
    text: str
    # As `farm run --namespace`.
    namespaces: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("namespaces")
    @classmethod
    def _namespaces_are_readable(cls, listed: tuple[str, ...]) -> tuple[str, ...]:
        for one in listed:
            _checked(parse_namespace, one)
        return listed

    @field_validator("text")
    @classmethod
    def _readable(cls, text: str) -> str:
        return _checked(parse_stack, text)

    def objection(self, release: str) -> str:
        """Why the rules of the stacks refuse it on a kernel, "" when they do not."""
        try:
            check_stack(parse_stack(self.text), tuple(map(parse_namespace, self.namespaces)), release)
        except UserError as error:
            return str(error)
        return ""


class Testcases(_Part):
    """A choice of testcases, and where in the matrix they run."""

    __test__ = False  # pytest would take it for a class of tests

    # As `farm run` takes them; empty: all that come with the farm.
    select: tuple[str, ...] = ()
    # As `farm run -m`.
    marks: str = ""
    # Of the plan's; empty: all of them, for stacks and machines: the testcase's own.
    kernels: tuple[str, ...] = ()
    flavors: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    stacks: tuple[str, ...] = ()
    repetitions: int = Field(1, ge=1, le=1000)
    # When the time is short, what has the lowest goes first.
    priority: int = 0
    # Length of each workload in seconds of the guest; none: the testcase's own.
    duration: float | None = Field(None, gt=0, le=24 * 3600)

    @model_validator(mode="after")
    def _chosen(self) -> Self:
        if not self.select and not self.marks:
            raise ValueError('name testcases by select, or by marks, e.g. marks = "smoke"')
        return self


class Reports(_Part):
    """Where reports go beside the run directory; nothing is sent by the farm itself."""

    # Directory of the static site.
    site: Path | None = None
    junit: Path | None = None
    markdown: Path | None = None
    mail: Path | None = None
    kcidb: Path | None = None
    # Runs that the site shows.
    nights: Annotated[int, Field(ge=1, le=400)] = 30


class Plan(_Part):
    """What runs every night."""

    name: Name
    # The time budget; none: until all has run.
    hours: float | None = Field(None, gt=0, le=240)
    # Cells at a time.
    parallel: int = Field(1, ge=1, le=256)
    # Runs after a failure at most, to tell a new one from a flaky testcase.
    reruns: int = Field(10, ge=0, le=100)
    # A cell that takes longer is ended, and is the host's fault.
    cell_minutes: float = Field(60, gt=0, le=24 * 60)
    # Look for the commit that brought a new failure, in the time that is left.
    bisect: Literal["off", "auto"] = "off"
    known_failures: Path | None = None
    runs_dir: Path = Path("runs")
    # URL; none: the farm's own.
    database: str = ""
    kernels: Annotated[tuple[Kernel, ...], Field(min_length=1)]
    flavors: Annotated[tuple[Name, ...], Field(min_length=1)] = ("base",)
    config_dirs: tuple[Path, ...] = ()
    machines: tuple[MachineEntry, ...] = ()
    stacks: tuple[StackEntry, ...] = ()
    testcases: Annotated[tuple[Testcases, ...], Field(min_length=1)]
    reports: Reports = Reports()

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        known = {"kernels": _names(self.kernels, "kernels"), "flavors": self.flavors,
                 "machines": _names(self.machines, "machines"), "stacks": _names(self.stacks, "stacks")}
        for number, entry in enumerate(self.testcases):
            for what, names in known.items():
                for name in getattr(entry, what):
                    if name not in names:
                        raise ValueError(f"testcases.{number}.{what}: there is no {name} among the plan's {what}"
                                         f" ({', '.join(names) or 'none'})")
        return self

    @property
    def digest(self) -> str:
        """What it says: a run goes on only with the same plan."""
        return json_digest(self.model_dump(mode="json"))

    def kernel(self, name: str) -> Kernel:
        return next(one for one in self.kernels if one.name == name)


def read_plan(path: Path) -> Plan:
    """The plan with all paths absolute: they are written relative to its file. Raises UserError."""
    plan = read_toml(path, Plan, "plan")
    base = path.absolute().parent

    def absolute(value: Any) -> Any:
        if isinstance(value, Path):
            return base / value.expanduser()
        if isinstance(value, tuple):
            return tuple(map(absolute, value))
        if isinstance(value, _Part):
            return value.model_copy(update={name: absolute(getattr(value, name)) for name in type(value).model_fields})
        return value

    made: Plan = absolute(plan)
    for number, kernel in enumerate(made.kernels):
        for what, needed in (("tree", [kernel.tree] if kernel.tree else []), ("patches", kernel.patches)):
            for one in needed:
                if not one.exists():
                    raise UserError(f"the plan {path}: kernels.{number}.{what}: there is no {one}.")
    _require_flavors(made, path)
    return made


def _require_flavors(plan: Plan, path: Path) -> None:
    """Hours later it would be told cell by cell. Raises UserError."""
    known = load_flavors(plan.config_dirs)
    for number, flavor in enumerate(plan.flavors):
        if flavor not in known:
            raise UserError(f"the plan {path}: flavors.{number}: there is no flavor {flavor}. Known are "
                            f"{', '.join(sorted(known))}; config_dirs add more.")


def _names(entries: tuple[Any, ...], what: str) -> tuple[str, ...]:
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what}: two are called {name}")
    return tuple(names)


def _checked(parse: Any, text: str) -> str:
    try:
        parse(text)
    except UserError as error:
        raise ValueError(str(error)) from error
    return text
