"""QEMU's command line: a pure function of the machine and of where its files are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from farm.guest.namespaces import FIRST_SLOT, FUNCTIONS, check_machine
from farm.model import Machine, Namespace

__all__ = ["Launch", "check_machine", "kernel_command_line", "qemu_argv"]

PROGRAM = "qemu-system-x86_64"

# `-cpu max` is what TCG can emulate at best (AES-NI and AVX2 among it, so the kernel takes its fast ciphers). Without
# five levels of page tables: identify_cpu() (arch/x86/kernel/cpu/common.c) clears for a moment what the CPU can, which
# under emulation is long, and an interrupt in that moment takes the kernel for one with four levels
# (pgtable_l5_enabled); KASAN then reports a wild access.
ACCELERATORS: Mapping[str, Sequence[str]] = {
    "kvm": ("-accel", "kvm", "-cpu", "host"),
    "tcg": ("-accel", "tcg,thread=multi", "-cpu", "max,la57=off"),
}

# rootfstype: no file system is tried in vain. noinit_itable: ext4 writes nothing unasked. panic=0: a kernel that
# panicked stays as it is, so that QEMU can still be asked for its CPUs and memory; a reboot would wipe the evidence.
# noautodetect: no md array is ever on vda. no_timer_check: a guest that the host keeps from running misses the ticks
# by which it would be checked that its timer works, and panics (arch/x86/kernel/apic/io_apic.c, check_timer); a guest
# that knows it is under KVM leaves the check out by itself.
KERNEL_PARAMETERS = (
    "console=ttyS0,115200", "root=/dev/vda", "rootfstype=ext4", "rootflags=noinit_itable", "rw",
    "init=/usr/sbin/farm-init", "panic=0", "raid=noautodetect",
    "no_timer_check",
)


@dataclass(frozen=True)
class Launch:
    """Where the files and sockets of one QEMU process are."""

    # bzImage.
    kernel: Path
    # Raw image of the root file system; never written to.
    root: Path
    # Open file descriptors of the far ends of the console's and QMP's socket pairs.
    console_fd: int
    qmp_fd: int
    # Serial of each namespace -> its backing file.
    disks: Mapping[str, Path]
    # Port on the host's loopback for the guest's ssh; 0 lets the system pick.
    ssh_port: int = 0
    # Where QEMU writes which of the kernel's code it translates (TCG only); None for not at all.
    trace: Path | None = None


def kernel_command_line(machine: Machine, append: Sequence[str] = ()) -> str:
    """The kernel's parameters; what comes last wins, so the testcase's own stand at the end."""
    return " ".join([*kernel_parameters(machine), *append, *machine.append])


def kernel_parameters(machine: Machine) -> tuple[str, ...]:
    """Those that every guest of this shape gets."""
    # The second CPU that QEMU is told could be there never comes (see _cpus).
    return (*KERNEL_PARAMETERS, *(("nr_cpus=1",) if machine.cpus == 1 else ()))


def qemu_argv(machine: Machine, accelerator: str, launch: Launch, append: Sequence[str] = ()) -> list[str]:
    """The whole command. Raises UserError when the machine cannot be emulated."""
    check_machine(machine)
    argv = [
        PROGRAM, *ACCELERATORS[accelerator], "-machine", "q35",
        # Nothing but what is named here: no default devices, no configuration of the host's administrator.
        "-nodefaults", "-no-user-config", "-display", "none",
        "-smp", _cpus(machine, accelerator), "-m", str(machine.memory_mib),
        "-kernel", str(launch.kernel), "-append", kernel_command_line(machine, append),
        # A guest that resets or powers off is stopped as it is, registers and memory kept: nobody asked it to.
        "-action", "reboot=shutdown,shutdown=pause",
        # The guest may be broken or hostile: QEMU gives up the right to start programs or change its privileges.
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny",
        # Socket pairs have no name in the file system that could clash or be left behind.
        "-chardev", f"socket,id=console,fd={launch.console_fd}",
        "-serial", "chardev:console",
        "-chardev", f"socket,id=qmp,fd={launch.qmp_fd}", "-mon", "chardev=qmp,mode=control",
        # snapshot: all writes go to a temporary file that is unlinked already (TMPDIR is the lease's scratch).
        *_drive("root", launch.root, "snapshot=on"), "-device", "virtio-blk-pci,drive=root,addr=2",
        # restrict: the guest reaches nothing but the farm's ssh connection. romfile: no firmware to boot from network.
        "-netdev", f"user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{launch.ssh_port}-:22",
        "-device", "virtio-net-pci,netdev=net,romfile=,addr=3",
        # Entropy at once: sshd would wait for it.
        "-device", "virtio-rng-pci,addr=4",
        "-device", "virtio-balloon-pci,id=balloon,addr=5",
        # Lets the kernel leave the note by which a memory dump can be read.
        "-device", "vmcoreinfo",
        # in_asm: a line for each instruction when it is translated, of the kernel's half of the addresses alone.
        *(["-d", "in_asm", "-dfilter", "0xffff800000000000..0xffffffffffffffff", "-D", str(launch.trace)]
          if launch.trace else []),
    ]
    for index, namespace in enumerate(machine.namespaces):
        argv += _namespace(namespace, index, launch.disks[namespace.serial])
    return argv


def _cpus(machine: Machine, accelerator: str) -> str:
    """How many CPUs are there, and how many could be.

    QEMU before 8.0 leaves memory barriers out of emulated code when there can be one CPU only (tcg/tcg-op.c,
    tcg_gen_mb), though its devices run beside that CPU: the NVMe driver then reads an old event index, does not ring
    the doorbell (drivers/nvme/host/pci.c, nvme_dbbuf_update_and_check_event), and its commands wait for ever.
    """
    return "1,maxcpus=2" if (machine.cpus, accelerator) == (1, "tcg") else str(machine.cpus)


def _namespace(namespace: Namespace, index: int, path: Path) -> list[str]:
    """A namespace on a controller of its own, which carries the serial."""
    slot, function = divmod(index, FUNCTIONS)
    address = f"addr={FIRST_SLOT + slot:#x}.{function},multifunction=on"
    return [
        "-device", f"nvme,id=nvme{index},serial={namespace.serial},{address}",
        *_drive(f"disk{index}", path, "discard=unmap"),
        "-device", ",".join([f"nvme-ns,drive=disk{index},bus=nvme{index}", *_shape(namespace)]),
    ]


def _shape(namespace: Namespace) -> list[str]:
    options = ["nsid=1", f"logical_block_size={namespace.block}", f"physical_block_size={namespace.block}"]
    if namespace.ms:
        # mset=0: metadata in a buffer of its own; with extended blocks Linux offers no integrity profile.
        options += [f"ms={namespace.ms}", "mset=0"]
    if namespace.pi:
        # pil: 1 puts protection information into the first bytes of the metadata. pif: 2 is the 64-bit guard.
        options += [f"pi={namespace.pi}", f"pil={int(namespace.pi_first)}", f"pif={2 if namespace.guard == 64 else 0}"]
    if namespace.zone_mib:
        zone = f"{namespace.zone_mib}M"
        options += ["zoned=true", f"zoned.zone_size={zone}", f"zoned.zone_capacity={zone}"]
    return options


def _drive(name: str, path: Path, option: str) -> list[str]:
    # cache=unsafe: no fsync, because nothing of it outlives the cell. All access goes through the host's page cache,
    # so that what the farm changes in the file is what the guest reads next.
    return ["-drive", f"if=none,id={name},format=raw,cache=unsafe,{option},file={_value(path)}"]


def _value(path: Path) -> str:
    """A path as the value of a QEMU option: a comma is doubled."""
    return str(path).replace(",", ",,")
