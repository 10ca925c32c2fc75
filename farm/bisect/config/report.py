"""The report of a search among configurations."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from farm.bisect.config.candidates import Candidate, Candidates, Difference
from farm.bisect.config.driver import Result
from farm.bisect.proof import Proof
from farm.bisect.report import Row, crash_of, render_as, row
from farm.bisect.state import Journal
from farm.bisect.statistics import Rate
from farm.bisect.values import Symptom
from farm.host.process import as_typed


@dataclass(frozen=True)
class ConfigReport:
    """All that there is to tell."""

    # The smallest set that shows the bug.
    options: tuple[Difference, ...]
    # How many options differ.
    differences: int
    # Probability that none of the options can be left out.
    confidence: float
    symptom: Symptom
    # Runs that showed the bug, of those on configurations that have it.
    seen: int
    runs: int
    # What dependencies did, and what could not be judged, in sentences.
    notes: tuple[str, ...]
    proof: Proof
    steps: tuple[Row, ...]
    # Commands, ready to paste: the smallest set on top of the good configuration, and the bad one without it.
    reproduce: tuple[str, ...]
    # The crash report, "" when the failure has none.
    crash: str
    directory: str
    what: str = "Configuration"

    @property
    def title(self) -> str:
        """The answer in a line."""
        return f"{', '.join(f'CONFIG_{one.option}={one.bad}' for one in self.options)} brought it"


def make(result: Result, candidates: Candidates, journal: Journal, *, rate: Rate, commands: Sequence[Sequence[str]],
         directory: Path) -> ConfigReport:
    """Collect it from what was written down."""
    assert journal.symptom is not None
    rows = tuple(row(journal, name, _described(candidates.named(name), len(candidates.options)), step.answer.value)
                 for name, step in journal.steps.items())
    return ConfigReport(
        options=tuple(candidates.settings(result.options)), differences=len(candidates.differences),
        confidence=result.confidence, symptom=journal.symptom, seen=rate.seen, runs=rate.seen + rate.missed,
        notes=_notes(result), proof=result.proof, steps=rows, reproduce=tuple(map(as_typed, commands)),
        crash=crash_of(directory, journal.runs, [result.candidate.name]), directory=str(directory))


def _notes(result: Result) -> tuple[str, ...]:
    """What the dependencies did to the answer, and what could not be judged."""
    dragged = ", ".join(f"CONFIG_{one}={value}" for one, value in result.candidate.dragged)
    notes = [f"Their dependencies change more, any of which may be the one that matters: {dragged}."] if dragged else []
    if result.candidate.dropped:
        names = ", ".join(f"CONFIG_{one}" for one in result.candidate.dropped)
        notes.append(f"What they depend on is off, so that the tree dropped {names}.")
    if result.unsure:
        names = ", ".join(f"CONFIG_{one}" for one in result.unsure)
        notes.append(f"Nothing can be judged without {names}: whether they matter by themselves is not known.")
    return tuple(notes)


def _described(candidate: Candidate, whole: int) -> str:
    options = candidate.options
    if len(options) in (0, whole):
        return "the bad configuration" if options else "the good configuration"
    return ", ".join(options) if len(options) <= 4 else f"{', '.join(options[:3])} and {len(options) - 3} more"


def to_json(report: ConfigReport) -> dict[str, Any]:
    """The report as data."""
    return {**asdict(report), "title": report.title}


def render(report: ConfigReport) -> dict[str, str]:
    """Name of the file -> its text."""
    return render_as("config", report, to_json(report))
