"""The shape of the code: what may import what, and how long a file and a function may be.

A part is a module or package directly below `farm`. It imports only parts on lower floors, wherever the import
stands; parts on floors 2 and 4 are siblings that never import each other.
"""

import ast
from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FARM = ROOT / "farm"

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"", "errors", "model", "deadline", "textform"}),  # "" is farm/__init__.py
    frozenset({"host"}),
    frozenset({"kernel", "image", "oops"}),
    frozenset({"guest"}),
    frozenset({"stack", "pressure", "workload"}),
    frozenset({"monitor", "expectation", "watchdogs", "liveness", "freeze", "target", "evidence", "probe", "growth",
               "leaks", "lingering", "reach"}),
    frozenset({"verdict", "results", "options", "progress", "trial", "enter", "dump", "bisect", "repro", "qualify",
               "nightly", "report"}),
    frozenset({"plugin", "cli", "__main__"}),
)
# Floors whose parts do not know of each other.
SIBLINGS = frozenset({2, 4})
FLOOR_OF = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
# A longer file gives its reason in a comment that begins so, before its first statement.
REASON = "# Longer than 400 lines: "

SOURCES = sorted(
    path for folder in ("farm", "tests", "bench", "testcases") for path in (ROOT / folder).rglob("*.py")
)


