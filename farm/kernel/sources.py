"""Where kernel sources come from. Every source ends as a commit in a repository of the farm's own.

Finding out which source is meant (`resolve`) is quick and touches no tree: that is all a cached build needs.
Getting at it (`Source.prepare`) may take a minute, once.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from farm.deadline import Deadline
from farm.errors import InfrastructureError, RevisionError, UserError
from farm.host import process
from farm.host.workdir import Workdir
from farm.kernel import git, trees
from farm.kernel.values import BuildRequest

# Where Debian's packages of that name put their tarball.
DEBIAN_DIRECTORY = Path("/usr/src")
# What makes a directory a kernel tree.
_KERNEL_FILES = ("Makefile", "Kconfig", "scripts/kconfig/merge_config.sh")
_IMPORT_SECONDS = 1800.0
# A repository until it is whole.
UNFINISHED = "import.git"
# Key in the configuration of a repository that was made from a source package: the name of the package's kept tree.
# Both differ in little, so that they are built in the same place.
_PACKAGE = "farm.package"


class Source(Protocol):
    """A kernel source that has been found."""

    @property
    def name(self) -> str:
        """As recorded in `KernelId.source`: the same on every host."""

    @property
    def identity(self) -> str:
        """Exactly which content, for the key of the build."""

    @property
    def tree(self) -> str:
        """Name of the directory below `trees/` with repository, work tree and `O=` directories."""

    def prepare(self, repository: Path, scratch: Path) -> str:
        """Make the repository when it is missing; returns the commit. `scratch` is on the same file system.

        Raises UserError or InfrastructureError.
        """


def resolve(request: BuildRequest, workdir: Workdir) -> Source:
    """The source that the request names. Raises UserError when there is no such source or revision."""
    kind, _, rest = request.source.partition(":")
    if kind == "debian":
        return _debian(rest, request.rev, workdir)
    return _git_tree(Path(request.source), request.rev or "HEAD", workdir)


@dataclass(frozen=True)
class DebianSource:
    """The tarball of a linux-source package."""

    # Name of the package.
    package: str
    tarball: Path
    # SHA-256 of the tarball.
    digest: str

    @property
    def name(self) -> str:
        return f"debian:{self.package}"

    @property
    def identity(self) -> str:
        return f"tarball:{self.digest}"

    @property
    def tree(self) -> str:
        return f"{self.package}-{self.digest[:12]}"

    def prepare(self, repository: Path, scratch: Path) -> str:
        if not repository.is_dir():
            new = git.initialise(scratch / UNFINISHED)
            _import_tarball(self.tarball, self.name, new)
            new.directory.rename(repository)
        return git.Repository(repository).run("rev-parse", "refs/heads/main").stdout.strip()


@dataclass(frozen=True)
class GitSource:
    """A commit of the user's repository, read through objects/info/alternates and never written to."""

    # As the user named it, for messages.
    path: Path
    # Full id of the commit.
    commit: str
    # Object directory of the repository.
    objects: Path
    # `sha1` or `sha256`.
    object_format: str
    # Name of the kept tree of the source package that the repository was made from, "" for any other repository.
    package: str = ""

    @property
    def name(self) -> str:
        return self.commit

    @property
    def identity(self) -> str:
        return f"commit:{self.commit}"

    @property
    def tree(self) -> str:
        return self.package or "git-" + hashlib.sha256(str(self.objects).encode()).hexdigest()[:12]

    def prepare(self, repository: Path, scratch: Path) -> str:
        if not repository.is_dir():
            git.initialise(scratch / UNFINISHED, object_format=self.object_format).directory.rename(repository)
        alternates = repository / "objects" / "info" / "alternates"
        alternates.parent.mkdir(exist_ok=True)
        alternates.write_text(f"{self.objects}\n", encoding="utf-8")
        own = git.Repository(repository)
        self._require_objects(own)
        for name in _KERNEL_FILES:
            if own.run("cat-file", "-e", f"{self.commit}:{name}", check=False).returncode != 0:
                raise RevisionError(f"{self.path} at {self.commit[:12]} is not a kernel tree: it has no {name}.")
        return self.commit

    def _require_objects(self, own: git.Repository) -> None:
        """A partial clone would fetch what it lacks into the user's repository, which is not ours to change."""
        if not any((self.objects / "pack").glob("*.promisor")):
            return
        listed = own.run("rev-list", "--objects", "--no-walk", "--missing=print", f"{self.commit}^{{tree}}").stdout
        lacking = sum(line.startswith("?") for line in listed.splitlines())
        if lacking:
            raise UserError(
                f"{self.path} is a partial clone that lacks {lacking} objects of {self.commit[:12]}. Let git fetch "
                f"them: `git -C {self.path} archive {self.commit[:12]} > /dev/null`.")


def import_tree(source: str, directory: Path, workdir: Workdir, *, checkout: bool) -> str:
    """Make `directory` a repository of the user's own with a source package as its first commit; returns that.

    Raises UserError when there is no such package or the directory is in use.
    """
    if not source.startswith("debian:"):
        raise UserError(f"{source} is no source package. Write debian:PACKAGE, e.g. debian:linux-source-6.12.")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"{directory} exists and is not empty. Name a new directory.")
    found = resolve(BuildRequest(source=source), workdir)
    with trees.opened(workdir, found.tree) as tree, tree.scratch() as scratch:
        trees.require_space(tree.directory, trees.TREE_MIB, f"Importing {source}")
        commit = found.prepare(tree.repository, scratch)
        # Objects are hard links where that is possible: they never change, and stay when the cache is removed.
        options = [] if checkout else ["--no-checkout"]
        ask = ("clone", "-q", *options, "--branch", "main", "--", str(tree.repository), str(directory))
        git.run(*ask, seconds=_IMPORT_SECONDS)
    # git hands on the alternates, which are another user's repository, of which this one needs nothing.
    (directory / ".git" / "objects" / "info" / "alternates").unlink(missing_ok=True)
    for settle in (["remote", "remove", "origin"], ["config", _PACKAGE, found.tree]):
        git.run("-C", str(directory), *settle, seconds=_IMPORT_SECONDS)
    return commit


