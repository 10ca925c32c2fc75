"""Booting the farm's kernel to find out which accelerator works here, and how fast it is."""

import re
import shutil
from functools import partial
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import InfrastructureError, KernelError, UserError
from farm.guest.argv import Launch, qemu_argv
from farm.guest.qemu import Qemu
from farm.host import lease
from farm.host.accel import BASE_BOOT_SECONDS, LEAST_FACTOR, TCG, Acceleration, Boot, decide
from farm.host.workdir import Workdir
from farm.image import GuestImage
from farm.model import Machine

# The machine whose boot sets the pace; no testcase's, so that the answer holds for all of them.
MACHINE = Machine(cpus=2, memory_mib=512)

# What the kernel says of its time stamp counter (arch/x86/kernel/tsc.c), best first: measured against HPET for a
# second, against HPET where the other clock gave something else, and at a glance.
_TSC = (r"Refined TSC clocksource calibration: (\d+)\.(\d{3}) MHz", r"PIT calibration deviates from \w+: \d+ (\d+)()",
        r"tsc: Detected (\d+)\.(\d{3}) MHz")


def acceleration(wanted: str, kernel: Path, image: GuestImage, workdir: Workdir) -> Acceleration:
    """The accelerator to use: `auto`, or `kvm` or `tcg` as the user says; see farm.host.accel.decide.

    A kernel that boots nowhere is no fault of the accelerators: it is given to emulation unproved, so that a cell
    can judge it. Raises UserError when the wanted one does not work, InfrastructureError when QEMU does not.
    """
    try:
        return decide(wanted, partial(boot, kernel=kernel, image=image), workdir)
    except (UserError, InfrastructureError) as error:
        if wanted not in ("auto", TCG) or not isinstance(error.__cause__, KernelError):
            raise
        return Acceleration(TCG, "This kernel boots on no accelerator; emulation (TCG) is taken to judge it.",
                            LEAST_FACTOR[TCG] * BASE_BOOT_SECONDS)


def boot(accelerator: str, deadline: Deadline, *, kernel: Path, image: GuestImage) -> Boot:
    """Boot to the guest's ready line and tell how it went.

    Raises BootError when the kernel does not get there, InfrastructureError when QEMU does not run.
    """
    scratch = lease.scratch_directory("probe")
    log = scratch / "console.log"

    def argv_of(console: int, qmp: int) -> list[str]:
        launch = Launch(kernel=kernel, root=image.path, console_fd=console, qmp_fd=qmp, disks={})
        return qemu_argv(MACHINE, accelerator, launch)

    try:
        qemu = Qemu(argv_of, scratch=scratch, log=scratch / "qemu.log", console_log=log,
                    on_console=lambda _: None, on_event=lambda _: None)
        try:
            seconds = qemu.wait_for_userspace(deadline)
            return Boot(seconds, tsc_khz(log.read_text(errors="replace")))
        finally:
            qemu.stop()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def tsc_khz(console: str) -> int:
    """Frequency of the time stamp counter that a console tells; 0 when it does not."""
    matches = (re.search(pattern, console) for pattern in _TSC)
    return next((int(match[1] + match[2]) for match in matches if match), 0)
