"""The memory of a bisection: every run and every answer is on disk before the next begins."""

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from farm.bisect.values import Answer, Run, Seen, Symptom
from farm.errors import UserError
from farm.results import records
from farm.verdict import cause_from_json

STEPS = "steps.jsonl"


@dataclass(frozen=True)
class Step:
    """A revision that got its answer."""

    commit: str
    answer: Answer
    # Probability that the answer is right, as far as it was known then.
    confidence: float
    # Why, in a line.
    why: str = ""


class Journal:
    """`steps.jsonl`: one entry a line, only ever appended to, read again by whoever goes on."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / STEPS
        self._lock = threading.Lock()
        # Runs of revisions, in the order in which they ended.
        self.runs: list[Run] = []
        # The latest answer of each revision, in the order in which they were given.
        self.steps: dict[str, Step] = {}
        # The failure that is searched, once it was seen.
        self.symptom: Symptom | None = None
        # Runs of the kernel with the culprit taken out.
        self.proofs: list[Run] = []
        self._read()

    def add_run(self, run: Run) -> None:
        self._append({"run": _plain(run)})
        self.runs.append(run)

    def add_step(self, step: Step) -> None:
        self._append({"answer": {**asdict(step), "answer": step.answer.value}})
        self._answer(step)

    def add_symptom(self, symptom: Symptom) -> None:
        """Search this failure from now on; the runs so far count by it, too."""
        self._append({"symptom": asdict(symptom)})
        self._search_for(symptom)

    def add_proof(self, run: Run) -> None:
        self._append({"proof": _plain(run)})
        self.proofs.append(run)

    def _search_for(self, symptom: Symptom) -> None:
        self.symptom = symptom
        self.runs = [seen_by(symptom, run) for run in self.runs]

    def _answer(self, step: Step) -> None:
        self.steps.pop(step.commit, None)  # the latest stands last
        self.steps[step.commit] = step

    def _append(self, entry: Mapping[str, Any]) -> None:
        with self._lock:
            records.append(self._path, entry)

    def _read(self) -> None:
        for number, entry in enumerate(records.read(self._path), 1):
            try:
                self._take(entry)
            except (AttributeError, ValueError, KeyError, TypeError) as error:
                raise UserError(f"{self._path}: record {number} cannot be read ({error}). "
                                "Begin anew in another directory.") from error

    def _take(self, entry: Mapping[str, Any]) -> None:
        for kind, value in entry.items():
            if kind == "run":
                self.runs.append(_run(value))
            elif kind == "proof":
                self.proofs.append(_run(value))
            elif kind == "answer":
                self._answer(Step(**{**value, "answer": Answer(value["answer"])}))
            else:
                self._search_for(Symptom(**value))


def seen_by(symptom: Symptom, run: Run) -> Run:
    """A run as one who searches that failure sees it."""
    if run.cause is None or run.seen not in (Seen.BUG, Seen.OTHER, Seen.NO_BOOT):
        return run
    if symptom.covers(run.cause):
        return replace(run, seen=Seen.BUG)
    return replace(run, seen=Seen.OTHER) if run.seen is Seen.BUG else run


def _plain(run: Run) -> dict[str, Any]:
    return {**asdict(run), "seen": run.seen.value}


def _run(value: Mapping[str, Any]) -> Run:
    return Run(**{**value, "seen": Seen(value["seen"]), "cause": cause_from_json(value["cause"])})
