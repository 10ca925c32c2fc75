"""QEMU's command line as a function of the machine."""

from itertools import pairwise
from pathlib import Path

import pytest

from farm.guest.argv import Launch, kernel_command_line, qemu_argv
from farm.guest.namespaces import FIRST_SLOT, LAST_SLOT, MOST_NAMESPACES
from farm.model import Machine, Namespace


def launch(machine: Machine, **changes):
    values = {
        "kernel": Path("/k/bzImage"), "root": Path("/i/image.ext4"),
        "console_fd": 7, "qmp_fd": 9, "disks": {ns.serial: Path(f"/d/{ns.serial}.raw") for ns in machine.namespaces}}
    return Launch(**{**values, **changes})


def argv_of(*namespaces: Namespace, accelerator: str = "tcg", append=(), **changes) -> list[str]:
    machine = Machine(namespaces=namespaces)
    return qemu_argv(machine, accelerator, launch(machine, **changes), append)


def values(argv: list[str], flag: str) -> list[str]:
    return [after for before, after in pairwise(argv) if before == flag]


def nvme_ns(namespace: Namespace) -> set[str]:
    device = next(value for value in values(argv_of(namespace), "-device") if value.startswith("nvme-ns,"))
    return set(device.split(","))


@pytest.mark.parametrize(("name", "accel", "cpu"), [
    ("tcg", "tcg,thread=multi", "max,la57=off"), ("kvm", "kvm", "host")])
def test_accelerator_sets_the_cpu(name, accel, cpu):
    argv = argv_of(accelerator=name)
    assert values(argv, "-accel") == [accel]
    assert values(argv, "-cpu") == [cpu]


def test_size_of_the_machine():
    machine = Machine(cpus=3, memory_mib=640)
    argv = qemu_argv(machine, "tcg", launch(machine))
    assert values(argv, "-smp") == ["3"]
    assert values(argv, "-m") == ["640"]


def test_one_emulated_cpu_gets_its_memory_barriers():
    machine = Machine(cpus=1)
    assert values(qemu_argv(machine, "tcg", launch(machine)), "-smp") == ["1,maxcpus=2"]
    assert values(qemu_argv(machine, "kvm", launch(machine)), "-smp") == ["1"]
    assert "nr_cpus=1" in kernel_command_line(machine).split()


def test_sockets_are_inherited_and_the_console_is_logged_by_qemu():
    chardevs = values(argv_of(), "-chardev")
    assert chardevs == ["socket,id=console,fd=7", "socket,id=qmp,fd=9"]


def test_commas_in_paths_are_doubled():
    argv = argv_of(root=Path("/i,j/image"))
    assert values(argv, "-drive")[0].endswith(",file=/i,,j/image")


def test_root_is_an_overlay_and_namespaces_are_not():
    root, data = values(argv_of(Namespace("data")), "-drive")
    assert "snapshot=on" in root
    assert "snapshot" not in data
    assert data.endswith("file=/d/data.raw")


def test_ssh_is_forwarded_from_loopback_only():
    assert values(argv_of(ssh_port=2222), "-netdev") == [
        "user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:2222-:22"]
    assert "hostfwd=tcp:127.0.0.1:0-:22" in values(argv_of(), "-netdev")[0]


def test_parameters_of_the_testcase_come_last():
    line = kernel_command_line(Machine(append=("mine=2",)), ["farms=1"]).split()
    assert line[-2:] == ["farms=1", "mine=2"]
    assert "panic=0" in line
    assert not {"quiet", "loglevel"} & {word.partition("=")[0] for word in line}


@pytest.mark.parametrize(("namespace", "has", "lacks"), [
    (Namespace("n"), {"logical_block_size=512", "physical_block_size=512"}, {"ms", "pi", "pif", "zoned"}),
    (Namespace("n", block=4096), {"logical_block_size=4096", "physical_block_size=4096"}, {"ms"}),
    (Namespace("n", ms=64), {"ms=64", "mset=0"}, {"pi", "pil"}),
    (Namespace("n", pi=1, ms=8), {"ms=8", "pi=1", "pil=0", "pif=0"}, {"zoned"}),
    (Namespace("n", pi=2, ms=16, pi_first=True), {"pi=2", "pil=1", "pif=0"}, set()),
    (Namespace("n", pi=3, ms=16, guard=64), {"pi=3", "pil=0", "pif=2"}, set()),
    (Namespace("n", block=4096, zone_mib=16), {"zoned=true", "zoned.zone_size=16M", "zoned.zone_capacity=16M"}, {"ms"}),
])
def test_shape_of_a_namespace(namespace, has, lacks):
    options = nvme_ns(namespace)
    assert has <= options
    assert not lacks & {option.partition("=")[0] for option in options}


def test_each_namespace_has_a_controller_with_its_serial():
    argv = argv_of(Namespace("one"), Namespace("two"))
    devices = [value for value in values(argv, "-device") if value.startswith("nvme")]
    assert [device.split(",")[2] for device in devices[::2]] == ["serial=one", "serial=two"]
    assert [device.split(",")[2] for device in devices[1::2]] == ["bus=nvme0", "bus=nvme1"]


def test_as_many_namespaces_as_promised_get_addresses_of_their_own():
    argv = argv_of(*(Namespace(f"n{index}") for index in range(MOST_NAMESPACES)))
    used = [part for value in values(argv, "-device") for part in value.split(",") if part.startswith("addr=")]
    assert len(used) == len(set(used))
    slots = [int(address[5:].partition(".")[0], 16) for address in used]
    assert max(slots) == LAST_SLOT
    assert sum(slot >= FIRST_SLOT for slot in slots) == MOST_NAMESPACES
