"""From a request to a kernel in the cache."""

import os
import resource
import shlex
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm.deadline import Deadline
from farm.errors import UserError
from farm.host import process
from farm.host.cache import Entry, Store
from farm.host.tools import TOOLS, Tool, apt_line, missing, packages_of
from farm.host.workdir import Workdir
from farm.kernel import patches, sources, trees
from farm.kernel.compile import compile_kernel
from farm.kernel.config import Fragment
from farm.kernel.configure import configure
from farm.kernel.git import Repository
from farm.kernel.make import Make
from farm.kernel.values import BuildRequest, Kernel, Progress, Report, ignore
from farm.model import KernelId, json_digest

KIND = "kernel"
# Raise when the way of building changes in a manner that its inputs do not show.
RECIPE = 2
# MiB that an O= directory takes: without and with debug information.
_OUTPUT_MIB, _OUTPUT_DWARF_MIB = 1500, 6000
# MiB that a build may add to an O= directory that was built before, and to the cache.
_RESULT_MIB = 500
# Names in the table of tools without which make fails somewhere in the middle.
_TOOLS = frozenset({"git", "gcc", "make", "ld", "bison", "flex", "bc", "perl", "lz4", "C library headers",
                    "openssl headers", "libelf headers"})
_MODULES_SECONDS = 600.0
# Name in the cache -> path in the O= directory.
_ARTIFACTS = {"bzImage": "arch/x86/boot/bzImage", "config": ".config", "System.map": "System.map"}
# Kept with vmlinux when that has debug information: name in the cache -> path in the work tree.
_SCRIPTS = {"decode_stacktrace.sh": "scripts/decode_stacktrace.sh"}
# Likewise, in a zip archive: what gives gdb the kernel's commands (lx-ps, lx-dmesg), and the constants that go with it.
_GDB = "gdb.zip"
_GDB_SECONDS = 300.0
_DWARF = "DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT", "DEBUG_INFO_DWARF4", "DEBUG_INFO_DWARF5"


@dataclass(frozen=True)
class Plan:
    """A request with everything found out that decides about the result, and no tree touched yet."""

    request: BuildRequest
    source: sources.Source
    fragments: tuple[Fragment, ...]
    patches: tuple[patches.Patch, ...]
    # First lines of the compiler's and the linker's version.
    compiler: tuple[str, ...]
    # Name of the kept `O=` directory. Not part of the result's identity.
    output: str

    @property
    def key(self) -> str:
        """Key of the result in the cache."""
        return json_digest({
            "recipe": RECIPE, "source": self.source.identity, "patches": [one.digest for one in self.patches],
            "config": [[one.line, one.optional] for fragment in self.fragments for one in fragment.wanted],
            "compiler": self.compiler,
            # A new script to keep makes a new entry, of kernels with debug information only.
            **({"scripts": sorted([*_SCRIPTS, _GDB])} if self.dwarf else {}),
        })

    @property
    def dwarf(self) -> bool:
        """Whether debug information is asked for."""
        wanted = {one.symbol: one.value for fragment in self.fragments for one in fragment.wanted}
        return any(wanted.get(symbol) == "y" for symbol in _DWARF)


def plan(request: BuildRequest, workdir: Workdir) -> Plan:
    """Find out what the request means. Raises UserError. Takes a fraction of a second and no lock."""
    # Every command that may build imports this module; pydantic and jinja2 are for those that do.
    from farm.kernel.flavors import compose, load  # noqa: PLC0415

    fragments = compose(request.flavor, request.overrides, request.config_dirs)
    source = sources.resolve(request, workdir)
    output = load(request.config_dirs)[request.flavor].output
    return Plan(request, source, tuple(fragments), tuple(map(patches.read, request.patches)), _compiler(), output)


def build(request: BuildRequest, workdir: Workdir, store: Store, progress: Report = ignore) -> Kernel:
    """The kernel that the request describes, from the cache or built now.

    Raises UserError for a request that cannot be carried out, BuildError when the kernel does not compile,
    InfrastructureError when the host is to blame. Several processes may ask for the same kernel: one builds it.
    """
    todo = plan(request, workdir)
    entry = store.build(KIND, todo.key, lambda directory: _make(todo, workdir, directory, progress))
    return _kernel(todo, entry)


def _compiler() -> tuple[str, ...]:
    lines = []
    for tool in ("gcc", "ld"):
        done = process.run([tool, "--version"], deadline=Deadline(30.0))
        lines.append(done.stdout.splitlines()[0] if done.stdout else "")
    return tuple(lines)