def _debian(package: str, rev: str | None, workdir: Workdir) -> DebianSource:
    if rev is not None:
        raise UserError(f"--rev {rev} needs --tree: debian:{package} is a tarball without revisions.")
    tarball = DEBIAN_DIRECTORY / f"{package}.tar.xz"
    if not package or "/" in package or not tarball.is_file():
        raise UserError(
            f"The source debian:{package} needs {tarball}, which does not exist. Run `apt-get install {package}`."
        )
    return DebianSource(package, tarball, _remembered_digest(tarball, workdir))


def _remembered_digest(path: Path, workdir: Workdir) -> str:
    """SHA-256 of a file, computed again only when its size, time or inode changed."""
    status = path.stat()
    stamp = [str(path), status.st_size, status.st_mtime_ns, status.st_ino]
    note = workdir.directory("digests") / (hashlib.sha256(str(path).encode()).hexdigest()[:16] + ".json")
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(note.read_bytes())
        if known["stamp"] == stamp:
            return str(known["sha256"])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    new = note.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps({"stamp": stamp, "sha256": digest}), encoding="utf-8")
    new.replace(note)
    return digest


def _git_tree(path: Path, rev: str, workdir: Workdir) -> GitSource:
    if not path.is_dir():
        raise UserError(f"--tree {path}: there is no such directory.")
    inside = git.user_query(path, ["rev-parse", "--git-path", "objects"])
    if inside.returncode != 0:
        raise UserError(
            f"--tree {path} is not a git repository that git can read ({_last_line(inside.stderr)}). "
            "The farm builds commits; run `git init`, `git add` and `git commit` there first."
        )
    found = git.user_query(path, ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}"])
    if found.returncode != 0:
        raise UserError(f"{path} has no revision {rev}. Try `git -C {path} fetch`, or another --rev.")
    objects = (path / inside.stdout.strip()).resolve()
    object_format = git.user_query(path, ["rev-parse", "--show-object-format"]).stdout.strip()
    package = git.user_query(path, ["config", "--get", _PACKAGE]).stdout.strip()
    known = package and "/" not in package and (workdir.root / "trees" / package / "repository.git").is_dir()
    return GitSource(path, found.stdout.split()[-1], objects, object_format or "sha1", package if known else "")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["git said nothing."])[-1]


def _import_tarball(tarball: Path, name: str, repository: git.Repository) -> None:
    """One commit with the tarball's files, streamed into one pack: no file is written out or compressed well.

    `git fast-import` takes every file, also those that the tree's own .gitignore names, and the commit
    depends on nothing but the content.
    """
    unpacking = process.spawn(["xz", "-dc", "-T0", str(tarball)], stdout=subprocess.PIPE)
    importing = process.spawn(
        repository.argv("fast-import", "--quiet", "--done", "--depth=0"), env=repository.environment(),
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    deadline = Deadline(_IMPORT_SECONDS)
    with process.running(unpacking), process.running(importing):
        assert unpacking.stdout
        assert importing.stdin
        assert importing.stderr
        try:
            _feed(unpacking.stdout, importing.stdin, name, deadline)
            if unpacking.wait(deadline.remaining()) != 0:  # a cut-off archive may end between two files
                raise EOFError(f"xz ended with status {unpacking.returncode}")
            importing.stdin.write(b"done\n")
            importing.stdin.close()
            importing.wait(deadline.remaining())
        except (tarfile.TarError, EOFError) as error:
            raise InfrastructureError(f"{tarball} cannot be unpacked: {error}. Install its package again.") from error
        except (BrokenPipeError, subprocess.TimeoutExpired):
            process.stop(importing)
        said = importing.stderr.read().decode(errors="replace")
    if importing.returncode != 0:
        free = shutil.disk_usage(repository.directory).free >> 20
        raise InfrastructureError(
            f"importing {tarball} into {repository.directory} failed ({free} MiB free there): {_last_line(said)}"
        )


def _feed(archive: IO[bytes], importer: IO[bytes], name: str, deadline: Deadline) -> None:
    who = f"{git.IDENTITY['GIT_COMMITTER_NAME']} <{git.IDENTITY['GIT_COMMITTER_EMAIL']}> 946684800 +0000"
    message = f"{name}\n".encode()
    importer.write(f"commit refs/heads/main\ncommitter {who}\ndata {len(message)}\n".encode() + message)
    with tarfile.open(fileobj=archive, mode="r|", bufsize=1 << 20) as tar:
        for path, mode, data in _members(tar):
            importer.write(f"M {mode} inline {path}\ndata {len(data)}\n".encode() + data + b"\n")
            if deadline.expired:
                raise subprocess.TimeoutExpired("git fast-import", deadline.seconds)
    while archive.read(1 << 20):  # padding behind the archive's end
        pass


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, str, bytes]]:
    """Path below the top directory, git's mode and content of each file and symbolic link."""
    for member in tar:
        path = member.name.removeprefix("./").partition("/")[2]
        if not path or "\n" in path or path.startswith('"'):
            continue
        if member.issym():
            yield path, "120000", member.linkname.encode()
        elif member.isfile():
            file = tar.extractfile(member)
            assert file is not None
            yield path, "100755" if member.mode & 0o100 else "100644", file.read()
