"""The measurement of the classification: a command that fails is one error, and other figures stay."""

from pathlib import Path

import pytest

from bench import oracle
from bench.measure import BenchError


def test_a_classification_that_fails_is_no_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    farm = tmp_path / "farm"
    farm.write_text("#!/bin/sh\nexit 3\n")
    farm.chmod(0o755)
    monkeypatch.setattr(oracle, "FARM", farm)
    with pytest.raises(BenchError, match="classify --json -` ended with status 3"):
        oracle._peak(bytes(oracle.MIB), 4)
    with pytest.raises(BenchError, match="ended with status 3"):
        oracle.process_speed("logs", tmp_path)