def part_of(module: str) -> str:
    """The part that a dotted name below `farm` belongs to."""
    return [*module.split("."), ""][1]


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below a node; unlike `ast.walk` it passes over expressions, which are nine nodes of ten."""
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        for child in getattr(node, field, ()):
            yield child
            yield from statements(child)


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and absolute name of every module that the source imports, also inside functions and by importlib.

    `package` is the dotted name of the package that the source lies in, for relative imports.
    """
    tree = ast.parse(source)
    calls = "import_module" in source or "__import__" in source
    for node in ast.walk(tree) if calls else statements(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            # `from farm import oops` imports a part, `from farm.oops import classify` a name.
            yield from ((node.lineno, f"{base}.{alias.name}" if base == "farm" else base) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in {"import_module", "__import__"}:
                yield node.lineno, str(node.args[0].value)


def objections(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What the floors have against the imports of one module of ours."""
    part, found = part_of(module), []
    if part not in FLOOR_OF:
        return [f"{module} is on no floor: add it to FLOORS"]
    floor = FLOOR_OF[part]
    for line, name in imported(source, module if is_package else module.rpartition(".")[0]):
        if name.split(".")[0] != "farm":
            continue
        # `from farm import __version__` and the like reach into farm/__init__.py.
        other = part_of(name) if part_of(name) in FLOOR_OF or (FARM / part_of(name)).exists() else ""
        if other not in FLOOR_OF:
            found.append(f"{module}:{line} imports {name}, which is on no floor")
        elif FLOOR_OF[other] > floor:
            found.append(f"{module}:{line} on floor {floor} imports {name} of floor {FLOOR_OF[other]}")
        elif FLOOR_OF[other] == floor and other != part and floor in SIBLINGS:
            found.append(f"{module}:{line} imports its sibling {name}")
    return found


def lengthy(source: str) -> list[str]:
    """What the size limits have against a file."""
    lines = source.splitlines()
    tree = ast.parse(source)
    found = []
    # The docstring is no statement to the reader: the reason may stand below it.
    first = next((node.lineno for node in tree.body if not isinstance(node, ast.Expr)), len(lines) + 1)
    if len(lines) > MAX_FILE_LINES and not any(line.startswith(REASON) for line in lines[: first - 1]):
        found.append(f"{len(lines)} lines and no reason at its top")
    for node in statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                found.append(f"{node.name}, line {node.lineno}, has {length} lines")
    return found


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", sorted(FARM.rglob("*.py")), ids=name_of)
def test_no_import_runs_upward(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert objections(source, name_of(path), is_package=path.name == "__init__.py") == []


def needs(path: Path, files: Collection[str]) -> set[str]:
    """Those of our modules, `files`, that have to be there before this one can be."""
    module = name_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {name for _, name in imported(ast.unparse(node), package)}
            if isinstance(node, ast.ImportFrom):
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in names & set(files) if not f"{package}.".startswith(f"{name}.")}
    packages = {name.rsplit(".", depth)[0] for name in found for depth in range(1, name.count(".") + 1)}
    return found | {name for name in packages if not f"{module}.".startswith(f"{name}.")}


def test_no_module_needs_itself() -> None:
    """So that each can be imported first: every command is, in a process of its own."""
    paths = {name_of(path): path for path in FARM.rglob("*.py")}
    graph = {module: needs(path, paths) for module, path in paths.items()}
    assert graph["farm.options"] >= {"farm.kernel", "farm.errors"}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them


@pytest.mark.parametrize("path", sorted((ROOT / "testcases").rglob("*.py")), ids=name_of)
def test_testcases_know_fixtures_and_markers_only(path: Path) -> None:
    names = {name for _, name in imported(path.read_text(encoding="utf-8"), "testcases")}
    assert not {name for name in names if name.split(".")[0] == "farm"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_are_short(path: Path) -> None:
    assert lengthy(path.read_text(encoding="utf-8")) == []


def test_no_part_is_on_two_floors() -> None:
    assert sum(len(parts) for parts in FLOORS) == len(FLOOR_OF)


@pytest.mark.parametrize(("module", "source", "word"), [
    ("farm.host.cache", "import farm.kernel", "floor 2"),
    ("farm.host.cache", "import os, farm.guest.qemu as q", "floor 3"),
    ("farm.errors", "from farm.host import lease", "floor 1"),
    ("farm.errors", "from farm import host", "floor 1"),
    ("farm.kernel.build", "def f():\n    from farm.plugin import x", "floor 7"),
    ("farm.kernel.build", "def f():\n    if 1:\n        import farm.cli", "floor 7"),
    ("farm.kernel.build", "import importlib\nimportlib.import_module('farm.monitor')", "floor 5"),
    ("farm.kernel.build", "__import__('farm.monitor')", "floor 5"),
    ("farm.kernel.build", "from ..guest import qemu", "floor 3"),
    ("farm.kernel.build", "from .. import guest", "floor 3"),
    ("farm.kernel.build", "from farm.image import build", "sibling"),
    ("farm.oops", "from farm import image", "sibling"),
    ("farm.stack.plan", "import farm.workload.fio", "sibling"),
    ("farm.unheard", "import os", "no floor"),
    ("farm.kernel.build", "if TYPE_CHECKING:\n    from farm.target import Target", "floor 5"),
])
def test_a_forbidden_import_is_seen(module: str, source: str, word: str) -> None:
    found = objections(source, module)
    assert len(found) == 1
    assert word in found[0]


@pytest.mark.parametrize(("module", "source", "is_package"), [
    ("farm.host.cache", "import os\nfrom farm import errors\nfrom farm.host import lease\nfrom . import cache", False),
    ("farm.kernel", "from .build import build", True),
    ("farm.kernel.git", "from .trees import Tree", False),
    ("farm.plugin.hooks", "from farm import monitor, verdict\nfrom farm.results.directory import x", False),
    ("farm.cli", "from farm import __version__", True),
    ("farm.target", "from farm.monitor import Monitor", False),
    ("farm.cli.run", "from farm.plugin.outcomes import Outcomes", False),
    ("farm.verdict", "import importlib\nimportlib.import_module('json')", False),
])
def test_a_proper_import_is_let_through(module: str, source: str, is_package: bool) -> None:
    assert objections(source, module, is_package=is_package) == []


def test_a_long_file_needs_a_reason() -> None:
    body = "x = 1\n" * (MAX_FILE_LINES + 1)
    assert len(lengthy(body)) == 1
    assert lengthy(body + f"{REASON}too late\n")
    assert lengthy(f'"""What it is."""\n\n{REASON}one table of all patterns.\n\n' + body) == []
    assert lengthy("x = 1\n" * MAX_FILE_LINES) == []


def test_a_long_function_is_seen_wherever_it_is() -> None:
    body = "        pass\n" * (MAX_FUNCTION_LINES - 1)
    assert lengthy("class A:\n    def f(self):\n" + body) == []
    assert lengthy("class A:\n    async def f(self):\n" + body + "        pass\n") == ["f, line 2, has 61 lines"]


@pytest.mark.parametrize("around", [
    "if a:\n    {}", "if a:\n    pass\nelif b:\n    {}", "if a:\n    pass\nelse:\n    {}", "for a in b:\n    {}",
    "for a in b:\n    pass\nelse:\n    {}", "while a:\n    {}", "with a:\n    {}", "try:\n    {}\nfinally:\n    pass",
    "try:\n    pass\nexcept A:\n    {}", "try:\n    pass\nexcept* A:\n    {}",
    "try:\n    pass\nexcept A:\n    pass\nelse:\n    {}", "try:\n    pass\nfinally:\n    {}",
    "match a:\n    case 1:\n        {}", "async def g():\n    async with a:\n        {}",
    "async def g():\n    async for a in b:\n        {}", "def g():\n    class A:\n        {}"])
def test_no_statement_hides_another(around: str) -> None:
    source = around.format("import farm.cli")
    assert list(imported(source, "farm.host")) == [(source[: source.index("import")].count("\n") + 1, "farm.cli")]
