"""Known failures: a file of entries by signature, each with a note, an owner, and an end.

    [[known]]
    signature = "warning:in crypt_map"
    note = "discussed, a fix is under review"
    owner = "Ada Lovelace <ada@example.org>"
    expires = 2026-12-31
    fixed_by = "0123456789ab"
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from farm.nightly.toml import read_toml
from farm.results.values import Change, VerdictRow

# Whether the kernel under test has a commit; None when nobody can say.
Contains = Callable[[str], bool | None]


class Known(BaseModel):
    """One failure that is known, and that nobody wants to be told of as new."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    # As reports and `farm history` name it.
    signature: str = Field(min_length=1)
    note: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    # The last day on which the entry counts.
    expires: date
    # The commit that mends it.
    fixed_by: str = Field("", pattern=r"^([0-9a-f]{8,40})?$")


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    known: tuple[Known, ...] = ()


def read_known(path: Path) -> tuple[Known, ...]:
    """Raises UserError, naming file and place, when the file is not written as it has to be."""
    return read_toml(path, _File, "list of known failures").known


def excuse(
    verdicts: Iterable[VerdictRow], known: Sequence[Known], today: date, contains: Contains = lambda _: None,
) -> tuple[VerdictRow, ...]:
    """The verdicts, each failure that a valid entry covers with the entry's note.

    An entry is not valid after its last day, nor on a kernel that has the commit which should have mended it.
    """
    notes = {entry.signature: f"{entry.note} ({entry.owner})" for entry in known
             if today <= entry.expires and not (entry.fixed_by and contains(entry.fixed_by))}
    return tuple(replace(one, known=notes.get(one.signature, "")) if one.signature else one for one in verdicts)


def remarks(
    verdicts: Iterable[VerdictRow], known: Sequence[Known], today: date, contains: Contains = lambda _: None,
) -> tuple[str, ...]:
    """A sentence for every entry that somebody has to look at: expired, or of a failure that is mended or should be."""
    seen = {one.signature for one in verdicts if one.change in (Change.NEW, Change.STILL, Change.FLAKY)}
    found = []
    for entry in known:
        shows = entry.signature in seen
        name = f"known failure {entry.signature} ({entry.owner})"
        if today > entry.expires:
            found.append(f"{name} expired on {entry.expires}" + (" and still shows." if shows else "; remove it."))
        elif entry.fixed_by and shows and contains(entry.fixed_by):
            found.append(f"{name} still shows though this kernel has {entry.fixed_by}, which should have mended it.")
        elif entry.fixed_by and not shows:
            found.append(f"{name} is mended by {entry.fixed_by} and did not show: remove it when every kernel has it.")
    return tuple(found)
