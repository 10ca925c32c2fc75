"""What blocked tasks wait for, read from a dump of the guest's memory: `python -m farm.evidence.blocked DUMP VMLINUX`.

Runs in a process of its own with a deadline, because the memory of a broken kernel may be anything; each part is
printed as soon as it is known. drgn is an optional extra.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

from farm.evidence.decode import relative

# Tasks, frames of a task, requests of one disk, and bios that are shown.
MOST_TASKS = 200
MOST_FRAMES = 64
MOST_REQUESTS = 256
MOST_BIOS = 64
# Locals of a task's functions that say what it waits for.
_POINTERS = ("struct bio *", "struct request *")


def main() -> int:
    """Print the report; says in a sentence why there is none."""
    try:
        import drgn  # noqa: PLC0415 - an optional extra
    except ImportError:
        print("not read: drgn is not installed. `pip install 'kernel-farm[dump]'` brings it.")
        return 1
    dump, vmlinux = sys.argv[1:]
    program = drgn.Program()
    try:
        program.set_core_dump(dump)
        program.load_debug_info([vmlinux])
    except Exception as error:  # a cut-off dump has drgn raise whatever comes first
        print(f"not read: {error}")
        return 1
    for part in (_tasks, _requests, _held_back):
        try:
            for line in part(program):
                print(line, flush=True)
        except Exception as error:  # of one part: what the memory of a broken kernel holds is anybody's guess
            print(f"  not read any further: {type(error).__name__}: {error}")
        print()
    return 0


def _tasks(program: Any) -> Iterator[str]:
    """Stacks of all tasks in uninterruptible sleep, and the requests that their functions have in hand."""
    from drgn.helpers.linux.pid import for_each_task  # noqa: PLC0415
    from drgn.helpers.linux.sched import task_state_to_char  # noqa: PLC0415

    found = 0
    yield "==> blocked tasks (state D) <=="
    for task in islice((one for one in for_each_task(program) if task_state_to_char(one) == "D"), MOST_TASKS):
        found += 1
        yield f"\n{_text(task.comm)} pid {int(task.pid)}, process {int(task.tgid)}"
        trace = program.stack_trace(task)
        yield from (f"  {frame}" for frame in _kernel_frames(trace))
        yield from (f"  has {line}" for line in dict.fromkeys(_in_hand(trace)))
    if not found:
        yield "none"


def _kernel_frames(trace: Any) -> Iterator[str]:
    """The frames up to where the task came from userspace: what lies beyond is not in a kernel's debug information."""
    for frame in islice(trace, MOST_FRAMES):
        if not frame.is_inline and frame.name == f"{frame.pc:#x}":
            return
        try:
            source = frame.source()
        except LookupError:
            yield f"{frame.name}"
        else:
            yield f"{frame.name} ({relative(source.filename)}:{source.line})"


def _in_hand(trace: Any) -> Iterator[str]:
    """The bios and requests among the locals of a stack."""
    for frame in islice(trace, MOST_FRAMES):
        for name in frame.locals() if frame.function_name else ():
            value = frame[name]
            kind = value.type_.type_name()
            if kind in _POINTERS and not value.absent_ and value:
                describe = _bio if kind == "struct bio *" else _request
                try:
                    yield f"{describe(value)}, `{name}` of {frame.name}"
                except Exception as error:  # a stale pointer may lead anywhere
                    yield f"`{name}` of {frame.name}, which is no {kind.removesuffix(' *')} any more ({error})"


def _requests(program: Any) -> Iterator[str]:
    """Requests that the block layer has given to a driver, by disk (blk_mq_tags)."""
    from drgn.helpers.linux.block import disk_name, for_each_disk, request_queue_busy_iter  # noqa: PLC0415

    found = 0
    yield "==> block requests in flight <=="
    for disk in for_each_disk(program):
        for request in islice(request_queue_busy_iter(disk.queue), MOST_REQUESTS):
            found += 1
            yield f"{_text_of(disk_name(disk))}: {_request(request)}"
    if not found:
        yield "none"


def _held_back(program: Any) -> Iterator[str]:
    """Bios that a suspended device-mapper device keeps until it is resumed (drivers/md/dm.c, queue_io)."""
    from drgn.helpers.linux.block import disk_name, for_each_disk  # noqa: PLC0415

    found = 0
    yield "==> bios held back by suspended device-mapper devices <=="
    for disk in for_each_disk(program):
        if _symbol(program, disk.fops.submit_bio) != "dm_submit_bio":
            continue
        bio = _cast(program, "struct mapped_device *", disk.private_data).deferred.head
        while bio and found < MOST_BIOS:
            found += 1
            yield f"{_text_of(disk_name(disk))}: {_bio(bio)}"
            bio = bio.bi_next
    if not found:
        yield "none"


def _bio(bio: Any) -> str:
    end = _symbol(bio.prog_, bio.bi_end_io)
    return (f"bio {bio.value_():#x} {_operation(bio)} of {int(bio.bi_iter.bi_size) >> 9} sectors at sector "
            f"{int(bio.bi_iter.bi_sector)} of {_device(bio)}" + (f", ends in {end}" if end else ""))


def _request(request: Any) -> str:
    from drgn.helpers.linux.block import blk_rq_bytes, blk_rq_pos  # noqa: PLC0415

    first = request.bio
    end = f", first {_bio(first)}" if first else ""
    return (f"request {request.value_():#x} tag {int(request.tag)} {_operation(request)} of "
            f"{int(blk_rq_bytes(request)) >> 9} sectors at sector {int(blk_rq_pos(request))}{end}")


def _operation(io: Any) -> str:
    """`READ`, `WRITE` and so on (include/linux/blk_types.h, enum req_op)."""
    flags = io.bi_opf if io.type_.type_name() == "struct bio *" else io.cmd_flags
    number = int(flags) & 0xFF
    names = {value: name for name, value in _operations(io.prog_)}
    return names.get(number, f"operation {number}")


def _operations(program: Any) -> Iterator[tuple[str, int]]:
    # 6.1 and newer say `enum req_op`, older ones `enum req_opf`.
    try:
        kind = program.type("enum req_op")
    except LookupError:
        kind = program.type("enum req_opf")
    for enumerator in kind.enumerators:
        yield enumerator.name.removeprefix("REQ_OP_"), enumerator.value


def _device(bio: Any) -> str:
    from drgn.helpers.linux.block import disk_name  # noqa: PLC0415

    return _text_of(disk_name(bio.bi_bdev.bd_disk)) if bio.bi_bdev else "no device"


def _symbol(program: Any, pointer: Any) -> str:
    try:
        return str(program.symbol(pointer.value_()).name) if pointer else ""
    except LookupError:
        return f"{pointer.value_():#x}"


def _cast(program: Any, kind: str, pointer: Any) -> Any:
    import drgn  # noqa: PLC0415

    return drgn.cast(program.type(kind), pointer)


def _text(value: Any) -> str:
    return _text_of(value.string_())


def _text_of(value: bytes) -> str:
    """A name out of the guest's memory, which is hostile: nothing in it can control a terminal."""
    from drgn.helpers.common.format import escape_ascii_string  # noqa: PLC0415

    return str(escape_ascii_string(value))


if __name__ == "__main__":
    sys.exit(main())
