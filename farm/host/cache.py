"""The content-addressed store: what was built once is found again, whole and unchanged, or built again.

An entry is a directory `<root>/<kind>/<key>/` with its files and `manifest.json`, which names every file with
size and SHA-256. It is made in a directory of its own under `<root>/tmp/` and renamed into place when all of it
is on disk, so that an interrupted build leaves nothing that looks finished.

Locks are flock(2): the system releases them when their holder dies, however it dies.
- One lock file per key while an entry is made: two processes build it once.
- A shared lock on the entry's directory as long as an `Entry` lives: `prune` leaves it alone.
- An exclusive lock on each temporary directory: one that can be locked belongs to a dead process and is swept.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from farm.deadline import Deadline
from farm.errors import InfrastructureError
from farm.model import json_digest

log = logging.getLogger("farm")

Make = Callable[[Path], dict[str, Any]]

# Files up to this many bytes are hashed at every use; larger ones when size, time or inode changed since.
ALWAYS_HASHED = 64 << 20
# How long to wait for another process that makes the same entry: longer than the slowest kernel build.
BUILD_SECONDS = 4 * 3600.0

_MANIFEST = "manifest.json"
_STAMPS = "verified.json"
_USED = "used"
_OWN = {_MANIFEST, _STAMPS, _USED}
_KEY = re.compile(r"\w[\w.-]*", re.ASCII)


class _Corrupt(Exception):  # noqa: N818 - never leaves this module
    """What is wrong with an entry."""


@dataclass(frozen=True)
class Entry:
    """One finished entry, protected from `prune` while this object lives."""

    # Its directory; read-only by convention.
    path: Path
    # What its maker said about it.
    meta: dict[str, Any]
    kind: str = ""
    key: str = ""
    # Bytes of its files.
    size: int = 0
    # Seconds since the epoch: when it was made, and when it was last asked for.
    created: float = 0.0
    used: float = 0.0
    # False when the call that returned it made it.
    cached: bool = field(default=True, compare=False)

    def file(self, name: str) -> Path:
        """Path of one of its files. Raises InfrastructureError when it has no such file."""
        path = self.path / name
        if not path.exists():
            raise InfrastructureError(f"the cache entry {self.path} has no file {name}")
        return path


class Store:
    """All entries below one directory. Any number of processes may use it at the same time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, kind: str, key: str) -> Entry | None:
        """The entry, verified; None when there is none or when it was corrupt (then it is gone, and logged)."""
        return self._open(kind, key, cached=True)

    def build(self, kind: str, key: str, make: Make, deadline: Deadline | None = None) -> Entry:
        """The entry, made when it is missing.

        `make` gets an empty directory, writes the entry's files into it and returns the entry's meta data
        (JSON). When several processes ask for the same key, one makes it and the others wait for it. Raises
        InfrastructureError when the disk is full or the other process does not end before the deadline, and
        whatever `make` raises; nothing is left behind then.
        """
        found = self.get(kind, key)
        if found is not None:
            return found
        with self._key_lock(kind, key, deadline or Deadline(BUILD_SECONDS)):
            found = self.get(kind, key)
            if found is not None:
                return found
            self.sweep()
            with self._temporary() as directory, _disk_errors(self.root):
                self._finish(kind, key, directory, make(directory))
            made = self._open(kind, key, cached=False)
        if made is None:
            raise InfrastructureError(f"the cache entry {self.root / kind / key} was damaged while it was written")
        return made

    def entries(self) -> list[Entry]:
        """All entries, least recently used first; not verified and not locked."""
        found = []
        for path in self.root.glob("*/*"):
            with suppress(_Corrupt):
                if path.parent.name not in {"tmp", "locks"}:
                    found.append(_entry(path, _read_manifest(path)))
        return sorted(found, key=lambda entry: entry.used)

    def prune(self, max_bytes: int) -> list[Entry]:
        """Remove least recently used entries until the rest has at most `max_bytes`; returns the removed ones.

        Entries in use are kept, also when that leaves more than `max_bytes`.
        """
        self.sweep()
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        removed = []
        for entry in entries:
            if total <= max_bytes:
                break
            if self.remove(entry):
                removed.append(entry)
                total -= entry.size
        return removed

    def remove(self, entry: Entry) -> bool:
        """Remove one entry unless somebody uses it."""
        lock = _lock_directory(entry.path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lock is None:
            return False
        try:
            self._remove(entry.path)
        finally:
            os.close(lock)
        return True

    def sweep(self) -> None:
        """Remove the temporary directories of processes that died."""
        for path in (self.root / "tmp").glob("*"):
            lock = _lock_directory(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)

    def _open(self, kind: str, key: str, *, cached: bool) -> Entry | None:
        if not _KEY.fullmatch(key):  # what is no key may lead anywhere, and would be removed there as corrupt
            return None
        path = self.root / kind / key
        lock = _lock_directory(path, fcntl.LOCK_SH)
        if lock is None:
            return None
        try:
            manifest = _read_manifest(path)
            _verify(path, manifest)
        except _Corrupt as problem:
            # Unless another process has found the same and has built it again meanwhile.
            if _is_at(path, lock):
                log.warning("The cache entry %s is corrupt (%s) and is removed; it will be built again.", path, problem)
                self._remove(path)
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        with suppress(OSError):
            (path / _USED).touch()
        entry = _entry(path, manifest, cached=cached)
        weakref.finalize(entry, os.close, lock)
        return entry

    @contextmanager
    def _key_lock(self, kind: str, key: str, deadline: Deadline) -> Iterator[None]:
        directory = self.root / "locks"
        _make_directory(directory)
        lock = FileLock(directory / f"{kind}-{key}.lock")
        try:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.info("Another farm process is making %s %s; waiting for it.", kind, key[:12])
                lock.acquire(timeout=deadline.remaining(), poll_interval=0.2)
        except Timeout as error:
            raise InfrastructureError(
                f"another farm process still holds {directory / f'{kind}-{key}.lock'} after {deadline.seconds:.0f} s"
            ) from error
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        base = self.root / "tmp"
        _make_directory(base)
        while True:
            with _disk_errors(self.root):
                path = Path(tempfile.mkdtemp(dir=base))
            lock = _lock_directory(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock is not None:  # None: a sweeper was quicker
                break
        try:
            os.fchmod(lock, 0o755)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)

    def _finish(self, kind: str, key: str, directory: Path, meta: dict[str, Any]) -> None:
        names = sorted(path.name for path in directory.iterdir())
        if _OWN & set(names):
            raise InfrastructureError(f"a cache entry cannot have files named {', '.join(sorted(_OWN))}")
        manifest: dict[str, Any] = {
            "kind": kind, "key": key, "created": time.time(), "meta": meta,
            "files": {name: _describe(directory / name) for name in names},
        }
        manifest["digest"] = json_digest(manifest)
        (directory / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _write_stamps(directory, manifest)
        for path in directory.iterdir():
            _sync(path)
        _sync(directory)
        final = self.root / kind / key
        _make_directory(final.parent)
        directory.rename(final)
        _sync(final.parent)

    def _remove(self, path: Path) -> None:
        """Rename first: a half-removed entry must not be found."""
        with suppress(FileNotFoundError), self._temporary() as grave:
            path.rename(grave / "entry")


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfrastructureError(
            f"cannot make the directory {path} ({error.strerror}). Set FARM_CACHE to a place you can write to."
        ) from error


def _lock_directory(path: Path, how: int) -> int | None:
    """Lock a directory; None when it does not exist, is locked (LOCK_NB), or was replaced meanwhile."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        pass
    else:
        if _is_at(path, handle):
            return handle
    os.close(handle)
    return None


def _is_at(path: Path, handle: int) -> bool:
    """True while an open directory is the one that its path leads to."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((path / _MANIFEST).read_bytes())
        said = manifest.pop("digest")
        if said != json_digest(manifest):
            raise _Corrupt("its manifest was changed")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise _Corrupt("its manifest cannot be read") from error
    return manifest


def _verify(path: Path, manifest: dict[str, Any]) -> None:
    """Compare every file with the manifest; large ones only when they look different from the last time."""
    try:
        stamps = json.loads((path / _STAMPS).read_bytes())
    except (OSError, ValueError):
        stamps = {}
    hashed = False
    for name, file in manifest["files"].items():
        try:
            large = file["size"] > ALWAYS_HASHED
            if large and isinstance(stamps, dict) and stamps.get(name) == _stamp(path / name):
                continue
            hashed = hashed or large
            if _describe(path / name) != file:
                raise _Corrupt(f"{name} differs from its digest")
        except OSError as error:
            raise _Corrupt(f"{name} cannot be read: {error.strerror}") from error
    if hashed:
        with suppress(OSError):
            _write_stamps(path, manifest)


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _write_stamps(directory: Path, manifest: dict[str, Any]) -> None:
    stamps = {name: _stamp(directory / name) for name in manifest["files"]}
    new = directory / f"{_STAMPS}.{os.getpid()}"
    new.write_text(json.dumps(stamps), encoding="utf-8")
    new.replace(directory / _STAMPS)


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}


def _entry(path: Path, manifest: dict[str, Any], *, cached: bool = True) -> Entry:
    used = path / _USED
    return Entry(
        path=path, meta=manifest["meta"], kind=manifest["kind"], key=manifest["key"],
        size=sum(file["size"] for file in manifest["files"].values()), created=manifest["created"],
        used=used.stat().st_mtime if used.exists() else manifest["created"], cached=cached,
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        free = shutil.disk_usage(root).free / (1 << 20)
        raise InfrastructureError(
            f"no space left while writing below {root} ({free:.0f} MiB free). "
            "Make room, or let `farm cache prune --max-size 5G` do it, or set FARM_CACHE to a larger disk."
        ) from error
