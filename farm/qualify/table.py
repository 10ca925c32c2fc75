"""From the records of a qualification to its table and its verdict: pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from farm.model import Outcome, Verdict
from farm.qualify.journal import Record
from farm.qualify.mutant import Mutant
from farm.qualify.plan import UNMODIFIED, Step, steps


@dataclass(frozen=True)
class Row:
    """One mutant."""

    name: str
    report: str
    testcase: str
    flavor: str
    # Runs asked for, and how many of those said anything.
    runs: int
    judged: int
    # Runs in which the testcase failed; of those, runs that named the right kind, and the right function.
    detected: int
    right_kind: int
    # None where the mutant names no function.
    right_function: int | None
    # Median seconds from the start of the load until the failure was known; None without any.
    latency: float | None
    # Runs of the testcase on the unmodified kernel that said anything, and failures among them.
    unmodified: int
    false_alarms: int
    # Kinds seen, and functions where there were any, most frequent first.
    seen: tuple[str, ...]
    # Why runs said nothing, each reason once.
    troubles: tuple[str, ...]

    @property
    def caught(self) -> bool:
        """Nine times in ten, and always in fewer runs than ten, with the right kind."""
        return self.judged == self.runs and self.right_kind >= self.runs - self.runs // 10


def rows(mutants: Sequence[Mutant], runs: int, records: Mapping[Step, Record]) -> tuple[Row, ...]:
    """The table; steps without a record count as runs that said nothing."""
    made = {step: records[step] for step in steps(mutants, runs) if step in records}
    return tuple(_row(mutant, runs, made.values()) for mutant in mutants)


def _row(mutant: Mutant, runs: int, records: Iterable[Record]) -> Row:
    all_ = [one for one in records if (one.step.testcase, one.step.flavor) == (mutant.testcase, mutant.flavor)]
    own = [one for one in all_ if one.step.mutant == mutant.name]
    clean = [one for one in all_ if one.step.mutant == UNMODIFIED]
    failed = [one for one in own if one.outcome is Outcome.FAIL]
    latencies = [one.latency for one in failed if one.latency >= 0]
    names = [f"{one.kind} in {one.function}" if one.function else one.kind for one in failed]
    return Row(
        name=mutant.name, report=mutant.report, testcase=mutant.testcase, flavor=mutant.flavor, runs=runs,
        judged=sum(one.judged for one in own), detected=len(failed),
        right_kind=sum(one.kind in mutant.kinds for one in failed),
        right_function=sum(one.function in mutant.functions for one in failed) if mutant.functions else None,
        latency=round(median(latencies), 1) if latencies else None,
        unmodified=sum(one.judged for one in clean),
        false_alarms=sum(one.outcome is Outcome.FAIL for one in clean),
        seen=tuple(sorted(set(names), key=lambda name: (-names.count(name), name))),
        troubles=tuple(dict.fromkeys(one.title for one in (*own, *clean) if not one.judged)))


def verdict_on(table: Sequence[Row], records: Iterable[Record]) -> Verdict:
    """BAD when a mutant got away or the unmodified kernel was blamed; STOP or SKIP when that could not be asked."""
    missed = any(row.judged == row.runs and not row.caught for row in table)
    if missed or any(row.false_alarms for row in table):
        return Verdict.BAD
    if all(row.caught and row.unmodified == row.runs for row in table):
        return Verdict.GOOD
    host = any(one.outcome is Outcome.ERROR for one in records)
    return Verdict.STOP if host else Verdict.SKIP
