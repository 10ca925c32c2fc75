"""Packing bundles, and unpacking those of strangers.

A bundle is a tar archive, compressed by gzip, of regular files with known names. Nothing is taken from the archive's
headers but a name, which has to be in the table below, and a size, which has to be within it; the files are written
by the farm, into a directory that it has made, and count only when their digests are those of the manifest. Reading
is bounded at every step: a few kilobytes that unpack to terabytes end as a sentence.
"""

import gzip
import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from farm.errors import InfrastructureError, UserError
from farm.repro.manifest import MANIFEST, FileEntry, Manifest, read_manifest

SUFFIX = ".farm.tar.gz"
KERNEL, IMAGE, CLIENT_KEY, HOST_KEY = "bzImage", "guest.ext4", "client_key", "host_key.pub"
# What a bundle may hold: name, and most bytes of such a file.
NAMES: tuple[tuple[re.Pattern[str], int], ...] = tuple((re.compile(pattern), most) for pattern, most in (
    (r"manifest\.json", 1 << 20),
    (r"README\.md", 1 << 20),
    (r"replay\.sh", 1 << 20),
    (r"guest\.sh", 64 << 20),
    (r"config", 4 << 20),
    (r"qemu\.txt", 1 << 20),
    (r"testcase\.py", 4 << 20),
    (r"result\.json", 256 << 20),
    (r"console\.log", 1 << 30),
    (r"commands\.jsonl", 1 << 30),
    (r"patches/[0-9]{2}\.patch", 64 << 20),
    (r"reports/[0-9]{2,4}-[a-z0-9-]{1,40}(\.decoded)?\.txt", 64 << 20),
    (r"bzImage", 512 << 20),
    (r"guest\.ext4", 16 << 30),
    (r"client_key|host_key\.pub", 64 << 10),
))
# Files of a bundle, and bytes of all of them: no farm makes more.
MOST_FILES = 2000
MOST_BYTES = 24 << 30
# Read at a time; a header of the archive that wants more at once is none of ours.
_PIECE = 1 << 20
# Read between two files. A list of the holes in a file goes on for as long as the archive does, and tarfile keeps all
# of it in memory (_proc_gnusparse_10, _proc_sparse).
_HEADERS = 64 << 10
_EXECUTABLE = frozenset({"replay.sh"})


class _Bounded(io.RawIOBase):
    """A stream of which only so much can be read, and little at once: tarfile reads some headers in one piece."""

    def __init__(self, stream: gzip.GzipFile, most: int) -> None:
        self._stream = stream
        self._most = most
        # Bytes that may still be read until somebody says otherwise.
        self.left = _HEADERS

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= min(_PIECE, self.left) or self._stream.tell() + size > self._most + _PIECE:
            raise _HostileError("it is larger, or has larger headers, than any bundle")
        self.left -= size
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or not self._stream.tell() <= offset <= self._most:
            raise _HostileError("it is larger than any bundle, or does not go on where it should")
        # Not by the stream's own seek, which would take all of it in one go.
        while (left := offset - self._stream.tell()) > 0 and self._stream.read(min(left, _PIECE)):
            pass
        return self._stream.tell()

    def tell(self) -> int:
        return self._stream.tell()


class _HostileError(Exception):
    """What the archive tries; the rest of a sentence."""


def most_bytes(name: str) -> int:
    """Most bytes of a file of this name; 0 for a name that no bundle has."""
    return next((most for pattern, most in NAMES if pattern.fullmatch(name)), 0)


def entries(files: Mapping[str, Path | bytes]) -> dict[str, FileEntry]:
    """Digest and size of files. Raises UserError for one that is too large for a bundle, or has no place in it."""
    found = {}
    for name, content in files.items():
        digest, size = hashlib.sha256(), 0
        for piece in _pieces(content):
            digest.update(piece)
            size += len(piece)
        if size > most_bytes(name):
            raise UserError(f"{name} has {size} bytes, and a bundle takes {most_bytes(name)} of it.")
        found[name] = FileEntry(sha256=digest.hexdigest(), size=size)
    return found


def check_place(path: Path) -> None:
    """Raises UserError when no bundle can be written there."""
    if path.exists():
        raise UserError(f"{path} exists already. Name another file with --output.")
    if not path.parent.is_dir():
        raise UserError(f"There is no directory {path.parent}. Make it, or name another file with --output.")


