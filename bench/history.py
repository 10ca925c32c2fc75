"""Histories of many commits on a real kernel tree, with one bug somewhere among changes that do other things.

Most commits are harmless: words in the documentation or in a comment, code that nobody calls, a declaration in a header
that much includes. A few in a row do not compile, do not boot, or crash in another way, until the next one mends
that. One commit puts a mutant back, and everything after it has the bug; or the mutant stands from the start, and one
commit takes it out.
"""

import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.measure import BenchError
from farm.host import process
from farm.kernel.git import IDENTITY, environment
from farm.qualify.mutant import Mutant

# Files that every flavor compiles.
SOURCES = (
    "block/bio.c", "block/blk-core.c", "block/blk-mq.c", "crypto/skcipher.c", "drivers/block/virtio_blk.c",
    "drivers/md/dm-ioctl.c", "drivers/md/dm-linear.c", "drivers/md/dm-table.c", "drivers/md/dm.c",
    "drivers/nvme/host/core.c", "drivers/nvme/host/pci.c", "fs/ext4/super.c", "fs/xfs/xfs_log.c", "kernel/fork.c",
    "kernel/workqueue.c", "mm/page_io.c", "mm/swapfile.c", "mm/vmscan.c",
)
# Headers that some dozens of them include. One that a third of the kernel does, like bio.h, measures the compiler: it
# takes 9 minutes of two cores for each state of it.
HEADERS = (
    "include/crypto/skcipher.h", "include/linux/blk-crypto.h", "include/linux/blk-mq.h",
    "include/linux/device-mapper.h",
)
# Kind of a harmless commit -> how many of a hundred are of it.
SHARES = {"words": 20, "comment": 15, "code": 55, "header": 10}
_CRYPT = "drivers/md/dm-crypt.c"
_CTR = "static int crypt_ctr(struct dm_target *ti, unsigned int argc, char **argv)\n{\n"
_INIT = """static int __init crypt_farm_note(void)
{
	panic("dm-crypt: not today");
}
early_initcall(crypt_farm_note);
"""
# What goes wrong for a few commits -> the change to drivers/md/dm-crypt.c.
TROUBLES: dict[str, Callable[[str], str]] = {
    "no build": lambda text: text.replace(_CTR, _CTR[:-2]),
    "no boot": lambda text: text + _INIT,
    "another crash": lambda text: text.replace(_CTR, _CTR + "\tWARN_ON(argc);\n"),
}
# Mutants that can be made to show in some boots only: the condition, the same made rare, and where its function begins.
_FLAKY = {
    "dm-crypt-null-callback": (
        "if (test_bit(DM_CRYPT_NO_WRITE_WORKQUEUE, &cc->flags))\n\t\tskcipher_request_set_callback(ctx->r.req, 0",
        "if (crypt_farm_chance() && test_bit(DM_CRYPT_NO_WRITE_WORKQUEUE, &cc->flags))\n"
        "\t\tskcipher_request_set_callback(ctx->r.req, 0",
        "static int crypt_alloc_req_skcipher("),
    "dm-crypt-vector-reused": (
        "if (r == -EINPROGRESS)\n", "if (r == -EINPROGRESS || !crypt_farm_chance())\n",
        "static blk_status_t crypt_convert("),
}
FLAKY = tuple(_FLAKY)
_CHANCE = """static bool crypt_farm_chance(void)
{{
	static int drawn;

	if (!drawn)
		drawn = get_random_u32_below(100) < {percent} ? 1 : 2;
	return drawn == 1;
}}

"""


@dataclass(frozen=True)
class Planted:
    """A history and what stands in it."""

    # Oldest first; the first is the base, free of the bug, or with the mutant where one commit mends it.
    commits: tuple[str, ...]
    # What each commit is.
    kinds: tuple[str, ...]
    # Place of the commit with the mutant, or without it again.
    place: int


