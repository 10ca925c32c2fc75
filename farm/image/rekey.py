"""A guest image that leaves this host: a copy with keys of its own."""

import shutil
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import InfrastructureError
from farm.host import process
from farm.image.build import IMAGE, PACK_SECONDS, write_keys

# What has keys in it, below the image's root.
_FILES = ("etc/ssh/ssh_host_ed25519_key", "etc/ssh/authorized_keys")


def rekeyed(image: Path, folder: Path) -> None:
    """Copy an image into `folder`, with new keys in it and beside it (`farm.image.build` has the names).

    Raises InfrastructureError when the disk is full or the file system cannot be written to.
    """
    copy = folder / IMAGE
    tree = folder / "tree"
    (tree / "etc/ssh").mkdir(parents=True)
    write_keys(tree, folder)
    # cp knows holes, and shares blocks where the file system can.
    process.run(["cp", "--sparse=always", "--reflink=auto", str(image), str(copy)], deadline=Deadline(PACK_SECONDS))
    copy.chmod(0o600)
    for name in _FILES:
        commands = (f"rm /{name}", f"write {name} /{name}", f"set_inode_field /{name} uid 0",
                    f"set_inode_field /{name} gid 0")
        done = process.run(["debugfs", "-w", "-f", "-", str(copy)], deadline=Deadline(PACK_SECONDS),
                           input="\n".join(commands).encode(), cwd=tree)  # the path of it may hold blanks
        # debugfs reports what fails on standard error only, behind its own name and version.
        said = [line for line in done.stderr.splitlines() if line and not line.startswith("debugfs ")]
        if said:
            raise InfrastructureError(f"debugfs could not put new keys into the guest image: {said[0]}")
    shutil.rmtree(tree)
