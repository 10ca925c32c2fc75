"""Configurations between two, solved by the tools of a real kernel tree."""

from pathlib import Path

import pytest

from farm.bisect.config.candidates import Candidates
from farm.host.workdir import Workdir
from farm.kernel import BuildRequest, Kernel
from farm.kernel.solve import Solver

pytestmark = pytest.mark.e2e


def test_what_dependencies_drop_and_drag_along(base_kernel: Kernel, workdir: Workdir, tmp_path: Path) -> None:
    assert base_kernel.config is not None
    good = base_kernel.config.read_text()
    (tmp_path / "good.config").write_text(good)
    switched = ("DM_DUST", "DM_VERITY", "DM_VERITY_FEC")
    kept = [line for line in good.splitlines() if not any(f"CONFIG_{one} " in line for one in switched)]
    bad = [*kept, *(f"CONFIG_{one}=y" for one in (*switched, "NO_SUCH"))]
    (tmp_path / "bad.config").write_text("\n".join(bad) + "\n")
    solver = Solver(BuildRequest(), workdir)
    found = Candidates(tmp_path, solver, tmp_path / "good.config", tmp_path / "bad.config")
    assert set(switched) <= set(found.options)
    assert [one.option for one in found.refused["bad"]] == ["NO_SUCH"]
    assert solver.nearest(found._good) == "base"

    nothing = found.get(frozenset())
    assert (nothing.dropped, nothing.dragged) == ((), ())
    # lib/reed_solomon comes with DM_VERITY_FEC, which without DM_VERITY is none.
    alone = found.get(frozenset({"DM_VERITY_FEC"}))
    assert alone.dropped == ("DM_VERITY_FEC",)
    assert alone.name == nothing.name
    both = found.get(frozenset({"DM_VERITY", "DM_VERITY_FEC"}))
    assert both.dropped == ()
    assert ("REED_SOLOMON", "y") in both.dragged
