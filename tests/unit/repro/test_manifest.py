"""Every word of a manifest is checked before it reaches a command line, a path, or QEMU."""

import json
from dataclasses import asdict

import pytest

from farm.errors import UserError
from farm.repro.manifest import read_manifest
from tests.unit.repro.conftest import CELL

GOOD = {
    "format": 1, "farm": "0.1.0", "cell": asdict(CELL), "outcome": "fail", "title": "t", "cause": None, "qemu": "7.2",
    "accelerator": "tcg", "append": [], "rounds": 100, "image_recipe": "debian", "files": {},
}


def changed(path, value):
    manifest = json.loads(json.dumps(GOOD))
    *way, last = path.split(".")
    place = manifest
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(manifest).encode()


def test_a_good_one_is_read():
    assert read_manifest(json.dumps(GOOD).encode(), "b").cell == CELL


@pytest.mark.parametrize(("path", "value", "words"), [
    ("format", 2, "made by farm 0.1.0 in format 2"),
    ("format", None, "does not say which format"),
    ("outcome", "great", "outcome"),
    ("accelerator", "xen; rm -rf", "accelerator"),
    ("files", {"config": {"sha256": "no", "size": 1}}, "sha256"),
    ("files", {"config": {"sha256": "0" * 64, "size": -1}}, "size"),
    ("surprise", 1, "surprise"),
    ("rounds", 10**9, "rounds"),
    ("image_recipe", "../../etc", "image_recipe"),
    ("append", ["ok", "a b"], "append"),
    ("cell.testcase", "../evil.py::test_x", "testcase"),
    ("cell.testcase", "/tmp/test_x.py::test_x", "testcase"),
    ("cell.testcase", "--version", "testcase"),
    ("cell.testcase", "test_a.py::test_b\n--config=X", "testcase"),
    ("cell.kernel.source", "/home/you/linux", "kernel.source"),
    ("cell.kernel.source", "debian:../../x", "kernel.source"),
    ("cell.kernel.flavor", "--trust", "kernel.flavor"),
    ("cell.kernel.config", ["LOCALVERSION=\n"], "kernel.config"),
    ("cell.kernel.patches", ["../x"], "kernel.patches"),
    ("cell.kernel.build", "../../../../home/you", "kernel.build"),
    ("cell.workloads", ["fio\n\n    rm -rf ~"], "workloads"),
    ("cell.pressure", ["\x1b[2J"], "pressure"),
    ("cell.image", "x", "image"),
    ("cell.seed", -1, "seed"),
    ("cell.duration", 1e12, "duration"),
    ("cell.machine.cpus", 4096, "machine cannot be"),
    ("cell.machine.memory_mib", 1 << 20, "MiB of memory"),
    ("cell.machine.namespaces.0.size_mib", 1 << 30, "MiB"),
    ("cell.machine.namespaces.0.serial", "a,file=/etc/passwd", "machine cannot be"),
    ("cell.stacks", ["data / crypt:cipher=$(reboot)"], "machine cannot be"),
    ("cell.machine", "none", "cell.machine"),
])
def test_what_no_farm_would_write_is_refused_by_its_place(path, value, words):
    with pytest.raises(UserError) as caught:
        read_manifest(changed(path, value), "b.farm.tar.gz")
    assert words in str(caught.value)
    assert "b.farm.tar.gz" in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"{}", b"[" * 100_000])
def test_something_else_than_a_manifest(text):
    with pytest.raises(UserError):
        read_manifest(text, "b")