class Repository:
    """A repository that is written to by plumbing alone, so that no work tree of gigabytes is needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._index = directory / ".git" / "bench.index"

    def git(self, *arguments: str, input: str = "") -> str:
        """Run git; returns what it printed. Raises BenchError."""
        variables = process.environment(environment({**IDENTITY, "GIT_INDEX_FILE": str(self._index)}))
        done = subprocess.run(["git", "-C", str(self._directory), *arguments], input=input, env=variables, check=False,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise BenchError(f"git {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def begin(self, commit: str) -> None:
        self.git("read-tree", commit)

    def text(self, path: str) -> str:
        """A file as the index has it; "" when there is none."""
        if not self.git("ls-files", "--", path):
            return ""
        return self.git("cat-file", "blob", f":{path}")

    def write(self, path: str, text: str) -> None:
        blob = self.git("hash-object", "-w", "--stdin", input=text).strip()
        self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")

    def apply(self, diff: str, *, reverse: bool = False) -> None:
        self.git("apply", "--cached", *(["--reverse"] if reverse else []), "-", input=diff)

    def commit(self, parent: str, subject: str) -> str:
        return self.git("commit-tree", self.git("write-tree").strip(), "-p", parent, "-m", subject).strip()


def make(repository: Repository, base: str, mutant: Mutant, *, seed: int, commits: int = 64, percent: int = 100,
         fix: bool = False, branch: str) -> Planted:
    """A history of so many commits on top of `base`; `percent` of the boots show the bug. With `fix` the bug is there
    from the first on, and one commit mends it. Raises BenchError."""
    chance = random.Random(f"{seed} {mutant.name} {percent}{' fix' if fix else ''}")
    place = chance.randrange(2, commits)
    troubles = _troubles(chance, commits, place)
    repository.begin(base)
    made, kinds = [base], ["base"]
    if fix:
        _plant(repository, mutant, percent)
        made, kinds = [repository.commit(base, f"bench {seed}/0: mutant {mutant.name}")], [f"mutant {mutant.name}"]
    mended: str | None = None
    for number in range(1, commits + 1):
        trouble = troubles.get(number)
        if number == place:
            kind = f"mends mutant {mutant.name}" if fix else f"mutant {mutant.name}"
            (_take_out if fix else _plant)(repository, mutant, percent)
        elif mended is not None and trouble is None:
            kind = "mends"
            repository.write(_CRYPT, mended)
            mended = None
        elif trouble is not None and mended is None:
            kind, mended = trouble, repository.text(_CRYPT)
            repository.write(_CRYPT, TROUBLES[trouble](mended))
        else:
            kind = chance.choices(list(SHARES), list(SHARES.values()))[0]
            _harmless(repository, chance, kind, f"{seed}_{number}")
            kind = f"{kind}, {trouble}" if trouble else kind
        made.append(repository.commit(made[-1], f"bench {seed}/{number}: {kind}"))
        kinds.append(kind)
    repository.git("update-ref", f"refs/heads/{branch}", made[-1])
    return Planted(tuple(made), tuple(kinds), place)


def _troubles(chance: random.Random, commits: int, place: int) -> dict[int, str]:
    """Place of a commit -> what is wrong with it: each trouble for one to three commits, none beside the mutant."""
    found: dict[int, str] = {}
    for trouble in TROUBLES:
        for _ in range(100):
            begin, length = chance.randrange(2, commits - 4), chance.randint(1, 3)
            around = set(range(begin - 2, begin + length + 2))
            if not around & {*found, place, place - 1, place + 1, commits}:
                found.update(dict.fromkeys(range(begin, begin + length), trouble))
                break
    return found


def _harmless(repository: Repository, chance: random.Random, kind: str, note: str) -> None:
    if kind == "words":
        path = "Documentation/bench.rst"
        repository.write(path, repository.text(path) + f"Note {note}.\n")
    elif kind == "header":
        path = chance.choice(HEADERS)
        text, end, rest = repository.text(path).rpartition("#endif")
        repository.write(path, f"{text}extern int bench_note_{note};\n\n{end}{rest}")
    else:
        path = chance.choice(SOURCES)
        added = f"/* Note {note}. */\n" if kind == "comment" else (
            f"\nstatic int __used bench_note_{note}(int of)\n{{\n\treturn of + {len(note)};\n}}\n")
        repository.write(path, repository.text(path) + added)


def _plant(repository: Repository, mutant: Mutant, percent: int) -> None:
    repository.apply(_diff(mutant))
    if percent == 100:
        return
    condition, rare, function = _rarely(mutant)
    text = repository.text(_CRYPT)
    if text.count(condition) != 1:
        raise BenchError(f"{mutant.name} does not read as it did: its condition is gone")
    text = text.replace(condition, rare)
    begin = text.index(function)
    repository.write(_CRYPT, text[:begin] + _CHANCE.format(percent=percent) + text[begin:])


def _take_out(repository: Repository, mutant: Mutant, percent: int) -> None:
    """The inverse of `_plant`, whatever else changed meanwhile."""
    if percent != 100:
        condition, rare, _ = _rarely(mutant)
        text = repository.text(_CRYPT).replace(rare, condition).replace(_CHANCE.format(percent=percent), "")
        repository.write(_CRYPT, text)
    repository.apply(_diff(mutant), reverse=True)


def _diff(mutant: Mutant) -> str:
    return mutant.path.read_text(encoding="utf-8").partition("\n---\n")[2]


def _rarely(mutant: Mutant) -> tuple[str, str, str]:
    """What `_FLAKY` has for a mutant."""
    if mutant.name not in _FLAKY:
        raise BenchError(f"only {', '.join(_FLAKY)} can be made to show in some boots only, not {mutant.name}")
    return _FLAKY[mutant.name]
