"""The commands that build an image, as pure functions of the recipe and of what the host's apt says."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.image.recipe import Recipe

# Settings of the host's apt that decide whether it reaches its mirrors; the others are its own affair.
APT_SETTINGS = ("Acquire::http::", "Acquire::https::", "Acquire::Check-", "Acquire::Retries", "Acquire::ForceIPv4")

# Repositories of one release: itself, its point release updates, its security fixes.
SUITE_PARTS = ("", "-updates", "-security")


def sources_lines(indextargets: str, suite: str) -> list[str]:
    """The host's own sources for a release, as lines of sources.list; empty when it has none.

    `indextargets` are lines of `URI RELEASE COMPONENT` as printed by `apt-get indextargets`.
    """
    wanted = {suite + part for part in SUITE_PARTS}
    components: dict[tuple[str, str], list[str]] = {}
    for line in indextargets.splitlines():
        match line.split():
            case [uri, release, component] if release in wanted:
                known = components.setdefault((uri, release), [])
                if component not in known:
                    known.append(component)
    if suite not in {release for _, release in components}:
        return []
    return [f"deb {uri} {release} {' '.join(names)}" for (uri, release), names in components.items()]


def apt_options(config: str) -> list[str]:
    """The host's apt settings to pass on, from `apt-config dump`: proxies, retries, leniency of mirrors."""
    lines = (line.strip().rstrip(";") for line in config.splitlines())
    return [line for line in lines if line.startswith(APT_SETTINGS) and not line.endswith('""')]


def isolation_argv(*, root: bool) -> list[str]:
    """The prefix that keeps mmdebstrap's mounts and processes in namespaces of their own.

    When the farm is killed the namespaces die with it: no mount and no package script survives. Whoever is not
    root becomes it in a user namespace, with the user's subordinate ids for the guest's other users.
    """
    user = [] if root else ["--user", "--map-root-user", "--map-auto"]
    return ["unshare", *user, "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL",
            "--mount-proc"]


def bootstrap_argv(recipe: "Recipe", archive: Path, *, options: list[str], sources: list[str]) -> list[str]:
    """mmdebstrap writing the tree as an archive, so that owners survive also where the farm is not root.

    Without sources of the host, mmdebstrap's own defaults for the release apply.
    """
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar"]
    argv += [f"--include={','.join(recipe.file.packages)}"]
    argv += [f"--aptopt={option}" for option in ['Acquire::Languages "none"', *options]]
    argv += [f"--dpkgopt=path-exclude={glob}" for glob in recipe.file.exclude]
    # Commands go through sh instead of bash: it starts in half the time.
    argv += ['--customize-hook=chroot "$1" usermod --shell /bin/sh root']
    return [*argv, recipe.file.suite, str(archive), *sources]


def mke2fs_argv(tree: Path, image: Path, mib: int) -> list[str]:
    """An ext4 image of the tree without loop devices.

    No journal and no checksums: the overlay is thrown away, and both cost time under emulation.
    """
    return ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum,^resize_inode", "-m", "0",
            "-E", "lazy_itable_init=1,nodiscard", "-L", "farm-root", "-d", str(tree), str(image), f"{mib}M"]
