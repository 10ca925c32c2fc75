"""What is wrong with the command line is said before a kernel is built."""

from pathlib import Path

import pytest

from farm.cli.run import prepare
from farm.errors import UserError
from farm.options import OPTIONS

PLAIN = {option.name: [] if option.multiple else option.default for option in OPTIONS}


@pytest.mark.parametrize(
    "wrong",
    [
        {"stack": ["data / nosuch"]}, {"stack": [""]}, {"machine": "cpus=many"}, {"namespace": ["data:size=huge"]},
        {"namespace": ["data:size=64M"], "stack": ["other / xfs"]}, {"image_recipe": "nosuch"},
        {"machine": "cpus=²"}, {"machine": f"cpus={'9' * 5000}"}, {"machine": "cpus=65"}, {"machine": "memory=64M"},
        {"namespace": ["data:ms=²"]}, {"namespace": [f"data:block={'9' * 5000}"]}, {"namespace": ["data:ms=3"]},
    ],
)
def test_a_mistake_is_told_before_the_kernel_is_built(wrong: dict[str, object], tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_CACHE", str(tmp_path))
    with pytest.raises(UserError):
        prepare({**PLAIN, **wrong})
    assert not (tmp_path / "trees").exists()
