from pathlib import Path

from farm.options import OPTIONS, as_arguments


def test_a_value_never_stands_alone():
    given = {option.name: [] if option.multiple else None for option in OPTIONS}
    given |= {"dump_memory": True, "patch": [Path("a.patch"), Path("b.patch")], "seed": 7, "flavor": "base"}
    assert sorted(as_arguments(given)) == ["--dump-memory", "--patch=a.patch", "--patch=b.patch", "--seed=7"]
