"""What the kernel's own tools make of a whole .config when some of its symbols are changed."""

import os
from collections.abc import Mapping
from pathlib import Path

from farm.host.workdir import Workdir
from farm.kernel import patches, sources, trees
from farm.kernel.build import require_tools
from farm.kernel.config import Wanted, different, parse_config
from farm.kernel.configure import kconfig, merge
from farm.kernel.git import Repository
from farm.kernel.make import Make
from farm.kernel.values import BuildRequest

# The `O=` directory in which nothing is ever built but the tools themselves.
OUTPUT = "solve"
# A kernel is built in the `O=` directory of another when they differ in at most as many symbols.
_NEAR = 200


class Solver:
    """The configuration tools of one kernel source."""

    def __init__(self, request: BuildRequest, workdir: Workdir) -> None:
        """Only source, revision and patches of the request matter. Raises UserError for a source that is none."""
        self._workdir = workdir
        self._source = sources.resolve(request, workdir)
        self._patches = tuple(map(patches.read, request.patches))

    def solve(self, base: Path, changes: Mapping[str, str]) -> dict[str, str]:
        """Symbols and values of the .config `base` with the changes merged into it and all dependencies minded.

        A change that the tree does not know or whose dependencies are off is not in the result. Raises UserError,
        BuildError when the tree's tools fail, InfrastructureError.
        """
        require_tools()
        with trees.opened(self._workdir, self._source.tree) as tree, tree.scratch() as scratch:
            source = self._source.prepare(tree.repository, scratch)
            tree.checkout(patches.commit(Repository(tree.repository), source, self._patches, scratch))
            output = tree.output(OUTPUT)
            output.mkdir(parents=True, exist_ok=True)
            make = Make(tree.work, output, self._workdir.directory("ccache"), len(os.sched_getaffinity(0)))
            fragment = scratch / "changes.config"
            lines = (Wanted(symbol, value, "").line for symbol, value in changes.items())
            fragment.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            merge(tree, make, base, [fragment])
            kconfig(make, ["olddefconfig"])
            return parse_config((output / ".config").read_text(encoding="utf-8"))

    def nearest(self, symbols: Mapping[str, str]) -> str | None:
        """The kept `O=` directory whose .config is most like those symbols; None when there is none like them.

        make compiles there only what depends on the symbols that differ.
        """
        configs = (self._workdir.root / "trees" / self._source.tree / "o").glob("*/.config")
        built = [path for path in configs if path.parent.name != OUTPUT]
        far = {path.parent.name: len(different(symbols, parse_config(path.read_text(encoding="utf-8"))))
               for path in built}
        near = min(far, key=lambda name: far[name], default=None)
        return near if near is not None and far[near] <= _NEAR else None
