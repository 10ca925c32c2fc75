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


def differences(then: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What makes two requests different, in words: `runs: 3, now 1`; what is of no use to people only by its name."""
    found = []
    for what in sorted({*then, *now}):
        before, after = then.get(what), now.get(what)
        if not (isinstance(before, dict) and isinstance(after, dict)):
            found += [f"{what}: {before}, now {after}"] if before != after else []
        elif what == "options":
            found += differences(before, after)
        else:
            names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
            found += [f"other {what}: {', '.join(names)}"] if names else []
    return found
