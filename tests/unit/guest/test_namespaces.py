"""What cannot be emulated is refused, by the name of the rule."""

import pytest

from farm.errors import UserError
from farm.guest.namespaces import MOST_NAMESPACES, RULES, check_machine, check_namespace
from farm.model import Machine, Namespace

GOOD = [
    Namespace("a"), Namespace("A-1_b", block=4096), Namespace("x" * 20), Namespace("m", ms=64),
    *(Namespace("p", pi=pi, ms=ms, block=block, pi_first=first)
      for pi in (1, 2, 3) for ms in (8, 16, 64) for block in (512, 4096) for first in (False, True)),
    Namespace("g", pi=1, ms=16, guard=64), Namespace("g", pi=3, ms=64, guard=64, block=4096),
    Namespace("z", zone_mib=16), Namespace("z", block=4096, zone_mib=128), Namespace("z", pi=1, ms=8, zone_mib=4),
]

# Rule -> namespaces that break it and no rule before it.
BAD = {
    "serial": [Namespace(""), Namespace("a,b"), Namespace("x" * 21), Namespace("-a"), Namespace("ä"), Namespace("a\n")],
    "size": [Namespace("a", size_mib=0), Namespace("a", size_mib=-1)],
    "block-size": [Namespace("a", block=1024), Namespace("a", block=0)],
    "metadata-size": [Namespace("a", ms=4), Namespace("a", ms=128), Namespace("a", ms=-8)],
    "pi-type": [Namespace("a", pi=4, ms=8), Namespace("a", pi=-1, ms=8)],
    "pi-needs-metadata": [Namespace("a", pi=1)],
    "guard-width": [Namespace("a", pi=1, ms=16, guard=32)],
    "guard-needs-pi": [Namespace("a", ms=16, guard=64)],
    "guard-needs-room": [Namespace("a", pi=1, ms=8, guard=64)],
    "pi-first-needs-pi": [Namespace("a", ms=8, pi_first=True)],
    "zone-power-of-two": [Namespace("a", zone_mib=3), Namespace("a", zone_mib=-16)],
    "zone-whole": [Namespace("a", size_mib=100, zone_mib=64), Namespace("a", size_mib=64, zone_mib=64)],
}


@pytest.mark.parametrize("namespace", GOOD, ids=str)
def test_possible(namespace):
    check_namespace(namespace)


@pytest.mark.parametrize(("rule", "namespace"), [(rule, bad) for rule, bads in BAD.items() for bad in bads])
def test_impossible(rule, namespace):
    with pytest.raises(UserError, match=rf"rule {rule}\)"):
        check_namespace(namespace)


def test_every_rule_has_a_sample():
    assert set(BAD) == {rule.name for rule in RULES}


@pytest.mark.parametrize(("machine", "said"), [
    (Machine(cpus=0), "rule cpus"),
    (Machine(cpus=65), "rule cpus"),
    (Machine(memory_mib=64), "rule memory"),
    (Machine(append=("",)), "rule append"),
    (Machine(append=("a\nb",)), "rule append"),
    (Machine(namespaces=(Namespace("a"), Namespace("b"), Namespace("a"))), "rule unique-serial"),
    (Machine(namespaces=(Namespace("a"), Namespace("b", block=1))), r"'b'.*rule block-size"),
    (Machine(namespaces=tuple(Namespace(f"n{n}") for n in range(MOST_NAMESPACES + 1))), "room for"),
])
def test_impossible_machines(machine, said):
    with pytest.raises(UserError, match=said):
        check_machine(machine)


def test_possible_machine():
    check_machine(Machine(cpus=8, memory_mib=256, append=("sysctl.kernel.x=1", 'dyndbg="file dm-crypt.c +p"')))
