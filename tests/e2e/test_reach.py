"""Which functions a testcase reaches, as the emulator of a real guest saw it."""

import json
import os
import subprocess
import sys

import pytest

from farm.results.reached import load

pytestmark = pytest.mark.e2e


def test_a_testcase_is_measured_and_the_others_stay(tmp_path):
    record = tmp_path / "reach.json"
    record.write_text(json.dumps({"testcases": [{"testcase": "a.py::test_b", "stacks": ["data"], "kernel": "6.1"}],
                                  "functions": {"zswap_store": "0"}}))
    done = subprocess.run(
        [sys.executable, "-m", "farm", "reach", "test_protection_information.py::test_linear_at_an_odd_offset",
         "--duration", "1", "-o", str(record)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ})
    assert done.returncode == 0, done.stderr
    measured = load(record)
    assert measured.functions["a.py::test_b"] == {"zswap_store"}
    reached = measured.functions["test_protection_information.py::test_linear_at_an_odd_offset"]
    assert {"linear_map", "dm_submit_bio", "bio_integrity_prep"} <= reached
    assert not reached & {"crypt_convert", "xfs_file_write_iter", "zswap_store", "mirror_map"}
