"""Farm processes to be killed: each test starts one for itself and looks at what it leaves behind."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farm.host.janitor import VARIABLE


class Owner:
    """A Python process with a lease of its own that runs the given code and says when it is ready."""

    def __init__(self, code: str, directory: Path) -> None:
        self.directory = directory
        # The janitor's sweep is what the tests time, so the owner's own environment must be clean of other leases.
        env = {key: value for key, value in os.environ.items() if key != VARIABLE}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={**env, "FARM_TMPDIR": str(directory)},
        )

    def said(self) -> Any:
        """The next line it prints, as JSON."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the owner ended without a word"
        return json.loads(line)

    def left(self) -> list[str]:
        """Names of what is left in its temporary directory."""
        return sorted(path.name for path in self.directory.iterdir())


def lives(pid: int) -> bool:
    """True while the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def eventually(holds: Callable[[], bool], seconds: float = 120.0) -> bool:
    """Wait until the condition holds; False when it does not in time, which is longer than a busy disk keeps a file."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