def pack(path: Path, manifest: Manifest, files: Mapping[str, Path | bytes]) -> None:
    """Write a bundle; nothing is left at `path` unless all of it is. The manifest comes first.

    Raises UserError when `path` is no place for it, InfrastructureError when it cannot be written.
    """
    check_place(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # No times, no owners: the same run makes the same bundle.
        with temporary.open("wb") as out, gzip.GzipFile("", "wb", 3, out, mtime=0) as squeezed, \
                tarfile.open(fileobj=squeezed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in {MANIFEST: manifest.text().encode(), **files}.items():
                about = tarfile.TarInfo(name)
                about.size = len(content) if isinstance(content, bytes) else content.stat().st_size
                about.mode = 0o755 if name in _EXECUTABLE else 0o644
                with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                    tar.addfile(about, file)
        temporary.rename(path)
    except OSError as error:
        raise InfrastructureError(f"cannot write {path} ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)


def unpack(bundle: Path, directory: Path) -> Manifest:
    """Write the files of a bundle into `directory`, which is empty, and return its checked manifest.

    Raises UserError for a file that is no bundle, is damaged, or tries anything; what was written until then stays
    in the directory.
    """
    with _opened(bundle) as members:
        manifest: Manifest | None = None
        seen: set[str] = set()
        for member, file in members:
            name = member.name
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
                raise _HostileError(f"{name[:100]!r} is no plain file but a {_kind(member)}")
            if manifest is None and name != MANIFEST:
                raise _HostileError(f"it begins with {name[:100]!r} and not with {MANIFEST}")
            if not most_bytes(name) or name in seen:
                again = "twice the file" if name in seen else "a file"
                raise _HostileError(f"it has {again} {name[:100]!r}, which no bundle has")
            seen.add(name)
            if member.size > most_bytes(name) or len(seen) > MOST_FILES:
                raise _HostileError(f"{name} has {member.size} bytes as file {len(seen)}, more than any bundle")
            if manifest is None:
                manifest = read_manifest(b"".join(file), bundle.name)
                write_file(directory / MANIFEST, [manifest.text().encode()])
                continue
            expected = manifest.files.get(name)
            if expected is None:
                raise _HostileError(f"{name} is not in its {MANIFEST}")
            if write_file(directory / name, file) != expected:
                raise _HostileError(f"{name} is not what its {MANIFEST} says: the bundle is damaged or was changed")
        if manifest is None:
            raise _HostileError("it is empty")
        if lacking := manifest.files.keys() - seen:
            raise _HostileError(f"it lacks {', '.join(sorted(lacking))[:200]}: the bundle is cut off")
    return manifest


@contextmanager
def _opened(bundle: Path) -> Iterator[Iterator[tuple[tarfile.TarInfo, Iterator[bytes]]]]:
    """The members of an archive and their contents, one after the other."""
    try:
        with bundle.open("rb") as raw, gzip.GzipFile(fileobj=raw) as stream:
            yield _members(_Bounded(stream, MOST_BYTES))
    except _HostileError as error:
        raise UserError(f"{bundle} is refused: {error}. Nothing of it was run.") from error
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, UnicodeError, ValueError, LookupError,
            RecursionError) as error:  # the last two: tarfile, of a list of holes that ends early and of nested headers
        raise UserError(f"{bundle} is no bundle of the farm, or it is damaged: {error}.") from error
    except OSError as error:
        raise UserError(f"{bundle} cannot be unpacked: {error.strerror or error}.") from error


def _members(stream: _Bounded) -> Iterator[tuple[tarfile.TarInfo, Iterator[bytes]]]:
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        while (member := tar.next()) is not None:
            file = tar.extractfile(member) if member.isreg() else None
            stream.left = max(0, member.size) + _PIECE
            yield member, iter(lambda file=file: file.read(_PIECE) if file else b"", b"")  # type: ignore[misc]
            stream.left = _HEADERS


def _kind(member: tarfile.TarInfo) -> str:
    kinds = {"symbolic link": member.issym(), "hard link": member.islnk(), "directory": member.isdir(),
             "device": member.isdev()}
    return next((kind for kind, is_it in kinds.items() if is_it), "file of a strange kind")


def write_file(path: Path, pieces: Iterable[bytes]) -> FileEntry:
    """A new file of these pieces; its digest and size. The directory above is made when it is missing."""
    path.parent.mkdir(exist_ok=True)
    mode = 0o700 if path.name in _EXECUTABLE else 0o600
    digest, size = hashlib.sha256(), 0
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as out:
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            out.write(piece)
    return FileEntry(sha256=digest.hexdigest(), size=size)


def _pieces(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
