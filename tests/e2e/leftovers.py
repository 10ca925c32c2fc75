"""What a farm process may not leave behind, as seen from outside."""

from pathlib import Path

from tests.unit.host.owners import lives


def bearers(directory: Path) -> list[int]:
    """Processes whose environment says that they belong to the farm with this temporary directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if f"FARM_TMPDIR={directory}\0".encode() in environment and lives(int(entry.name)):
            found.append(int(entry.name))
    return found


def mounts(directory: Path) -> list[str]:
    """Mounts below a directory, in this process's view."""
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if f" {directory}" in line]
