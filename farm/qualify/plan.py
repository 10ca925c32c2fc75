"""What a qualification does, step by step: pure, and the same for the same request, so that it can go on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from farm.qualify.mutant import Mutant

# What stands for a mutant where the kernel is as its source has it.
UNMODIFIED = ""


@dataclass(frozen=True)
class Step:
    """One run of one testcase on one kernel."""

    # Name of the mutant, or UNMODIFIED.
    mutant: str
    testcase: str
    flavor: str
    # Counts from 1.
    number: int

    @property
    def kernel(self) -> str:
        """Which kernel, for people and as the name of a directory."""
        return self.mutant or f"unmodified-{self.flavor}"


def steps(mutants: Sequence[Mutant], runs: int) -> Iterator[Step]:
    """Every run, in order: each mutant's, behind them those of its testcase on the unmodified kernel, once."""
    asked = set()
    for mutant in mutants:
        kernels = [mutant.name]
        if (mutant.testcase, mutant.flavor) not in asked:
            asked.add((mutant.testcase, mutant.flavor))
            kernels.append(UNMODIFIED)
        for kernel in kernels:
            yield from (Step(kernel, mutant.testcase, mutant.flavor, number) for number in range(1, runs + 1))


def request(mutants: Sequence[Mutant], runs: int, options: Mapping[str, object], testcases: Mapping[str, str]) -> dict[
        str, object]:
    """What makes two qualifications the same, as JSON; `testcases` are digests of the files they lie in."""
    return {"mutants": {mutant.name: mutant.digest for mutant in mutants}, "runs": runs,
            "options": {name: str(value) for name, value in options.items()}, "testcases": dict(testcases)}
