"""What is read from values of the kernel's types: of both generations, and with hostile names."""

from collections.abc import Iterator
from typing import Any

import drgn
import pytest
from drgn import Object, TypeEnumerator, TypeMember

from farm.evidence.reader import disks
from farm.evidence.reader.values import enumerators, escaped, guarded, member, set_bits, text

# Where the strings of these tests lie.
ADDRESS = 0x1000


@pytest.fixture
def program() -> drgn.Program:
    made = drgn.Program(drgn.Platform(drgn.Architecture.X86_64))
    made.add_memory_segment(ADDRESS, 0x1000, lambda address, count, offset, physical: (
        b"T10-DIF-TYPE1-CRC\0".ljust(0x1000, b"\0")[offset:offset + count]))
    return made


def number(program: drgn.Program, size: int = 1, name: str = "unsigned char") -> Any:
    return program.int_type(name, size, False)


def enumeration(program: drgn.Program, tag: str, **values: int) -> Any:
    made = program.enum_type(tag, number(program), [TypeEnumerator(name, value) for name, value in values.items()])
    program.register_type_finder(f"test {tag}", lambda _, kinds, name, file: made if name == tag else None,
                                 enable_index=0)
    return made


def structure(program: drgn.Program, tag: str, **members: Any) -> Any:
    listed, at = [], 0
    for name, kind in members.items():
        listed.append(TypeMember(kind, name, at * 8))
        at += drgn.sizeof(kind)
    return program.struct_type(tag, at, listed)


def since_6_11(program: drgn.Program, **values: int) -> Object:
    """include/linux/blkdev.h and blk-integrity.h of 6.12."""
    enumeration(program, "blk_integrity_flags", BLK_INTEGRITY_NOVERIFY=1, BLK_INTEGRITY_NOGENERATE=2,
                BLK_INTEGRITY_DEVICE_CAPABLE=4, BLK_INTEGRITY_REF_TAG=8, BLK_INTEGRITY_STACKED=16)
    checksum = enumeration(program, "blk_integrity_checksum", BLK_INTEGRITY_CSUM_NONE=0, BLK_INTEGRITY_CSUM_IP=1,
                           BLK_INTEGRITY_CSUM_CRC=2, BLK_INTEGRITY_CSUM_CRC64=3)
    byte = number(program)
    integrity = structure(program, "blk_integrity", flags=byte, csum_type=checksum, tuple_size=byte, pi_offset=byte,
                          interval_exp=byte, tag_size=byte)
    queue = structure(program, "request_queue", limits=structure(program, "queue_limits", integrity=integrity))
    return Object(program, queue, {"limits": {"integrity": values}})


def before_6_11(program: drgn.Program, profile: int, **values: int) -> Object:
    """include/linux/blkdev.h of 6.1."""
    byte = number(program)
    kind = structure(program, "blk_integrity_profile", name=program.pointer_type(program.int_type("char", 1, True)))
    integrity = structure(program, "blk_integrity", profile=program.pointer_type(kind), flags=byte, tuple_size=byte,
                          interval_exp=byte, tag_size=byte)
    limits = structure(program, "queue_limits", logical_block_size=number(program, 4, "unsigned int"))
    queue = structure(program, "request_queue", limits=limits, integrity=integrity)
    # The profile is a pointer to the name, which lies behind it.
    program.add_memory_segment(0x3000, 8, lambda *_: ADDRESS.to_bytes(8, "little"))
    return Object(program, queue, {"integrity": {"profile": profile, **values}})


def test_a_profile_among_the_limits(program: drgn.Program) -> None:
    queue = since_6_11(program, flags=4 | 8, csum_type=2, tuple_size=8, interval_exp=9, tag_size=2)
    assert disks.profile(queue) == ("T10-DIF-TYPE1-CRC, 8 bytes for each 512, tag size 2, flags: DEVICE_CAPABLE, "
                                    "REF_TAG")


@pytest.mark.parametrize(("values", "name"), [
    ({"csum_type": 0, "flags": 4}, "nop"), ({"csum_type": 1}, "T10-DIF-TYPE3-IP"),
    ({"csum_type": 3, "flags": 8}, "EXT-DIF-TYPE1-CRC64"), ({"csum_type": 7}, "nop")])
def test_names_of_profiles(program: drgn.Program, values: dict[str, int], name: str) -> None:
    queue = since_6_11(program, tuple_size=64, interval_exp=12, **values)
    assert disks.profile(queue).startswith(f"{name}, 64 bytes for each 4096, ")


def test_a_profile_beside_the_limits(program: drgn.Program) -> None:
    queue = before_6_11(program, 0x3000, flags=1 | 2 | 4, tuple_size=8, interval_exp=12)
    assert disks.profile(queue) == ("T10-DIF-TYPE1-CRC, 8 bytes for each 4096, tag size 0, flags: VERIFY, GENERATE, "
                                    "DEVICE_CAPABLE")


def test_no_profile(program: drgn.Program) -> None:
    assert disks.profile(since_6_11(program, flags=0, tuple_size=0)) == ""
    assert disks.profile(before_6_11(program, 0)) == ""
    nothing = structure(program, "request_queue", limits=structure(program, "queue_limits", flags=number(program)))
    assert disks.profile(Object(program, nothing, {})) == ""


def test_an_enumeration_that_the_kernel_lacks(program: drgn.Program) -> None:
    enumeration(program, "req_opf", REQ_OP_READ=0)
    assert dict(enumerators(program, "enum req_op", "enum req_opf")) == {"REQ_OP_READ": 0}
    assert list(enumerators(program, "enum no_such")) == []


def test_members_by_whichever_name(program: drgn.Program) -> None:
    value = Object(program, structure(program, "config", on_disk_tag_size=number(program)), {"on_disk_tag_size": 12})
    assert int(member(value, "tuple_size", "on_disk_tag_size")) == 12
    assert member(value, "tuple_size") is None


def test_names_control_no_terminal_and_end(program: drgn.Program) -> None:
    assert escaped(b"a\x1b[2J\xff\n") == r"a\x1b[2J\xff\n"
    assert len(escaped(b"x" * 1000)) == 256
    characters = program.array_type(program.int_type("char", 1, True), 4)
    assert text(Object(program, characters, [0x1b, 0x62, 0, 0x63])) == r"\x1bb"
    assert text(Object(program, program.pointer_type(program.int_type("char", 1, True)), 0)) == ""


def test_what_cannot_be_read_ends_its_own_lines_only(program: drgn.Program) -> None:
    def lines() -> Iterator[str]:
        yield "one"
        yield str(program.read_u64(0xdead))

    one, why = guarded(lines(), "  ")
    assert one == "one"
    assert why.startswith("  not read any further: FaultError: ")


def test_bits_by_their_names() -> None:
    assert set_bits(0b101, ("A", "B", "C")) == ["A", "C"]
    assert set_bits(0b1001, ("A", "B")) == ["A", "bit 3"]
    assert set_bits(0, ("A",)) == []
