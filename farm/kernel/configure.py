"""From fragments to a .config with the kernel's own tools, and a check that every symbol came through."""

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from farm.deadline import Deadline
from farm.errors import BuildError, RevisionError
from farm.host import process
from farm.kernel import explain, git
from farm.kernel.config import Difference, Fragment, Wanted, differences, effective, parse_config, unmentioned
from farm.kernel.make import Make
from farm.kernel.trees import Tree

log = logging.getLogger("farm")

_SECONDS = 600.0
# What the last successful configuration of an O= directory was made from.
_NOTE = ".farm-configured"
_UNKNOWN = re.compile(r"unknown symbol: (?:CONFIG_)?(\w+)")


def configure(tree: Tree, make: Make, fragments: Sequence[Fragment], scratch: Path) -> None:
    """Leave the flavor's .config in the O= directory.

    Raises RevisionError naming every symbol that the tree does not know or that a dependency dropped, and
    BuildError when the tree's own configuration tools fail.
    """
    wanted = effective(one for fragment in fragments for one in fragment.wanted)
    config, note = make.output / ".config", make.output / _NOTE
    basis = _basis(tree, fragments, make)
    if config.is_file() and _read(note) == [basis, _digest(config)]:
        return
    note.unlink(missing_ok=True)
    kconfig(make, ["allnoconfig"])
    files = []
    for number, fragment in enumerate(fragments):
        file = scratch / f"{number:02}-{fragment.name.replace(' ', '-').replace('/', '-')}.config"
        file.write_text("".join(f"{one.line}\n" for one in fragment.wanted), encoding="utf-8")
        files.append(file)
    merge(tree, make, config, files)
    said = kconfig(make, ["KCONFIG_WARN_UNKNOWN_SYMBOLS=1", "olddefconfig"])
    problems = _problems(tree, make, wanted, said, scratch)
    if problems:
        raise RevisionError("\n".join(problems))
    note.write_text(json.dumps([basis, _digest(config)]), encoding="utf-8")


def _basis(tree: Tree, fragments: Sequence[Fragment], make: Make) -> str:
    """Digest of all that decides about the .config: the fragments, the Kconfig files and the compiler used."""
    kconfig = git.Repository(tree.repository).run("ls-files", "-s", "--", "*Kconfig*", "scripts", work_tree=tree.work)
    text = "\n".join([*(one.line for fragment in fragments for one in fragment.wanted), kconfig.stdout, *make.argv([])])
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(note: Path) -> object:
    with suppress(OSError, ValueError):
        return json.loads(note.read_bytes())
    return None


def kconfig(make: Make, targets: Sequence[str]) -> str:
    """Let the tree's configuration tools do something; returns what they say. Raises BuildError when they fail."""
    done = process.run(make.argv(targets), deadline=Deadline(_SECONDS), check=False)
    if done.returncode != 0:
        raise BuildError(f"The tree cannot be configured: {process.failure(done)}")
    return done.stdout + done.stderr


def merge(tree: Tree, make: Make, base: Path, files: Sequence[Path]) -> None:
    """Leave a .config with the symbols of the files on top of the base, dependencies not yet minded."""
    process.run(
        ["env", "-u", "KCONFIG_CONFIG", "-u", "CONFIG_", str(tree.work / "scripts" / "kconfig" / "merge_config.sh"),
         "-m", "-O", str(make.output), str(base), *map(str, files)],
        cwd=make.output, deadline=Deadline(_SECONDS),
    )


def _problems(tree: Tree, make: Make, wanted: Mapping[str, Wanted], said: str, scratch: Path) -> list[str]:
    """One sentence for each symbol that is unknown or was dropped."""
    final = parse_config((make.output / ".config").read_text(encoding="utf-8"))
    wrong = {one.wanted.symbol: one for one in differences(wanted, final)}
    silent = {one.symbol for one in unmentioned(wanted, final)}
    warned = set(_UNKNOWN.findall(said)) & silent
    unknown = warned if _warns(tree) else silent
    suspects = [symbol for symbol in wanted if symbol in wrong.keys() | unknown]
    absent = [symbol for symbol in suspects if wanted[symbol].optional]
    if absent:
        log.info("This tree does not have the optional %s.", ", ".join(f"CONFIG_{symbol}" for symbol in absent))
    suspects = [symbol for symbol in suspects if symbol not in absent]
    if not suspects:
        return []

    def run(targets: Sequence[str]) -> bool:
        return process.run(make.argv(targets), deadline=Deadline(_SECONDS), check=False).returncode == 0

    answer = explain.ask(suspects, make.source, make.output, scratch, run)
    problems = []
    for symbol in suspects:
        relations = answer.get(symbol, None if symbol in warned else explain.Relations())
        if relations is None:
            problems.append(f"{wanted[symbol].place}: the tree knows no symbol CONFIG_{symbol}.")
        elif symbol in wrong:
            problems.append(_dropped(wrong[symbol], explain.reason(wrong[symbol], relations)))
    return problems


def _warns(tree: Tree) -> bool:
    """Whether the tree's olddefconfig names unknown symbols when asked to (since 6.6, and some stable trees)."""
    text = (tree.work / "scripts" / "kconfig" / "confdata.c").read_text(encoding="utf-8", errors="replace")
    return "KCONFIG_WARN_UNKNOWN_SYMBOLS" in text


def _dropped(difference: Difference, why: str) -> str:
    wanted = difference.wanted
    return (f"{wanted.place}: CONFIG_{wanted.symbol}={wanted.value} was asked for and the kernel's configuration "
            f"has {difference.got if difference.mentioned else 'nothing'}" + (f": {why}." if why else "."))
