"""The record of which functions each testcase reaches: `reach.json` beside the testcases, measured by `farm reach`."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from farm.errors import UserError
from farm.host.workdir import data_directory
from farm.results.directory import write_atomically

FILE = "reach.json"
# Functions that are kept: those of the subsystems that reports to the farm are about. The rest of the kernel runs in
# every guest, or says nothing of a storage stack.
_KEPT = re.compile(
    r"_{0,2}(?:crypt|kcryptd|dm|dmreq|integrity|bio|blk|blkdev|bdev|t10|ext|skcipher|ahash|shash|aead|acomp|crypto|cryptd|aes|"
    r"aesni|xts|cbc|essiv|gcm|hmac|nvme|zswap|zs|swap|shrink|try|reclaim|kswapd|oom|writepage|xfs|xlog|ext4|jbd2|iomap|evm|"
    r"ima|key|request|construct|call|keyring|mirror|linear|raid|rh|cpuhp|cpu|takedown|submit|generic|map|zone|wb|mempool|"
    r"vfs|user|add|should|scomp|deflate|lzo|lz4|zstd|shmem|list_lru|mem_cgroup|memory|obj_cgroup|kcopyd|segment|sc|end|out|"
    r"target)_\w+|_?cpu_(?:up|down)", re.ASCII)


@dataclass
class Reached:
    """Which testcase reaches what."""

    # Testcase -> functions.
    functions: dict[str, frozenset[str]] = field(default_factory=dict)
    # Testcase -> its stacks, as text.
    stacks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    # Release of the kernel on which each was measured.
    kernels: dict[str, str] = field(default_factory=dict)

    @cached_property
    def known(self) -> frozenset[str]:
        """Every function that some testcase reaches."""
        return frozenset().union(*self.functions.values())

    @cached_property
    def rarity(self) -> dict[str, float]:
        """Function -> how many testcases there are for each that reaches it: 1 when all do."""
        counted = Counter(name for functions in self.functions.values() for name in functions)
        return {name: len(self.functions) / count for name, count in counted.items()}

    def of(self, testcase: str) -> frozenset[str]:
        """What a testcase reaches; of one that was not measured, what all those do that differ in parameters alone."""
        if testcase in self.functions:
            return self.functions[testcase]
        name = without_parameters(testcase)
        alike = [functions for one, functions in self.functions.items() if without_parameters(one) == name]
        return frozenset.intersection(*alike) if alike else frozenset()

    def add(self, testcase: str, functions: Iterable[str], stacks: Iterable[str], kernel: str) -> None:
        """Put a measurement in for an older one, also for those from before it had parameters, or lost them."""
        name = without_parameters(testcase)
        former = [one for one in self.functions
                  if without_parameters(one) == name and (one == name) != (testcase == name)]
        for one in former:
            del self.functions[one], self.stacks[one], self.kernels[one]
        for derived in ("known", "rarity"):
            self.__dict__.pop(derived, None)
        self.functions[testcase] = frozenset(name for name in functions if _KEPT.fullmatch(name))
        self.stacks[testcase] = tuple(stacks)
        self.kernels[testcase] = kernel

    def text(self) -> str:
        """The file: a line for each function, with the numbers of the testcases that reach it as ranges."""
        names = sorted(self.functions)
        lines: Mapping[str, str] = {
            function: _ranges([place for place, name in enumerate(names) if function in self.functions[name]])
            for function in sorted(self.known)}
        cells = [{"testcase": name, "stacks": list(self.stacks[name]), "kernel": self.kernels[name]} for name in names]
        return json.dumps({"testcases": cells, "functions": lines}, indent=0) + "\n"

    def write(self, path: Path) -> None:
        write_atomically(path, self.text())


def without_parameters(testcase: str) -> str:
    """`test_a.py::test_one` of `test_a.py::test_one[x]`."""
    return testcase.partition("[")[0]


def load(path: Path | None = None) -> Reached:
    """The record. Raises UserError when it is missing or no such record."""
    file = path or data_directory("testcases") / FILE
    try:
        value = json.loads(file.read_bytes())
        cells = value["testcases"]
        found: list[set[str]] = [set() for _ in cells]
        for function, ranges in value["functions"].items():
            for place in _numbers(ranges):
                found[place].add(function)
        return Reached(
            {cell["testcase"]: frozenset(names) for cell, names in zip(cells, found, strict=True)},
            {cell["testcase"]: tuple(cell["stacks"]) for cell in cells},
            {cell["testcase"]: cell["kernel"] for cell in cells})
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}). `farm reach` measures it.") from error
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise UserError(f"{file} is no record of reached functions. `farm reach` measures it again.") from error


def _ranges(numbers: list[int]) -> str:
    """`[0, 1, 2, 5]` -> `0-2,5`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def _numbers(ranges: str) -> Iterable[int]:
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
