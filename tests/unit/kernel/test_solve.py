"""Which kept directory a configuration is built in; what the tools make of one takes a kernel tree (tests/e2e)."""

from pathlib import Path

from farm.host.workdir import Workdir
from farm.kernel.solve import OUTPUT, Solver
from farm.kernel.values import BuildRequest


def test_the_directory_with_the_most_similar_configuration(user_tree: Path, workdir: Workdir) -> None:
    solver = Solver(BuildRequest(source=str(user_tree)), workdir)
    wanted = {f"A{number}": "y" for number in range(300)}
    assert solver.nearest(wanted) is None
    outputs = workdir.directory("trees", solver._source.tree, "o")
    for name, count in (("far", 50), ("near", 250), (OUTPUT, 300)):
        (outputs / name).mkdir()
        (outputs / name / ".config").write_text("".join(f"CONFIG_A{number}=y\n" for number in range(count)))
    assert solver.nearest(wanted) == "near"
    assert solver.nearest({"B": "y"}) == "far"
    assert solver.nearest({f"B{number}": "y" for number in range(300)}) is None
