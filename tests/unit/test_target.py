"""The target without a guest: what it makes of an emulator's end; tests/e2e boots real ones."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farm import target as module
from farm.deadline import Pace
from farm.errors import InfrastructureError
from farm.host.accel import TCG, Acceleration
from farm.model import Machine
from farm.monitor import Monitor
from farm.target import Target

BANNER = b"[    0.000000] Linux version 6.12.117-farm (root@host) #1\r\n"
INIT = b"[    3.000000] Run /sbin/init as init process\r\n"


class Emulator:
    """In QEMU's place: the first one crashes when its guest has started init."""

    starts = 0

    def __init__(self, argv_of: object, *, on_console: Callable[[bytes], None], **_: object) -> None:
        type(self).starts += 1
        self.crashed = self.starts == 1
        self.ending, self.replaceable, self.qmp = "", True, SimpleNamespace(version="7.2")
        self._on_console = on_console

    def wait_for_userspace(self, *_: object) -> float:
        self._on_console(BANNER + INIT)
        if self.crashed:
            raise InfrastructureError("QEMU ended by signal 11 (SIGSEGV).")
        return 1.0

    def stop(self) -> None:
        pass


def test_an_emulator_that_crashes_after_init_blames_no_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Qemu", Emulator)
    monkeypatch.setattr(Target, "_connect", lambda *_: None)
    monitor = Monitor(Pace(0.01))
    image: Any = SimpleNamespace(path=tmp_path / "root.img")
    with Target(kernel=tmp_path / "bzImage", image=image, machine=Machine(), monitor=monitor, directory=tmp_path,
                acceleration=Acceleration(TCG, "", 5.0)) as target:
        target.start()
    assert Emulator.starts == 2
    assert monitor.failure() is None
