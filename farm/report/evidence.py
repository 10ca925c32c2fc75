"""What a cell left behind, read for a report: bounded, and never from outside of the run's directory."""

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from farm.evidence.stacks import FILE as STACKS
from farm.results.values import CellRow

# Bytes of a file that a page shows, and of one that a download contains.
MOST_SHOWN = 256 << 10
MOST_PACKED = 16 << 20


def cell_directory(run_directory: str, cell: CellRow) -> Path | None:
    """The cell's directory; None when it has none, it is gone, or the record points elsewhere."""
    if not cell.directory:
        return None
    base = Path(run_directory).resolve()
    path = (base / cell.directory).resolve()
    return path if path.is_dir() and path.is_relative_to(base) and path != base else None


@dataclass(frozen=True)
class Crash:
    """The crash report that a page shows."""

    # Name of the file, and the text; decoded to file:line where that is known.
    name: str
    text: str
    # The command that repeats the cell.
    command: str
    # The end of the console.
    console: str


def crash(directory: Path) -> Crash:
    """Of a cell that failed, or where its tasks stood when there is no report; what is missing is empty."""
    reports = sorted(directory.glob("reports/*.txt"))
    decoded = [path for path in reports if path.name.endswith(".decoded.txt")]
    first = next(iter([*decoded, *reports, *directory.glob(f"evidence/{STACKS}")]), None)
    return Crash(first.name if first else "", _text(first) if first else "", _text(directory / "command").strip(),
                 _text(directory / "console.log", end=True))


def _text(path: Path, *, end: bool = False) -> str:
    """The beginning of a file, or its last 100 lines."""
    try:
        if path.is_symlink() or not path.is_file():
            return ""
        with path.open("rb") as file:
            if end:
                file.seek(max(0, path.stat().st_size - MOST_SHOWN // 8))
            text = file.read(MOST_SHOWN).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-100:]) if end else text


def pack(directory: Path, target: Path) -> None:
    """Write what the cell left as a .tar.gz; files that are larger than MOST_PACKED, or no files, are left out."""
    with tarfile.open(target, "w:gz", compresslevel=6) as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_PACKED:
                continue
            data = path.read_bytes()
            about = tarfile.TarInfo(f"{directory.name}/{path.relative_to(directory)}")
            about.size, about.mtime = len(data), int(path.stat().st_mtime)
            archive.addfile(about, io.BytesIO(data))
