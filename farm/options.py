"""The options that subcommands and the pytest plugin share, as a table that both click and pytest can be told."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm.errors import UserError
from farm.kernel import DEFAULT_FLAVOR, DEFAULT_SOURCE, BuildRequest


@dataclass(frozen=True)
class Option:
    """One option, as click and pytest both can be told of it."""

    flag: str
    metavar: str
    help: str
    # Converts and checks the text.
    kind: type[str] | type[int] | type[float] | type[Path] = str
    # Given when the option is not; None shows no default.
    default: str | None = None
    # May be given several times; the value is a list.
    multiple: bool = False
    # The only values accepted, when not empty.
    choices: tuple[str, ...] = ()
    # On when given; takes no value.
    switch: bool = False
    # The smallest and the largest number accepted.
    within: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")

    def reader(self, refuse: Callable[[str], Exception]) -> Callable[[str], Any]:
        """What makes a value of a text; of what is no number within the limits it raises what `refuse` makes."""
        if self.within is None:
            return self.kind
        least, most = self.within

        def number(text: str) -> int | float:
            try:
                value = int(text) if self.kind is int else float(text)
            except ValueError:
                raise refuse(f"{text[:40]!r} is not a number.") from None
            if not least <= value <= most:  # nor what is no number
                raise refuse(f"{text[:40]} is not between {least} and {most}.")
            return value

        return number


# Which kernel is built.
BUILD_OPTIONS = (
    Option("--source", "SOURCE", f"Kernel source package, debian:PACKAGE (default: {DEFAULT_SOURCE})."),
    Option("--tree", "PATH", "Git repository with a kernel tree, instead of --source; it is never written to.", Path),
    Option("--rev", "REV", "Revision of --tree (default: HEAD)."),
    Option("--patch", "FILE", "Diff, `git format-patch` file or mbox to apply on top; may be repeated.", Path,
           multiple=True),
    Option("--flavor", "NAME", "Kernel configuration: base, lockdep, kasan, kmemleak, debuginfo, trace, debug, or your "
           f"own (default: {DEFAULT_FLAVOR}).", default=DEFAULT_FLAVOR),
    Option("--config", "SYMBOL=VALUE", "Set one configuration symbol to y, m, n, a number or a string; may be "
           "repeated.", multiple=True),
    Option("--config-dir", "DIR", "Directory with your own flavors.toml and *.config.j2, searched first; may be "
           "repeated.", Path, multiple=True),
)

# How cells are run.
RUN_OPTIONS = (
    Option("--kernel-image", "FILE", "A ready bzImage; nothing is built.", Path),
    Option("--image-recipe", "NAME", "Guest image: a recipe's name or folder (default: debian).", default="debian"),
    Option("--accel", "NAME", "Accelerator: auto, kvm or tcg; auto takes KVM only when it really boots the kernel "
           "(default: auto).", default="auto", choices=("auto", "kvm", "tcg")),
    Option("--seed", "N", "Seed of the workloads (default: random; it is recorded).", int, within=(0, (1 << 63) - 1)),
    Option("--duration", "SECONDS", "Length of each workload on the guest's clock (default: the testcase's own).",
           float, within=(0.1, 86400)),
    Option("--rounds", "N", "Rounds of testcases that repeat something to see what is left over (default: 100).", int,
           default="100", within=(1, 1_000_000)),
    Option("--machine", "TEXT", "The machine instead of the testcase's own, e.g. cpus=4,memory=512M."),
    Option("--namespace", "TEXT", "A namespace instead of the testcase's own, e.g. data:size=512M,block=4096; may be "
           "repeated.", multiple=True),
    Option("--stack", "TEXT", "A stack instead of the testcase's own, e.g. 'data / crypt / xfs'; may be repeated.",
           multiple=True),
    Option("--ssh-port", "PORT", "Port of this host for the guest's ssh (default: any free one).", int,
           within=(1, 65535)),
    Option("--dump-memory", "", "On failure, keep a dump of the guest's memory, and of a kernel with debug information "
           "what it tells (`farm dump`).", switch=True),
    Option("--runs-dir", "DIR", "Where run directories are made (default: runs).", Path, default="runs"),
)

# How a user looks into a guest while it is there; nothing for runs that nobody watches.
LIVE_OPTIONS = (
    Option("--keep-on-failure", "", "Leave the guest of a failure as it is, and say how to enter it, until "
           "Ctrl-C.", switch=True),
    Option("--break-at-report", "", "Stop the guest's CPUs at the kernel's first report, open QEMU's gdb stub, and "
           "keep the guest.", switch=True),
    Option("--gdb", "", "Open QEMU's gdb stub, and say how gdb attaches.", switch=True),
    Option("--trace-functions", "", "Write which functions of the kernel ran to functions.txt (emulated guests only).",
           switch=True),
    Option("--shell", "", "Instead of the testcase, a session in its guest (`farm shell`).", switch=True),
)

OPTIONS = (*BUILD_OPTIONS, *RUN_OPTIONS, *LIVE_OPTIONS)


def build_request(given: Mapping[str, Any], jobs: int | None = None) -> BuildRequest:
    """The build that the options ask for. Raises UserError when they contradict each other."""
    source, tree, rev = given["source"], given["tree"], given["rev"]
    if source and tree:
        raise UserError("--source and --tree name two different kernels; give one of them.")
    if rev and not tree:
        raise UserError(f"--rev {rev} needs --tree: a source package has no revisions.")
    return BuildRequest(
        source=str(tree.absolute()) if tree else source or DEFAULT_SOURCE, rev=rev,
        patches=tuple(path.absolute() for path in given["patch"]), flavor=given["flavor"],
        overrides=tuple(given["config"]), config_dirs=tuple(path.absolute() for path in given["config_dir"]), jobs=jobs)


def without(table: Iterable[Option], *flags: str) -> tuple[Option, ...]:
    """A table less some of its options."""
    return tuple(option for option in table if option.flag not in flags)


def as_arguments(given: Mapping[str, Any], table: Iterable[Option] = OPTIONS) -> Iterator[str]:
    """The options as one would type them, each one word; those at their default are left out.

    One word, because pytest takes a path that stands alone for a place of tests, and looks for its root there.
    """
    for option in table:
        value = given[option.name]
        if option.switch:
            yield from [option.flag] if value else []
            continue
        for one in value if option.multiple else [value]:
            if one is not None and str(one) != option.default:
                yield f"{option.flag}={one}"
