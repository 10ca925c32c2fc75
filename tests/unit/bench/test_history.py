"""Generated histories: what stands in them, and that one seed always makes the same."""

import subprocess
from pathlib import Path

import pytest

from bench import history
from bench.measure import BenchError
from farm.qualify.mutant import Mutant, read_mutant

CRYPT = """static int crypt_alloc_req_skcipher(int cc)
{
	good();
}

static int crypt_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	return 0;
}
"""
BAD = ("\tif (test_bit(DM_CRYPT_NO_WRITE_WORKQUEUE, &cc->flags))\n"
       "\t\tskcipher_request_set_callback(ctx->r.req, 0, NULL, NULL);\n")


@pytest.fixture
def mutant(tmp_path: Path) -> Mutant:
    path = tmp_path / "dm-crypt-null-callback.patch"
    lines = "".join(f"+{line}\n" for line in BAD.splitlines())
    path.write_text(
        "Mutant: m\nReport: 001\nUpstream: u\nKernels: 6.12\nTestcase: test_a.py::test_b\nKind: oops\n\nWhy.\n---\n"
        "--- a/drivers/md/dm-crypt.c\n+++ b/drivers/md/dm-crypt.c\n@@ -1,4 +1,5 @@\n"
        f" static int crypt_alloc_req_skcipher(int cc)\n {{\n-\tgood();\n{lines} }}\n \n")
    return read_mutant(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "linux"
    for path in (*history.SOURCES, *history.HEADERS, "drivers/md/dm-crypt.c"):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text("#ifndef A\n#define A\n#endif /* A */\n" if path.endswith(".h") else CRYPT)
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    return tree


def made(tree: Path, mutant: Mutant, seed: int, **how: int) -> tuple[history.Repository, history.Planted]:
    repository = history.Repository(tree)
    repository.git("add", "-A")
    base = repository.git("commit-tree", repository.git("write-tree").strip(), "-m", "base").strip()
    return repository, history.make(repository, base, mutant, seed=seed, commits=24, branch="b", **how)


def crypt(repository: history.Repository, commit: str) -> str:
    return repository.git("show", f"{commit}:drivers/md/dm-crypt.c")


@pytest.mark.parametrize("seed", [1, 2])
def test_the_mutant_stays_from_its_commit_on_and_all_else_is_mended(tree: Path, mutant: Mutant, seed: int) -> None:
    repository, planted = made(tree, mutant, seed)
    assert len(planted.commits) == len(planted.kinds) == 25
    assert len(set(planted.commits)) == 25
    for number, commit in enumerate(planted.commits):
        assert (BAD in crypt(repository, commit)) == (number >= planted.place)
    for trouble in history.TROUBLES:
        begin = planted.kinds.index(trouble)
        after = next(number for number in range(begin, 25) if planted.kinds[number] == "mends")
        assert crypt(repository, planted.commits[after]) == crypt(repository, planted.commits[begin - 1])
        for number in range(begin, after):
            assert crypt(repository, planted.commits[number]) != crypt(repository, planted.commits[after])
    assert crypt(repository, planted.commits[-1]) == CRYPT.replace("\tgood();\n", BAD)
    assert repository.git("rev-parse", "refs/heads/b").strip() == planted.commits[-1]


@pytest.mark.parametrize("percent", [100, 30])
def test_the_mutant_stands_from_the_start_until_one_commit_takes_it_out(
    tree: Path, mutant: Mutant, percent: int
) -> None:
    repository, planted = made(tree, mutant, 1, percent=percent, fix=True)
    assert len(set(planted.commits)) == len(planted.kinds) == 25
    assert (planted.kinds[0], planted.kinds[planted.place]) == (
        "mutant dm-crypt-null-callback", "mends mutant dm-crypt-null-callback")
    for number, commit in enumerate(planted.commits):
        text = crypt(repository, commit)
        assert ("skcipher_request_set_callback" in text) == (number < planted.place)
        assert ("crypt_farm_chance" in text) == (number < planted.place and percent != 100)
    assert crypt(repository, planted.commits[-1]) == CRYPT
    assert set(history.TROUBLES) <= set(planted.kinds)
    assert made(tree, mutant, 1, percent=percent)[1].commits[1:] != planted.commits[1:]


def test_one_seed_makes_one_history_and_another_seed_another(tree: Path, mutant: Mutant) -> None:
    (_, one), (_, again), (_, other) = (made(tree, mutant, seed) for seed in (1, 1, 2))
    assert one == again
    assert one.commits != other.commits


def test_a_bug_in_some_boots_only(tree: Path, mutant: Mutant) -> None:
    repository, planted = made(tree, mutant, 1, percent=30)
    text = crypt(repository, planted.commits[-1])
    assert "if (crypt_farm_chance() && test_bit(" in text
    assert "get_random_u32_below(100) < 30 ? 1 : 2" in text
    assert text.index("static bool crypt_farm_chance") < text.index("static int crypt_alloc_req_skcipher")


def test_another_mutant_cannot_be_made_flaky(tree: Path, mutant: Mutant) -> None:
    other = mutant.path.rename(mutant.path.with_name("other.patch"))
    with pytest.raises(BenchError, match="not other"):
        made(tree, read_mutant(other), 1, percent=30)
