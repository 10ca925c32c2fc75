"""Building a guest image: mmdebstrap makes a tree, the recipe's overlay goes on top, mke2fs makes it a disk."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.deadline import Deadline
from farm.errors import InfrastructureError, UserError
from farm.host import lease, process
from farm.host.cache import Entry, Store
from farm.host.workdir import Workdir
from farm.image.plan import apt_options, bootstrap_argv, isolation_argv, mke2fs_argv, sources_lines

if TYPE_CHECKING:
    from farm.image.recipe import Recipe

KIND = "image"
# Download and installation, on a slow line too.
BOOTSTRAP_SECONDS = 1800.0
PACK_SECONDS = 300.0
# What the unpacked tree, its archive and the image need together.
NEEDED_BYTES = 2 << 30

IMAGE = "image.ext4"
CLIENT_KEY = "client_key"
HOST_KEY = "host_key.pub"


@dataclass(frozen=True)
class GuestImage:
    """A guest image in the cache."""

    # Raw ext4 file system, read-only: every VM writes to an overlay of its own.
    path: Path
    # Digest of the recipe: the same on every host.
    digest: str
    # Private ssh key (OpenSSH format, mode 0600) that root of the guest accepts; made with this image.
    key_file: Path
    # The guest's public host key, `ssh-ed25519 AAAA…`: the only one that is accepted.
    host_key: str
    # True when nothing had to be built.
    cached: bool = field(default=True, compare=False)
    # Keeps the cache entry from being pruned.
    entry: Entry | None = field(default=None, compare=False, repr=False)


def build_image(
    name: str, workdir: Workdir, store: Store, progress: Callable[[str], None] = lambda _: None
) -> GuestImage:
    """The image of a recipe, from the cache or built now (about a minute).

    `progress` is told each phase in a few words. Raises UserError for a bad recipe or a missing tool,
    InfrastructureError when the packages cannot be had or installed; the whole log is in the cache's `logs`.
    """
    # Every command that may run cells imports this module; pydantic, and cryptography below, are for those that do.
    from farm.image.recipe import load_recipe  # noqa: PLC0415

    recipe = load_recipe(name)
    log = workdir.directory("logs") / f"image-{recipe.name}.log"
    entry = store.build(KIND, recipe.digest, lambda folder: _make(recipe, folder, log, progress))
    # The keys that are in the image too are nobody else's; an older farm let others look.
    entry.path.chmod(0o700)
    return GuestImage(
        path=entry.file(IMAGE), digest=recipe.digest, key_file=entry.file(CLIENT_KEY),
        host_key=entry.file(HOST_KEY).read_text().strip(), cached=entry.cached, entry=entry,
    )


def _make(recipe: "Recipe", folder: Path, log: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    scratch = lease.scratch_directory("image")
    folder.chmod(0o700)
    try:
        _check_space(scratch)
        # Where the farm is not root, fakeroot remembers the owners between unpacking and packing.
        owners = str(scratch / "owners")
        unpack, pack = ((), ()) if os.geteuid() == 0 else (
            ("fakeroot", "-s", owners, "--"), ("fakeroot", "-i", owners, "--"))
        progress("installing packages")
        archive = scratch / "tree.tar"
        _bootstrap(recipe, archive, log)
        progress("unpacking")
        tree = scratch / "tree"
        tree.mkdir()
        tree.chmod(0o755)
        _run([*unpack, "tar", "-x", "-p", "--numeric-owner", "-f", str(archive), "-C", str(tree)])
        archive.unlink()
        progress("adding keys and files of the farm")
        _finish_tree(recipe, tree, folder)
        progress("making the file system")
        image = folder / IMAGE
        _run([*pack, *mke2fs_argv(tree, image, _tree_mib(tree) + recipe.file.free_mib)])
        image.chmod(0o444)
        return {"recipe": recipe.name, "suite": recipe.file.suite, "packages": list(recipe.file.packages)}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check_space(scratch: Path) -> None:
    free = shutil.disk_usage(scratch).free
    if free < NEEDED_BYTES:
        raise InfrastructureError(
            f"{scratch.parent} has {free >> 20} MiB free and the image needs {NEEDED_BYTES >> 20} MiB while it is "
            "built. Make room or set FARM_TMPDIR to another place."
        )


def _bootstrap(recipe: "Recipe", archive: Path, log: Path) -> None:
    # apt knows the host's sources in all their forms and reads its own configuration; both work for any user.
    targets = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                    "Created-By: Packages"]).stdout
    config = _run(["apt-config", "dump"]).stdout
    argv = bootstrap_argv(
        recipe, archive, options=apt_options(config), sources=sources_lines(targets, recipe.file.suite),
    )
    isolation = _isolation()
    deadline = Deadline(BOOTSTRAP_SECONDS)
    done = process.run([*isolation, *argv], deadline=deadline, env={"TMPDIR": str(archive.parent)}, check=False,
                       umask=0o022)  # packages' scripts make files that every user of the guest has to read
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode != 0:
        raise InfrastructureError(f"{process.failure(done)}\nThe guest image was not built. The whole log: {log}")


def _isolation() -> list[str]:
    root = os.geteuid() == 0
    argv = isolation_argv(root=root)
    tried = _run([*argv, "true"], check=False)
    if tried.returncode == 0:
        return argv
    if root:  # a container without the right to make namespaces; what mmdebstrap may not mount, it does without
        return []
    raise UserError(
        "The guest image needs root, or a user namespace, which this user cannot have: "
        f"{tried.stderr.strip() or 'unshare failed'}. Run as root, or install uidmap and give the user subordinate ids "
        "(usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER).")


def _finish_tree(recipe: "Recipe", tree: Path, folder: Path) -> None:
    for path in recipe.file.remove:
        target = _inside(tree, Path(path.lstrip("/")))
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
    for path in recipe.file.directories:
        _directory(tree, Path(path.lstrip("/")))
    for stale in (tree / "etc/ssh").glob("ssh_host_*"):
        stale.unlink()
    for source in sorted(recipe.overlay.rglob("*")):
        _put(source, tree, source.relative_to(recipe.overlay))
    write_keys(tree, folder)


def _inside(tree: Path, place: Path) -> Path:
    """A place in the tree. Raises UserError when a link of the guest would lead out of it, and into this host."""
    path = tree / place
    if not path.parent.resolve().is_relative_to(tree.resolve()):
        raise UserError(f"The recipe's /{place} lies behind a link of the guest. Name the place that it leads to.")
    return path


def _directory(tree: Path, place: Path) -> None:
    """Make a directory of the guest and those above it; what the packages made stays as it is."""
    for path in reversed((place, *place.parents)):
        if not _inside(tree, path / "in it").parent.is_dir():
            (tree / path).mkdir()
            (tree / path).chmod(0o755)


def _put(source: Path, tree: Path, place: Path) -> None:
    """Copy a file of the overlay. Its mode is root's in the guest, whatever the umask by which it was checked out."""
    if source.is_dir() and not source.is_symlink():
        _directory(tree, place)
        return
    target = _inside(tree, place)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target, follow_symlinks=False)
    if not target.is_symlink():
        target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def write_keys(tree: Path, folder: Path) -> None:
    """A new host key and a new client key, in the tree and beside it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    for private, public in ((tree / "etc/ssh/ssh_host_ed25519_key", folder / HOST_KEY),
                            (folder / CLIENT_KEY, tree / "etc/ssh/authorized_keys")):
        key = Ed25519PrivateKey.generate()
        private.touch(mode=0o600)
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n")


def _tree_mib(tree: Path) -> int:
    """MiB of the tree as ext4 stores it, with a tenth for its own tables."""
    total = sum(entry.lstat().st_blocks * 512 for entry in tree.rglob("*"))
    return int(total * 1.1) >> 20


def _run(argv: Sequence[str], *, check: bool = True) -> process.Completed:
    return process.run(argv, deadline=Deadline(PACK_SECONDS), check=check)
