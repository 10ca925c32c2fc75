"""Recipes: what goes into a guest image, read from images/<name>/recipe.toml."""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from farm.errors import UserError
from farm.host.workdir import data_directory

# Counts towards every digest: raise it when farm.image.build makes something else of the same recipe.
FORMAT = 1

PackageName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
GuestPath = Annotated[str, Field(pattern=r"^/[^\x00]+$")]


class RecipeFile(BaseModel):
    """recipe.toml as people write it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Debian release.
    suite: str = Field(pattern=r"^[a-z]+$")
    # Installed with what they depend on, without what they recommend.
    packages: list[PackageName]
    # Globs of files that are never unpacked.
    exclude: list[GuestPath] = []
    # Files and directories removed from the finished tree.
    remove: list[GuestPath] = []
    # Directories made after that.
    directories: list[GuestPath] = []
    # Space left free in the file system, MiB.
    free_mib: int = Field(default=256, ge=16, le=65536)


@dataclass(frozen=True)
class Recipe:
    """A recipe ready to be built."""

    # Name of its folder.
    name: str
    # The folder.
    folder: Path
    # Contents of recipe.toml.
    file: RecipeFile
    # SHA-256 over every file of the folder, as hex.
    digest: str

    @property
    def overlay(self) -> Path:
        """Files that are copied over the tree; may be missing."""
        return self.folder / "overlay"


def load_recipe(name: str) -> Recipe:
    """The recipe `name` of the farm, or of a folder given as a path.

    Raises UserError when there is none or it is not written as it has to be.
    """
    shipped = data_directory("images") / name
    folder = Path(name) if "/" in name or (Path(name).is_dir() and not shipped.is_dir()) else shipped
    path = folder / "recipe.toml"
    if not path.is_file():
        known = ", ".join(sorted(found.parent.name for found in data_directory("images").glob("*/recipe.toml")))
        raise UserError(f"{path}: no such recipe. Known are: {known}; a path to a folder of your own works too.")
    try:
        file = RecipeFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {place}: {first['msg']}") from error
    for field in ("exclude", "remove", "directories"):
        if bad := [entry for entry in getattr(file, field) if ".." in entry.split("/")]:
            raise UserError(f"{path}: {field}: {bad[0]} leads out of the image")
    return Recipe(folder.resolve().name, folder.resolve(), file, folder_digest(folder))


def folder_digest(folder: Path) -> str:
    """SHA-256 over names, execute permission and contents of all files below a folder."""
    digest = hashlib.sha256(f"format {FORMAT}\n".encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink()):
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        executable = not path.is_symlink() and bool(path.stat().st_mode & 0o100)
        digest.update(f"{path.relative_to(folder).as_posix()}\0{executable:d}{len(content)}\0".encode() + content)
    return digest.hexdigest()
