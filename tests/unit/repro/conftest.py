"""A run directory as `farm run` leaves it, of a testcase that comes with the farm."""

import hashlib
import json
import shutil
from dataclasses import asdict

import pytest

from farm.guest.argv import kernel_command_line
from farm.host.cache import Store
from farm.host.workdir import data_directory
from farm.model import Cell, Finding, KernelId, Machine, Namespace, Outcome
from farm.repro.bundle import write_bundle
from farm.repro.recorded import load
from farm.results.directory import CellDirectory
from farm.verdict import Cause

PATCH = b"--- a/README\n+++ b/README\n@@ -1 +1 @@\n-a\n+b\n"
TITLE = "BUG: unable to handle kernel NULL pointer dereference in cryptd_skcipher_complete"
REPORT = "BUG: kernel NULL pointer dereference, address: 0000000000000000\n cryptd_skcipher_complete+0x1/0x2"
CELL = Cell(
    KernelId("debian:linux-source-6.12", "6.12.117-farm", "base", ("XFS_FS=y",),
             (hashlib.sha256(PATCH).hexdigest(),), build="b" * 64),
    Machine(cpus=2, memory_mib=512, namespaces=(Namespace("data", 64), Namespace("swap", 32, pi=1, ms=8)),
            append=("slab_nomerge",)),
    testcase="test_crypt.py::test_xfs_on_crypt_on_pi", stacks=("data / crypt / ext4",),
    workloads=("fio:rw=randwrite",), seed=7, duration=4.0, image="c" * 64)
SERIALS = "/sys/block/nvme0n1/device/serial:swap   \n/sys/block/nvme1n1/device/serial:data   \n"


@pytest.fixture
def make_run(tmp_path):
    """Makes cells in a run directory; the values are those of the record."""
    def make(cell=CELL, outcome=Outcome.FAIL, commands=None, **facts):
        finding = Finding("oops", TITLE, "cryptd_skcipher_complete", signature="s1", text=REPORT)
        directory = CellDirectory(tmp_path / "runs" / "one", cell.testcase)
        (directory.path / "patches").mkdir()
        (directory.path / "patches/01.patch").write_bytes(PATCH)
        (directory.path / "config").write_text("CONFIG_XFS_FS=y\n")
        (directory.path / "console.log").write_text(REPORT)
        shutil.copy(data_directory("testcases") / "test_crypt.py", directory.path / "testcase.py")
        line = kernel_command_line(cell.machine, ["tsc_early_khz=1000000", "workqueue.watchdog_thresh=20"])
        argv = ["qemu-system-x86_64", "-kernel", "/home/me/.cache/farm/bzImage", "-append", line,
                "-drive", "if=none,file=/home/me/.cache/image.ext4"]
        (directory.path / "qemu.txt").write_text("\n".join(argv) + "\n")
        failed = outcome is Outcome.FAIL
        findings = (finding,) if failed else ()
        directory.write_reports(findings)
        directory.write_result(cell, outcome, title=TITLE if failed else "", findings=findings, facts={
            "cause": asdict(Cause("oops", TITLE, "cryptd_skcipher_complete", "s1")) if failed else None,
            "over": 100.0, "qemu": "7.2.22", "accelerator": "tcg", "rounds": 100, "image_recipe": "debian",
            "host": "my-secret-host", "command": ["farm", "run", "/home/me/x"], **facts})
        default = [{"command": name, "status": 0, "seconds": 1.0, "started": at, "stdout": said, "stderr": ""}
                   for name, at, said in (("cat serials", 50.0, SERIALS), ("dmesg", 101.0, ""))]
        with (directory.path / "commands.jsonl").open("w") as out:
            out.writelines(json.dumps(one) + "\n" for one in (default if commands is None else commands))
        return directory.path

    return make


@pytest.fixture
def make_bundle(make_run, tmp_path):
    """Makes bundles of such runs."""
    def make(name="a.farm.tar.gz", **changes):
        path = tmp_path / name
        write_bundle(load(make_run(**changes)), path, Store(tmp_path / "store"), with_kernel=False, with_image=False)
        return path

    return make