def _make(todo: Plan, workdir: Workdir, directory: Path, progress: Report) -> dict[str, Any]:
    """Build in the kept tree and copy the results to `directory`; returns the entry's meta data."""
    require_tools()
    if " " in str(workdir.root) or ":" in str(workdir.root):
        raise UserError(
            f"The kernel's make cannot work below {workdir.root}, for the space or colon in it. "
            "Set FARM_CACHE to another directory.")
    before = _cpu_seconds()
    log = workdir.directory("logs") / f"build-{todo.key[:16]}.log"
    with trees.opened(workdir, todo.source.tree) as tree, tree.scratch() as scratch:
        output = tree.output(todo.output)
        _require_space(tree, output, dwarf=todo.dwarf)
        progress(Progress(0, 1, f"checking out {todo.source.name}"))
        source = todo.source.prepare(tree.repository, scratch)
        repository = Repository(tree.repository)
        commit = patches.commit(repository, source, todo.patches, scratch)
        tree.checkout(commit)
        make = Make(tree.work, output, workdir.directory("ccache"), todo.request.jobs or len(os.sched_getaffinity(0)))
        with trees.compiling(output):
            configure(tree, make, todo.fragments, scratch)
            modular = "=m\n" in (output / ".config").read_text(encoding="utf-8")
            targets = ["bzImage", *(["modules"] if modular else [])]
            compile_kernel(make, targets, commit, repository, log=log, report=progress)
            release = (output / "include" / "config" / "kernel.release").read_text(encoding="utf-8").strip()
            _keep(output, _ARTIFACTS, directory)
            if todo.dwarf:
                _keep(output, {"vmlinux": "vmlinux"}, directory)
                _keep(tree.work, _SCRIPTS, directory, optional=True)
                _keep_gdb_scripts(make, directory / _GDB)
            if modular:
                _install_modules(make, scratch / "modules", directory / "modules.tar")
    shutil.move(log, directory / "build.log")
    return {"source": todo.source.name, "release": release, "flavor": todo.request.flavor,
            "compiler": list(todo.compiler), "cpu_seconds": round(_cpu_seconds() - before, 1)}


def _keep(source: Path, files: Mapping[str, str], directory: Path, *, optional: bool = False) -> None:
    for name, path in files.items():
        if not optional or (source / path).exists():
            shutil.copyfile(source / path, directory / name)


def require_tools(table: Iterable[Tool] = TOOLS) -> None:
    """Raises UserError, with the line that installs them, when tools for building kernels are missing."""
    lacking = missing([tool for tool in table if tool.name in _TOOLS])
    if lacking:
        names, line = ", ".join(tool.name for tool in lacking), shlex.join(apt_line(packages_of(lacking)))
        raise UserError(f"Building a kernel needs {names}, which this host lacks. Run `{line}`.")


def _require_space(tree: trees.Tree, output: Path, *, dwarf: bool) -> None:
    need = 0 if tree.work.is_dir() else trees.TREE_MIB
    if not (output / "vmlinux").exists():
        need += _OUTPUT_DWARF_MIB if dwarf else _OUTPUT_MIB
    trees.require_space(tree.directory, need + _RESULT_MIB, "Building this kernel")


def _cpu_seconds() -> float:
    """User and system time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _install_modules(make: Make, directory: Path, archive: Path) -> None:
    """lib/modules/RELEASE as a tar archive, the same bytes for the same modules."""
    process.run(
        make.argv([f"INSTALL_MOD_PATH={directory}", "INSTALL_MOD_STRIP=1", "modules_install"]),
        deadline=Deadline(_MODULES_SECONDS),
    )

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = "root"
        return None if member.issym() else member  # `build` and `source` point into the cache

    with tarfile.open(archive, "w") as tar:
        tar.add(directory / "lib", arcname="lib", filter=plain)


def _keep_gdb_scripts(make: Make, archive: Path) -> None:
    """The scripts that gdb loads; none, when this kernel has none or cannot make them: a build never fails for them."""
    if "CONFIG_GDB_SCRIPTS=y\n" not in (make.output / ".config").read_text(encoding="utf-8"):
        return
    # Only `make all` makes them by itself (Makefile, scripts_gdb); they link to the tree, which moves on.
    made = process.run(make.argv(["scripts_gdb"]), deadline=Deadline(_GDB_SECONDS), check=False)
    loader = make.output / "vmlinux-gdb.py"
    if made.returncode != 0 or not loader.exists():
        return
    with zipfile.ZipFile(archive, "w") as out:
        for path in (loader, *sorted((make.output / "scripts" / "gdb" / "linux").glob("*.py"))):
            # A ZipInfo of its own has no time: the same bytes for the same files.
            out.writestr(zipfile.ZipInfo(str(path.relative_to(make.output))), path.read_bytes())


def _kernel(todo: Plan, entry: Entry) -> Kernel:
    def optional(name: str) -> Path | None:
        path = entry.path / name
        return path if path.exists() else None

    identity = KernelId(
        source=todo.source.name, release=entry.meta["release"], flavor=todo.request.flavor,
        config=todo.request.overrides, patches=tuple(one.digest for one in todo.patches), build=todo.key,
    )
    return Kernel(
        id=identity, image=entry.file("bzImage"), config=entry.file("config"), vmlinux=optional("vmlinux"),
        decoder=optional("decode_stacktrace.sh"), gdb_scripts=optional(_GDB),
        system_map=entry.file("System.map"), modules=optional("modules.tar"), log=entry.file("build.log"),
        cached=entry.cached, cpu_seconds=entry.meta["cpu_seconds"], entry=entry,
    )
