"""Which accelerator works on this host, and how fast it is.

A /dev/kvm that opens proves nothing: on some hosts the virtual machine is made, the firmware runs, and Linux
never does. So the answer comes from booting the farm's own kernel to userspace under a short deadline, and is
remembered until the host boots again.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from farm.deadline import Deadline, Pace
from farm.errors import FarmError, InfrastructureError, UserError
from farm.host.workdir import Workdir

KVM, TCG = "kvm", "tcg"
NAMES = (KVM, TCG)

# A kernel under working KVM is up in about a second; under TCG in three to five on an idle host.
PROBE_SECONDS = {KVM: 10.0, TCG: 120.0}
# Seconds from QEMU's start to the guest's ready line that count as pace 1: what KVM takes on a quiet host.
BASE_BOOT_SECONDS = 0.8
# Boots vary with the load of the host; a pace below this would make deadlines too tight to be true.
LEAST_FACTOR = {KVM: 1.0, TCG: 4.0}


@dataclass(frozen=True)
class Boot:
    """A boot that reached userspace."""

    # From QEMU's start to the guest's ready line.
    seconds: float
    # Frequency of the guest's time stamp counter in kHz; 0 when its kernel did not say.
    tsc_khz: int = 0


# Boots the farm's kernel on the named accelerator; raises FarmError when it does not get to userspace.
Probe = Callable[[str, Deadline], Boot]


@dataclass(frozen=True)
class Acceleration:
    """The accelerator in use."""

    # `kvm` or `tcg`.
    name: str
    # Why this one, in a sentence.
    reason: str
    # Seconds from QEMU's start to the guest's ready line, as measured when it was chosen.
    boot_seconds: float
    # Frequency of the guest's time stamp counter in kHz, likewise; 0 when it is not known.
    tsc_khz: int = 0

    @property
    def parameters(self) -> tuple[str, ...]:
        """Kernel command line without which an emulated guest on a busy host would not keep time.

        A kernel that measures its time stamp counter while the host runs something else gets it wrong, once in some
        twenty boots by a factor of 30 (arch/x86/kernel/tsc.c, pit_hpet_ptimer_calibrate_cpu); all its watchdogs fire
        too early then.
        """
        return (f"tsc_early_khz={self.tsc_khz}",) if self.name == TCG and self.tsc_khz else ()

    @property
    def pace(self) -> Pace:
        return Pace(max(LEAST_FACTOR[self.name], self.boot_seconds / BASE_BOOT_SECONDS))


def decide(wanted: str, probe: Probe, workdir: Workdir, device: Path = Path("/dev/kvm")) -> Acceleration:
    """The accelerator to use: `wanted` (`kvm` or `tcg`), or for `auto` the fastest that boots the kernel.

    Asks `probe` unless the answer of this host boot is known. Raises UserError when the wanted one does not
    work, InfrastructureError when none does.
    """
    with workdir.locked("accel"):
        known = recall(workdir, wanted)
        if known is None:
            known = _automatic(probe, device) if wanted == "auto" else _forced(wanted, probe)
            _remember(workdir, wanted, known)
    return known


def recall(workdir: Workdir, wanted: str = "auto") -> Acceleration | None:
    """The answer that was found earlier in this boot of the host, or None."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(_memory(workdir).read_text())
        if kept["boot"] == _host_boot():
            return Acceleration(**kept["answers"][wanted])
    return None


def _automatic(probe: Probe, device: Path) -> Acceleration:
    refusal = _why_not_kvm(probe, device)
    if isinstance(refusal, Acceleration):
        return refusal
    try:
        boot = probe(TCG, Deadline(PROBE_SECONDS[TCG]))
    except FarmError as error:
        raise InfrastructureError(f"no accelerator boots the kernel. {refusal} TCG: {error}") from error
    return Acceleration(TCG, f"{refusal} The kernel is emulated (TCG) instead.", boot.seconds, boot.tsc_khz)


def _why_not_kvm(probe: Probe, device: Path) -> Acceleration | str:
    """KVM, when the kernel boots on it, else why it cannot be used."""
    if not device.exists():
        return f"{device} does not exist."
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} cannot be opened by this user (is it in the group kvm?)."
    try:
        boot = probe(KVM, Deadline(PROBE_SECONDS[KVM]))
    except FarmError as error:
        why = str(error).splitlines()[0].rstrip(".:")
        return f"{device} opens, but Linux does not reach userspace on it: {why}."
    return Acceleration(KVM, f"{device} boots the kernel.", boot.seconds, boot.tsc_khz)


def _forced(wanted: str, probe: Probe) -> Acceleration:
    if wanted not in NAMES:
        raise UserError(f"--accel {wanted}: there is no such accelerator. Choose auto, kvm or tcg.")
    try:
        boot = probe(wanted, Deadline(PROBE_SECONDS[wanted]))
    except FarmError as error:
        raise UserError(f"--accel {wanted}: the kernel does not boot on it ({error}). Use --accel auto.") from error
    return Acceleration(wanted, f"--accel {wanted} asked for it.", boot.seconds, boot.tsc_khz)


def _memory(workdir: Workdir) -> Path:
    return workdir.root / "accel.json"


def _host_boot() -> str:
    """Changes with every boot of the host (Linux: drivers/char/random.c, boot_id)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _remember(workdir: Workdir, wanted: str, answer: Acceleration) -> None:
    path = _memory(workdir)
    try:
        kept = json.loads(path.read_text())
        answers = kept["answers"] if kept["boot"] == _host_boot() else {}
    except (OSError, ValueError, KeyError):
        answers = {}
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({"boot": _host_boot(), "answers": {**answers, wanted: asdict(answer)}}, indent=1))
    temporary.replace(path)
