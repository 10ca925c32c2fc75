"""Dumps of guests' memory: the one that a run left, and one of a guest that still runs.

Only the farm process that started a guest has its QEMU's monitor. Whoever wants a dump of one that was kept leaves a
request in its cell's directory, beside the file by which the guest is entered; its keeper takes the dump and answers.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from farm import enter
from farm.deadline import Deadline
from farm.errors import FarmError, InfrastructureError, UserError
from farm.evidence.memory import DUMP, NOTHING, read, take
from farm.host.cache import Entry, Store
from farm.kernel.build import KIND as KERNEL
from farm.repro import recorded
from farm.results.directory import RESULT, write_json
from farm.target import Target
from farm.textform import printable

REQUEST, ANSWER = "dump.request.json", "dump.answer.json"
# What the word is for "the guest that runs now".
LIVE = "live"
# Wall seconds: for a keeper, who looks several times a second, to notice a request; and for drgn to read a dump.
NOTICE_SECONDS = 15.0
READ_SECONDS = 300.0
# Likewise, for QEMU to write the dump: nobody's verdict waits for it, and the guest may be a large one.
DUMP_SECONDS = 300.0
_POLL_SECONDS = 0.1
_TITLE = ("==> ", " <==")


@dataclass(frozen=True)
class Source:
    """A dump, or the guest to take one of, and the kernel's debug information."""

    # The cell.
    directory: Path
    # The dump that lies there; None for a guest that runs.
    dump: Path | None
    # None for a kernel without debug information.
    vmlinux: Path | None
    # Keeps the kernel in the cache.
    entry: Entry | None = field(default=None, compare=False, repr=False)


def find(what: str, runs: Path, store: Store, vmlinux: Path | None = None) -> Source:
    """What `farm dump` is asked to read: a run's dump, or a guest that was kept.

    `vmlinux` is taken in place of the kernel in the cache. Raises UserError, with the choices.
    """
    if what == LIVE and not Path(what).exists():
        return _running(_alive(runs), vmlinux)
    run = Path(what)
    dumps = [path for path in sorted([run / "evidence" / DUMP, *run.glob(f"*/evidence/{DUMP}")]) if path.is_file()]
    if len(dumps) > 1:
        raise UserError(f"{run} has several dumps. Name the cell:" + "".join(f"\n  {one.parents[1]}" for one in dumps))
    if dumps:
        return _left(dumps[0], store, vmlinux)
    if any(path.is_file() for path in (run / enter.FILE, *run.glob(f"*/{enter.FILE}"))):
        return _running(run, vmlinux)
    if not any(path.is_file() for path in (run / RESULT, *run.glob(f"*/{RESULT}"))):
        raise UserError(f"{run} is no run directory. Name one, or say `farm dump {LIVE}` for a guest that runs.")
    raise UserError(f"{run} has no dump of a guest's memory. `farm run --dump-memory` leaves one when a testcase "
                    f"fails, and `farm dump {LIVE}` takes one of a guest that --keep-on-failure or a session keeps.")


def _left(dump: Path, store: Store, vmlinux: Path | None) -> Source:
    cell = recorded.load(dump.parents[1])
    if vmlinux is not None:
        return Source(cell.directory, dump, vmlinux)
    kernel = cell.cell.kernel
    entry = store.get(KERNEL, kernel.build) if kernel.build else None
    if entry is None:
        raise UserError(f"The kernel of {cell.directory} ({printable(f'{kernel.release} {kernel.flavor}')}) is not in "
                        "the cache any more, or never was. Name its vmlinux by --vmlinux, or run the testcase again.")
    found = entry.path / "vmlinux"
    return Source(cell.directory, dump, found if found.is_file() else None, entry)


def _running(run: Path, vmlinux: Path | None) -> Source:
    path, entrance = enter.find(run)
    return Source(path.parent, None, vmlinux or (Path(entrance.vmlinux) if entrance.vmlinux else None))


def _alive(runs: Path) -> Path:
    """The only cell below a directory of runs whose guest can be entered. Raises UserError."""
    found = []
    for path in sorted(runs.glob(f"*/*/{enter.FILE}")):
        with suppress(UserError):  # of a run that was killed
            enter.find(path.parent)
            found.append(path.parent)
    if not found:
        raise UserError(f"No guest of a run in {runs} can be asked. `farm run --keep-on-failure` keeps the guest of a "
                        "failure, `farm shell` has one for as long as the session lasts; --runs-dir names another "
                        "directory of runs.")
    if len(found) > 1:
        raise UserError(f"Several guests of runs in {runs} run. Name one:" + "".join(f"\n  {one}" for one in found))
    return found[0]


def report(source: Source, dump: Path) -> str:
    """What a dump tells. Raises UserError when it cannot be read, with the reason."""
    text = read(dump, source.vmlinux, Deadline(READ_SECONDS))
    if text.startswith(NOTHING):
        raise UserError(f"{dump} was not read: {text.removeprefix(NOTHING).strip()}")
    return text


def sections(text: str) -> list[tuple[str, list[str]]]:
    """A report by its parts: title and lines, without empty ones. Pure."""
    begin, end = _TITLE
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith(begin) and line.endswith(end):
            found.append((line.removeprefix(begin).removesuffix(end), []))
        elif line and found:
            found[-1][1].append(line)
    return found


def request(cell: Path, dump: Path) -> None:
    """Have the keeper of a guest take a dump of it; the file is gone again when that fails.

    Raises InfrastructureError when its keeper does not answer or cannot take it, UserError when the guest has ended.
    """
    asked, answer = cell / REQUEST, cell / ANSWER

    def noticed() -> bool:
        return not asked.exists()

    def answered() -> bool:
        if answer.exists():
            return True
        enter.find(cell)  # raises when the guest has ended: nobody will answer any more
        return False

    answer.unlink(missing_ok=True)
    write_json(asked, {"dump": str(dump.absolute())})
    try:
        _wait(noticed, NOTICE_SECONDS, f"the farm process that keeps the guest of {cell} does not answer: it was "
              "stopped, or is an older farm")
        _wait(answered, DUMP_SECONDS + NOTICE_SECONDS,
              f"the farm process that keeps the guest of {cell} does not say what came of the dump")
        said = json.loads(answer.read_bytes())
        if said["error"]:
            raise InfrastructureError(f"the memory of the guest was not dumped: {said['error']}")
    except BaseException:
        dump.unlink(missing_ok=True)  # a part of a dump is of no use
        raise
    finally:
        forget_requests(cell)


def answer_requests(target: Target, cell: Path) -> None:
    """Take the dump that somebody asked for; for whoever keeps a guest, to be called several times a second.

    Never fails: whoever asked is told.
    """
    asked = cell / REQUEST
    try:
        dump = Path(json.loads(asked.read_bytes())["dump"])
        asked.unlink()
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError):
        asked.unlink(missing_ok=True)
        return
    said = ""
    try:
        take(target.patient, dump, target.machine.memory_mib, Deadline(DUMP_SECONDS))
    except (FarmError, OSError) as error:
        said = str(error)
    with suppress(InfrastructureError):  # the directory is gone: nobody waits
        write_json(cell / ANSWER, {"error": said})


def forget_requests(cell: Path) -> None:
    """Remove what is left of requests, for a keeper who lets its guest go: who asked may have been interrupted."""
    for name in (REQUEST, ANSWER):
        (cell / name).unlink(missing_ok=True)


def _wait(over: Callable[[], bool], seconds: float, else_: str) -> None:
    deadline = Deadline(seconds)
    while not over():
        if not deadline.sleep(_POLL_SECONDS):
            raise InfrastructureError(else_)
