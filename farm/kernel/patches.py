"""Patches: reading diffs, `git format-patch` files and mboxes, and committing them on top of a source."""

import hashlib
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from farm.errors import InfrastructureError, RevisionError, UserError
from farm.host import process
from farm.kernel import git

_MAIL = re.compile(rb"\A(?:From |(?:From|Subject|Date|Message-Id|Return-Path|Received):)", re.IGNORECASE)
_DIFF = re.compile(rb"^(?:diff --git |--- \S[^\n]*\n\+\+\+ )", re.MULTILINE)
_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@.*$")
_FAILED = re.compile(r"^error: patch failed: (?P<file>.+):(?P<line>\d+)$", re.MULTILINE)
_ABSENT = re.compile(r"^error: (?P<file>.+?): (?P<what>does not exist in index|already exists in index)$", re.MULTILINE)
# Any other complaint, unless it is about the repository: those begin with "unable to" or "insufficient".
_OTHER = re.compile(r"^error: (?P<what>(?!unable to |insufficient ).+)$", re.MULTILINE)


@dataclass(frozen=True)
class Patch:
    """A patch file as the user gave it."""

    path: Path
    # SHA-256 of the file.
    digest: str


def read(path: Path) -> Patch:
    """Raises UserError when the file cannot be read or has no diff in it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"--patch {path}: {error.strerror}.") from error
    if not data.strip():
        raise UserError(f"--patch {path} is empty.")
    return Patch(path, hashlib.sha256(data).hexdigest())


def commit(repository: git.Repository, base: str, patches: Sequence[Patch], scratch: Path) -> str:
    """The commit that has the patches on top of `base`: always the same id for the same content.

    Works in an index of its own, so the work tree later changes in one step, only where files differ.
    Raises RevisionError naming patch, file and hunk when one does not apply.
    """
    if not patches:
        return base
    index = scratch / "patches.index"
    repository.run("read-tree", base, index=index)
    for patch in patches:
        for number, diff in enumerate(_diffs(patch, scratch), start=1):
            _apply(repository, index, patch, number, diff)
    tree = repository.run("write-tree", index=index).stdout.strip()
    return repository.run("commit-tree", tree, "-m", "patched by the farm").stdout.strip()


def _diffs(patch: Patch, scratch: Path) -> list[bytes]:
    """The diffs in a patch file, one for each mail; decoding of mails is git's."""
    data = patch.path.read_bytes()
    if not _MAIL.match(data.lstrip()):
        return [data]
    with tempfile.TemporaryDirectory(dir=scratch, prefix="mails-") as name:
        mails = Path(name)
        _tool(patch, "mailsplit", "-b", "--keep-cr", f"-o{mails}", str(patch.path))
        diffs = []
        for mail in sorted(mails.iterdir()):
            _tool(patch, "mailinfo", "--encoding=UTF-8", str(mails / "message"), str(mails / "diff"),
                  input=mail.read_bytes())
            diffs.append((mails / "diff").read_bytes())
    found = [diff for diff in diffs if _DIFF.search(diff)]  # a cover letter has none
    if not found:
        raise UserError(f"--patch {patch.path}: none of its {len(diffs)} mails has a diff.")
    return found


def _tool(patch: Patch, *arguments: str, input: bytes | None = None) -> None:
    done = git.run(*arguments, seconds=60.0, input=input, check=False)
    if done.returncode != 0:
        raise UserError(f"--patch {patch.path} cannot be read as mail: {done.stderr.strip()}")


def _apply(repository: git.Repository, index: Path, patch: Patch, number: int, diff: bytes) -> None:
    arguments = ("apply", "--cached", "--whitespace=nowarn")
    done = repository.run(*arguments, "-", index=index, input=diff, check=False)
    if done.returncode == 0:
        return
    undone = repository.run(*arguments, "--reverse", "--check", "-", index=index, input=diff, check=False)
    where = f"--patch {patch.path}" + (f", mail {number}," if number > 1 else "")
    said = explain(done.stderr, diff.decode(errors="replace"))
    if said is None:
        raise InfrastructureError(process.failure(done))
    hint = " It is already in the source." if undone.returncode == 0 else ""
    raise RevisionError(f"{where} does not apply: {said}.{hint}")


def explain(stderr: str, diff: str) -> str | None:
    """What `git apply` complained about, with file and hunk; None when it is no complaint about the patch."""
    if match := _FAILED.search(stderr):
        file, line = match["file"], int(match["line"])
        return f"{file}:{line}{_hunk(diff, file, line)} does not match the source"
    if match := _ABSENT.search(stderr):
        return f"{match['file']} {match['what'].removesuffix(' in index')} in the source"
    if match := _OTHER.search(stderr):
        return f"git says \"{match['what']}\""
    return None


def _hunk(diff: str, file: str, line: int) -> str:
    """Number and header of the hunk of `file` that starts at `line`, in the words of a sentence."""
    current, number = "", 0
    for text in diff.splitlines():
        if text.startswith("--- "):
            current, number = text[4:].split("\t")[0].partition("/")[2], 0
        elif match := _HUNK.match(text):
            number += 1
            if current == file and int(match[1]) == line:
                return f" (hunk {number}, {match[0]})"
    return ""
