"""Reading a TOML file into a pydantic model, with errors that name the place."""

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from farm.errors import UserError

_Model = TypeVar("_Model", bound=BaseModel)
# Nothing that a person writes is longer.
_MOST_BYTES = 4 << 20


def read_toml(path: Path, model: type[_Model], what: str) -> _Model:
    """Raises UserError with one line for each mistake: `kernels.0.source: …`."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UserError(f"the {what} {path} is larger than {_MOST_BYTES >> 20} MiB and cannot be meant.")
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"the {what} {path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"the {what} {path} is no TOML: {error}.") from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = [(tuple(map(str, one["loc"])), one) for one in error.errors()]
        # A list that lost all of its entries to mistakes is told to be too short as well.
        lines = [f"{'.'.join(place) or 'the file'}: {_said(one['msg'])}" for place, one in found
                 if one["type"] != "too_short" or not any(other[:len(place)] == place != other for other, _ in found)]
        raise UserError(f"the {what} {path} is not right:\n    " + "\n    ".join(lines)) from error


def _said(message: str) -> str:
    return {"Extra inputs are not permitted": "there is no such key", "Field required": "is missing"}.get(
        message, message.removeprefix("Value error, "))
