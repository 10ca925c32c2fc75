"""The target: one emulated machine with a kernel under test, from power-on to power-off.

    off ──start──▶ booting ──▶ ready ──stop──▶ off
                      └──────────┴──▶ broken     sticky: the first cause is raised to whoever asks afterwards

A broken target is not torn down at once: evidence is collected first, through `patient`.
"""

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from farm.deadline import Deadline, Pace
from farm.errors import BootError, CrashError, FarmError, GuestError, InfrastructureError
from farm.guest.argv import Launch, check_machine, qemu_argv
from farm.guest.disk import Disk, make_backing_files
from farm.guest.patient import Patient
from farm.guest.qemu import Qemu
from farm.guest.qmp import Event, Qmp
from farm.guest.shell import CommandError, CommandResult, ConnectionLostError, Record
from farm.guest.ssh import Ssh
from farm.guest.stream import Running
from farm.guest.watch import Unwatched, Watcher, never
from farm.host import lease
from farm.host.accel import BASE_BOOT_SECONDS, TCG, Acceleration
from farm.image import GuestImage
from farm.model import Finding, Machine
from farm.oops.emulator import STALLS, shows_a_lost_timer

# Base seconds: until the ready line, until ssh answers, for a command without a deadline of its own, and until a
# namespace has been found by the driver.
BOOT_SECONDS = 20.0
SSH_SECONDS = 15.0
COMMAND_SECONDS = 30.0
DEVICE_SECONDS = 5.0
# Less than this left on the host's disk, and writes of the guest fail for want of room.
LEAST_FREE_BYTES = 16 << 20
# Wall seconds in which the reason of a broken connection shows.
AFTERMATH_SECONDS = 0.5


_Result = TypeVar("_Result")


class State(Enum):
    """Where a target stands."""

    OFF = "off"
    BOOTING = "booting"
    READY = "ready"
    BROKEN = "broken"


