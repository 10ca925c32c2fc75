"""Values out of a dump: names that control no terminal, members that not every kernel has, flags by their names."""

from collections.abc import Iterator, Sequence
from typing import Any

# Characters of one name.
MOST_CHARACTERS = 256


def guarded(lines: Iterator[str], indent: str = "") -> Iterator[str]:
    """The lines, up to where they cannot be read: what the memory of a broken kernel holds is anybody's guess."""
    try:
        yield from lines
    except Exception as error:  # drgn's own errors and those of its helpers have no common class
        yield f"{indent}not read any further: {type(error).__name__}: {error}"


def text(value: Any) -> str:
    """A string: an array of characters, or a pointer to some; "" for none."""
    import drgn  # noqa: PLC0415

    if value.type_.kind == drgn.TypeKind.POINTER:
        return escaped(value.prog_.read_c_string(value.value_(), max_size=MOST_CHARACTERS)) if value else ""
    return escaped(value.string_())


def escaped(value: bytes) -> str:
    """A name out of the guest's memory, which is hostile: nothing in it can control a terminal."""
    from drgn.helpers.common.format import escape_ascii_string  # noqa: PLC0415

    return str(escape_ascii_string(value[:MOST_CHARACTERS]))


def symbol(program: Any, pointer: Any) -> str:
    """The name of what a pointer leads to, or the address; "" for none."""
    try:
        return str(program.symbol(pointer.value_()).name) if pointer else ""
    except LookupError:
        return f"{pointer.value_():#x}"


def cast(kind: str, pointer: Any, file: str | None = None) -> Any:
    """The pointer as one to that type; `file` tells types of the same name apart. Raises LookupError."""
    import drgn  # noqa: PLC0415

    program = pointer.prog_
    return drgn.cast(program.pointer_type(program.type(kind, file)), pointer)


def member(value: Any, *names: str) -> Any:
    """The first of these members that the structure has; None when it has none of them."""
    return next((value.member_(name) for name in names if _has(value, name)), None)


def _has(value: Any, name: str) -> bool:
    import drgn  # noqa: PLC0415

    kind = value.type_
    while kind.kind in (drgn.TypeKind.POINTER, drgn.TypeKind.TYPEDEF):
        kind = kind.type
    return bool(kind.has_member(name))


def enumerators(program: Any, *kinds: str) -> Iterator[tuple[str, int]]:
    """Names and values of the first of these enumerations that the kernel has; none when it has none."""
    for kind in kinds:
        try:
            found = program.type(kind)
        except LookupError:
            continue
        yield from ((one.name, one.value) for one in found.enumerators)
        return


def set_bits(value: int, names: Sequence[str]) -> list[str]:
    """The names of the bits that are set, of bit 0 first; bits without a name are told by their number."""
    bits = [bit for bit in range(value.bit_length()) if value >> bit & 1]
    return [names[bit] if bit < len(names) else f"bit {bit}" for bit in bits]
