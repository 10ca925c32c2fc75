"""Running git in the farm's own repositories, untouched by the user's configuration and environment."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from farm.deadline import Deadline
from farm.host import process

# A checkout of a whole kernel tree on a slow disk.
GIT_SECONDS = 1800.0

# Set by hooks and by `git rebase --exec`: they would redirect every git command to the user's repository.
_REDIRECTIONS = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT",
)
# Fixed, so that the same content always becomes the same commit.
IDENTITY = {
    "GIT_AUTHOR_NAME": "farm", "GIT_AUTHOR_EMAIL": "farm@localhost", "GIT_AUTHOR_DATE": "2000-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "farm", "GIT_COMMITTER_EMAIL": "farm@localhost", "GIT_COMMITTER_DATE": "2000-01-01T00:00:00Z",
}
_OWN = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", **IDENTITY}


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """For a git command that minds none of the redirections of our environment, but `variables`."""
    return {**dict.fromkeys(_REDIRECTIONS), **(variables or {})}


def run(*arguments: str, seconds: float, input: bytes | None = None, check: bool = True) -> process.Completed:
    """Run git with the user's configuration. Raises InfrastructureError when it fails (unless not `check`)."""
    return process.run(["git", *arguments], deadline=Deadline(seconds), env=environment(), input=input, check=check)


class Repository:
    """A repository of the farm's own: no work tree unless one is named, no user configuration."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def argv(self, *arguments: str, work_tree: Path | None = None) -> list[str]:
        return ["git", f"--git-dir={self.directory}", *([f"--work-tree={work_tree}"] if work_tree else []), *arguments]

    def environment(self, index: Path | None = None) -> dict[str, str | None]:
        """What git's environment has to differ in from ours."""
        return environment({**_OWN, "GIT_INDEX_FILE": str(index or self.directory / "index")})

    def run(
        self, *arguments: str, work_tree: Path | None = None, index: Path | None = None,
        input: bytes | None = None, check: bool = True,
    ) -> process.Completed:
        """Run a git command in this repository. Raises InfrastructureError when it fails (unless not `check`)."""
        return process.run(
            self.argv(*arguments, work_tree=work_tree), deadline=Deadline(GIT_SECONDS), env=self.environment(index),
            input=input, check=check, cwd=work_tree,
        )


def initialise(directory: Path, *, object_format: str = "sha1") -> Repository:
    """A new bare repository that never collects garbage by itself. Raises InfrastructureError."""
    process.run(
        ["git", "init", "-q", "--bare", f"--object-format={object_format}", "--template=", str(directory)],
        deadline=Deadline(GIT_SECONDS), env=environment(_OWN),
    )
    repository = Repository(directory)
    for key, value in (("gc.auto", "0"), ("core.compression", "1"), ("core.autocrlf", "false")):
        repository.run("config", key, value)
    return repository


def user_query(tree: Path, arguments: Sequence[str]) -> process.Completed:
    """Ask the user's repository something that only reads. Never fails by itself: look at `returncode`."""
    return run("-C", str(tree), *arguments, seconds=60.0, check=False)
