"""Who builds kernels is known to the lanes: a name that has gone would let two builds run side by side."""

from pathlib import Path

import pytest

from tests.conftest import BUILDERS, E2E, lane, turn


@pytest.mark.parametrize("builder", BUILDERS)
def test_every_builder_is_there(builder: str) -> None:
    stem, _, name = builder.partition("::")
    assert f"def {name}" in Path(__file__).parents[2].joinpath(E2E, f"{stem}.py").read_text()
    assert lane(f"{E2E}{stem}.py::{name or 'test_any'}") == "kernels"


def test_a_file_may_be_in_both_lanes() -> None:
    builds, boots = (f"{E2E}test_run.py::{name}" for name in ("test_a_panic_in_dm_crypt_is_named", "test_good"))
    assert (lane(builds), lane(boots)) == ("kernels", "guests")
    quick = "tests/unit/test_model.py::test_good"
    assert lane(quick) == "tests/unit/test_model.py"
    assert turn(quick) < turn(f"{E2E}test_build.py::test_any") < turn(builds) < turn(boots)
