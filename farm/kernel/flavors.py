"""Flavors: named sets of configuration fragments, composed from templates. They are data, not code.

A configuration directory holds `flavors.toml` and `NAME.config.j2` files. The user's directories are searched
before the farm's own, so a user adds a flavor, or replaces a fragment, without touching the package.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from farm.errors import UserError
from farm.host.workdir import data_directory
from farm.kernel.config import Fragment, parse_fragment, parse_override

FILE = "flavors.toml"
SUFFIX = ".config.j2"

Scalar = str | int | bool


class _Flavor(BaseModel):
    """One table of flavors.toml."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field(min_length=1)
    extends: list[str] = []
    fragments: list[str] = []
    variables: dict[str, Scalar] = {}
    output: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][\w-]*$")


class _Flavors(RootModel[dict[str, _Flavor]]):
    """A whole flavors.toml."""


@dataclass(frozen=True)
class Flavor:
    """A flavor with all that it extends."""

    name: str
    # One line for `farm build --help` and the documentation.
    description: str
    # Fragment names, in the order of merging.
    fragments: tuple[str, ...]
    # Template variables.
    variables: Mapping[str, Scalar]
    # Name of the kept `O=` directory: its own, or that of a flavor from which it differs in little.
    output: str


def directories(config_dirs: Sequence[Path]) -> list[Path]:
    """Where to look, first to last. Raises UserError when a directory of the user's has nothing to offer."""
    for path in config_dirs:
        if not path.is_dir():
            raise UserError(f"--config-dir {path}: there is no such directory.")
        if not (path / FILE).is_file() and not any(path.glob(f"*{SUFFIX}")):
            raise UserError(f"--config-dir {path} has neither {FILE} nor a file that ends in {SUFFIX}.")
    return [*config_dirs, data_directory("configs")]


def load(config_dirs: Sequence[Path] = ()) -> dict[str, Flavor]:
    """All flavors by name. Raises UserError for a flavors.toml that is wrong, with the place in it."""
    tables: dict[str, tuple[Path, _Flavor]] = {}
    for directory in reversed(directories(config_dirs)):
        tables.update({name: (directory / FILE, table) for name, table in _read(directory / FILE).items()})
    return {name: _flatten(name, tables, ()) for name in tables}


def compose(name: str, overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> list[Fragment]:
    """The rendered fragments of a flavor, and one more for `--config` when there is any.

    Raises UserError for an unknown flavor, a missing template, an undefined variable or a malformed line.
    """
    flavors = load(config_dirs)
    if name not in flavors:
        raise UserError(f"There is no flavor {name}. Known are {', '.join(sorted(flavors))}; --config-dir adds more.")
    flavor = flavors[name]
    places = directories(config_dirs)
    environment = jinja2.Environment(  # noqa: S701 - renders kernel configuration, not HTML
        loader=jinja2.FileSystemLoader([str(path) for path in places]),
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
    )
    fragments = [_render(environment, fragment, flavor) for fragment in flavor.fragments]
    if overrides:
        fragments.append(Fragment("command line", Path("--config"), tuple(map(parse_override, overrides))))
    return fragments


def _read(path: Path) -> dict[str, _Flavor]:
    if not path.is_file():
        return {}
    try:
        return _Flavors.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).root
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {place}: {first['msg']}.") from error


def _flatten(name: str, tables: Mapping[str, tuple[Path, _Flavor]], below: tuple[str, ...]) -> Flavor:
    path, table = tables[name]
    if name in below:
        raise UserError(f"{path}: the flavor {name} extends itself ({' -> '.join([*below, name])}).")
    fragments: list[str] = []
    variables: dict[str, Scalar] = {}
    for parent in table.extends:
        if parent not in tables:
            raise UserError(f"{path}: {name}.extends: there is no flavor {parent}.")
        inherited = _flatten(parent, tables, (*below, name))
        fragments += [one for one in inherited.fragments if one not in fragments]
        variables.update(inherited.variables)
    fragments += [one for one in table.fragments if one not in fragments]
    return Flavor(name, table.description, tuple(fragments), {**variables, **table.variables}, table.output or name)


def _render(environment: jinja2.Environment, name: str, flavor: Flavor) -> Fragment:
    file = f"{name}{SUFFIX}"
    try:
        template = environment.get_template(file)
        path = Path(template.filename or file)
        text = template.render(flavor=flavor.name, **flavor.variables)
    except jinja2.TemplateNotFound as error:
        raise UserError(f"The flavor {flavor.name} needs {file}, which is in none of the configuration directories.") \
            from error
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"{error.filename}:{error.lineno}: {error.message}.") from error
    except jinja2.UndefinedError as error:
        place = _template_line(error, str(path))
        raise UserError(
            f"{place}: {error.message}. Give it a value under [{flavor.name}.variables] in {FILE}."
        ) from error
    return Fragment(name, path, tuple(parse_fragment(text, _places(path), str(path))))


def _template_line(error: BaseException, path: str) -> str:
    """`file:line` of the template; jinja2 rewrites the frames of its templates to name them."""
    frame, place = error.__traceback__, path
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == path:
            place = f"{path}:{frame.tb_lineno}"
        frame = frame.tb_next
    return place


def _places(path: Path) -> dict[str, str]:
    """`file:line` of the first line of the template that names a symbol; a loop renders many from one line."""
    places: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        for word in re.findall(r"(?<!\w)(?:CONFIG_)?([A-Z0-9][A-Z0-9_a-z]*)", line):
            if not line.startswith("# ") or "is not set" in line:
                places.setdefault(word, f"{path}:{number}")
    return places