class Target:
    """A machine under test. `with Target(...) as target: target.start(); target.run([...])`."""

    def __init__(
        self,
        *,
        kernel: Path,
        image: GuestImage,
        machine: Machine,
        acceleration: Acceleration,
        directory: Path,
        monitor: Watcher | None = None,
        record: Record | None = None,
        ssh_port: int | None = None,
        append: Sequence[str] = (),
        trace: Path | None = None,
    ) -> None:
        """Nothing is started yet. `directory` gets console.log, qemu.txt, qemu.log and commands.jsonl.

        `kernel` is a bzImage, `append` goes to its command line before the machine's own parameters, `record`
        takes each command instead of commands.jsonl, `trace` gets QEMU's log of translated kernel code. Raises
        UserError for a machine that cannot be emulated.
        """
        check_machine(machine)
        self.machine = machine
        self.directory = directory
        # How slow this guest is: at least as the accelerator, slower when its kernel took longer to boot.
        self.pace: Pace = acceleration.pace
        # Seconds from QEMU's start to the ready line, and to the first answer over ssh; 0 before.
        self.boot_seconds = 0.0
        self.ssh_seconds = 0.0
        # Port of this host's loopback that leads to the guest's ssh; 0 until there is one.
        self.ssh_port = 0
        # QEMU's version; "" until it ran.
        self.qemu_version = ""
        self._kernel = kernel
        self._image = image
        self._acceleration = acceleration
        self._monitor: Watcher = monitor or Unwatched()
        self._record = record or self._write_record
        self._ssh_port = ssh_port or 0
        self._trace = trace
        self._append = (*acceleration.parameters, *append)
        self._lock = threading.Lock()
        self._state = State.OFF
        self._cause: FarmError | None = None
        # Why the guest stopped by itself, and what the host did to its disks, as QEMU says; "" while all is well.
        self._left = ""
        self._disk_error = ""
        # What the emulator did to the guest while it booted, in a sentence; "" for nothing.
        self._lost = ""
        self._qemu: Qemu | None = None
        self._ssh: Ssh | None = None
        self._devices: dict[str, str] = {}
        self._power = ExitStack()
        scratch = lease.scratch_directory("vm")
        self._scratch = scratch
        namespaces = {namespace.serial: namespace for namespace in machine.namespaces}
        # The namespaces keep their contents when the target is stopped and started again.
        self.disk = Disk(namespaces, make_backing_files(namespaces, scratch))

    # -- life

    @property
    def state(self) -> State:
        return self._state

    @property
    def alive(self) -> bool:
        """True while QEMU runs."""
        return self._qemu is not None and self._qemu.alive

    @property
    def ending(self) -> str:
        """How QEMU ended by itself, in a sentence; "" while it runs or was never started."""
        return self._qemu.ending if self._qemu is not None else ""

    @property
    def pid(self) -> int:
        """QEMU's process id. Raises InfrastructureError when the target is off."""
        return self._running().pid

    @property
    def console_log(self) -> Path:
        return self.directory / "console.log"

    def start(self, deadline: Deadline | None = None) -> None:
        """Boot to the first answer over ssh.

        Raises BootError when the kernel does not get there, InfrastructureError when QEMU fails or the image refuses
        the farm's key, UserError when the ssh port is taken, and the monitor's error when that trips. What was started
        is left as it is for evidence then; `stop` ends it.
        """
        with self._lock:
            if self._state is not State.OFF:
                raise InfrastructureError(f"a target that is {self._state.value} cannot be started")
            self._state, self._left, self._disk_error = State.BOOTING, "", ""
            self._devices.clear()
        try:
            self._boot(deadline)
            self._connect(deadline or self.pace.deadline(SSH_SECONDS))
        except FarmError as error:
            raise self._break(error) from error.__cause__
        with self._lock:
            if self._state is State.BOOTING:
                self._state = State.READY

    def stop(self) -> None:
        """Power off, the hard way; harmless when off. The disks keep what was written to them."""
        # First, so that whoever watches does not take the end of QEMU for its own doing.
        self._qemu = self._ssh = None
        self._power.close()
        with self._lock:
            if self._state is not State.BROKEN:
                self._state = State.OFF

    def close(self) -> None:
        """Stop for good and remove the disks."""
        with ExitStack() as final:
            final.callback(shutil.rmtree, self._scratch, ignore_errors=True)
            final.callback(self.stop)

    def __enter__(self) -> "Target":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _boot(self, deadline: Deadline | None) -> None:
        """From power-on to the ready line, a second time when the emulator fails the first.

        QEMU before 8.1 may crash when the guest moves a device's registers while another CPU uses some
        (softmmu/physmem.c, tcg_commit), which a kernel does while it looks for PCI devices; and a timer may get lost
        (farm.oops.emulator). What fails twice is not excused.
        """
        replaceable = self._acceleration.name == TCG
        self._lost = ""
        self._monitor.excuse = self._excuse if replaceable else never
        try:
            self._boot_once(deadline, replaceable)
        except InfrastructureError as error:
            if not replaceable or not (self._lost or (self._qemu and self._qemu.crashed)):
                raise
            self._power.close()
            with (self.directory / "qemu.log").open("a", encoding="utf-8") as log:
                log.write(f"The farm starts QEMU again. {error}\n")
            self._monitor.switched_off()
            self._monitor.excuse = never
            self._lost = self._left = ""
            self._boot_once(deadline)
        finally:
            self._monitor.excuse = never
        self._lost = ""  # it may have been heard of while the guest went on
        self._running().replaceable = False

    def _boot_once(self, deadline: Deadline | None, replaceable: bool = False) -> None:
        self._power_on(replaceable)
        self._wait_for_userspace(deadline or self.pace.deadline(BOOT_SECONDS))
        self._guard()

    def _excuse(self, report: Finding) -> bool:
        """Whether a report while it boots is the emulator's doing; then it boots again."""
        if shows_a_lost_timer(report):
            self._lost = f"QEMU lost a timer of the guest: {report.title}."
        return bool(self._lost) and report.kind in STALLS

    def _power_on(self, replaceable: bool = False) -> None:
        launch = Launch(
            kernel=self._kernel, root=self._image.path, console_fd=-1, qmp_fd=-1,
            disks=self.disk.files, ssh_port=self._ssh_port, trace=self._trace)

        def argv_of(console: int, qmp: int) -> list[str]:
            here = replace(launch, console_fd=console, qmp_fd=qmp)
            argv = qemu_argv(self.machine, self._acceleration.name, here, self._append)
            (self.directory / "qemu.txt").write_text("\n".join(argv) + "\n", encoding="utf-8")
            return argv

        self._qemu = Qemu(
            argv_of, scratch=self._scratch, log=self.directory / "qemu.log", console_log=self.console_log,
            on_console=self._monitor.console, on_event=self._on_event,
            replaceable=replaceable)
        self._power.callback(self._qemu.stop)
        self.qemu_version = self._qemu.qmp.version

    def _wait_for_userspace(self, deadline: Deadline) -> None:
        try:
            self.boot_seconds = self._running().wait_for_userspace(deadline, self._guard)
        except BootError as error:
            raise self._boot_error(str(error)) from None
        self.pace = Pace(max(self.pace.factor, self.boot_seconds / BASE_BOOT_SECONDS))

    def _connect(self, deadline: Deadline) -> None:
        qemu = self._running()
        self.ssh_port = qemu.ssh_port()
        self._ssh = Ssh(self.ssh_port, self._image.key_file, self._image.host_key,
                        record=self._record, guard=self._guard)
        self._power.callback(self._ssh.close)
        try:
            self._ssh.connect(deadline)
            self._ssh.run(["true"], deadline=deadline)
        except ConnectionLostError as error:
            raise self._boot_error(str(error)) from error
        self.ssh_seconds = time.monotonic() - qemu.started

    # -- use

    def run(
        self, command: Sequence[str] | str, *, deadline: Deadline | None = None, input: bytes | None = None,
        check: bool = True,
    ) -> CommandResult:
        """Run a command in the guest, given as words or as a script for sh.

        Raises CommandError when it fails (unless `check` is false), HangError when it outlasts the deadline
        (30 base seconds when none is given), the monitor's error when that trips meanwhile, ConnectionLostError when
        ssh breaks, InfrastructureError when QEMU does.
        """
        return self._talk(lambda ssh: ssh.run(
            command, deadline=deadline or self.pace.deadline(COMMAND_SECONDS), input=input or b"", check=check))

    def put(self, content: bytes | Path, remote: str, *, deadline: Deadline | None = None, mode: int = 0o644) -> None:
        """Write a file in the guest. Raises as `run` does."""
        self._talk(lambda ssh: ssh.put(
            content, remote, deadline=deadline or self.pace.deadline(COMMAND_SECONDS), mode=mode))

    def get(self, remote: str, local: Path, *, deadline: Deadline | None = None) -> None:
        """Copy a file out of the guest. Raises as `run` does."""
        self._talk(lambda ssh: ssh.get(remote, local, deadline=deadline or self.pace.deadline(COMMAND_SECONDS)))

    def stream(self, command: Sequence[str] | str, on_line: Callable[[str], None] | None = None) -> Running:
        """Start a command that runs on; its lines go to `on_line`, or are iterated over."""
        return self._talk(lambda ssh: ssh.stream(command, on_line))

    def block_device(self, serial: str) -> str:
        """`/dev/nvme…` of the namespace whose controller has this serial; names differ from boot to boot.

        Raises UserError for a serial that the machine does not have, GuestError when the guest did not find it.
        """
        self.disk.file(serial)
        deadline = self.pace.deadline(DEVICE_SECONDS)
        while serial not in self._devices:
            listed = self.run("grep -sH . /sys/block/nvme*/device/serial", check=False, deadline=deadline).stdout
            self._devices = {
                match[2]: f"/dev/{match[1]}"
                for match in re.finditer(r"^/sys/block/(nvme[0-9a-z]+)/device/serial:(\S+)\s*$", listed, re.MULTILINE)}
            if serial not in self._devices and not deadline.sleep(0.1):
                raise GuestError(f"The guest did not find the namespace {serial}. {self.console_log} may say why.")
        return self._devices[serial]

    def trouble(self) -> InfrastructureError | None:
        """What the host did to the guest that the guest cannot help, or None; asked before a kernel is blamed.

        A full disk of the host reaches the guest as failed writes (NVMe: Write Fault) or stops it (virtio-blk).
        """
        free = shutil.disk_usage(self._scratch).free
        if free < LEAST_FREE_BYTES:
            return InfrastructureError(
                f"The disk of this host is full ({free >> 20} MiB free in {self._scratch.parent}), so writes of the "
                "guest failed. Make room or set FARM_TMPDIR to another place.")
        return InfrastructureError(f"QEMU could not do what the guest asked of its disk ({self._disk_error})."
                                   ) if self._disk_error else None

    @property
    def qmp(self) -> Qmp:
        """The connection to QEMU. Raises InfrastructureError when the target is off."""
        return self._running().qmp

    @property
    def patient(self) -> Patient:
        """The same guest for whoever collects evidence: also when the target is broken."""
        return Patient(self._qemu, self._ssh)

    # -- inner workings

    def _talk(self, work: Callable[[Ssh], _Result]) -> _Result:
        """Use the connection in state ready; what breaks it breaks the target."""
        self._guard()
        if self._state is not State.READY or self._ssh is None:
            raise InfrastructureError(f"the target is {self._state.value}, so there is no guest to talk to")
        try:
            return work(self._ssh)
        except CommandError as error:
            if (trouble := self.trouble()) is not None:
                raise self._break(trouble) from error
            raise
        except ConnectionLostError as error:
            # QEMU's end, or the guest's, is the better reason, and may be seen a moment later.
            moment = Deadline(AFTERMATH_SECONDS)
            while moment.sleep(0.05):
                self._guard()
            raise self._break(error) from error.__cause__

    def _guard(self) -> None:
        """Raises when there is no sense in waiting for the guest any longer."""
        if self._lost:
            raise InfrastructureError(self._lost)
        if self._cause is not None:
            raise self._cause
        if self._disk_error and (trouble := self.trouble()):
            raise self._break(trouble)
        if self._monitor.tripped and (failure := self._monitor.failure()):
            raise self._break(failure)
        if self._left:
            message = f"The guest stopped by itself ({self._left})."
            booting = self._state is State.BOOTING
            raise self._break(self._boot_error(message) if booting else CrashError(message))
        if self.ending:
            raise self._break(InfrastructureError(self.ending))

    def _on_event(self, event: Event) -> None:
        if event.name == "SHUTDOWN" and event.data.get("guest"):
            self._left = str(event.data.get("reason", "shutdown"))
        if event.name == "BLOCK_IO_ERROR":
            self._disk_error = " ".join(str(event.data.get(key)) for key in ("device", "operation", "reason"))
        self._monitor.event(event.name, event.data)

    def _break(self, cause: FarmError) -> FarmError:
        """Enter the broken state; the first cause, which stays."""
        with self._lock:
            if self._cause is None:
                self._cause = cause
            self._state = State.BROKEN
            return self._cause

    def _boot_error(self, message: str) -> BootError:
        console = self._qemu.console.tail() if self._qemu else ""
        what = f"The console ended with:\n{console}" if console else "Nothing came over the console."
        return BootError(f"{message} The whole console is in {self.console_log}. {what}")

    def _running(self) -> Qemu:
        if self._qemu is None:
            raise InfrastructureError("the target is off: there is no QEMU to ask")
        return self._qemu

    def _write_record(self, entry: Mapping[str, Any]) -> None:
        with (self.directory / "commands.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(entry) + "\n")
