"""The report of a bisection: as text, as a page, and as data."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2

from farm.bisect import strategy
from farm.bisect.driver import Verdict
from farm.bisect.history import Evidence
from farm.bisect.progress import duration
from farm.bisect.proof import Proof
from farm.bisect.request import Request
from farm.bisect.state import Journal
from farm.bisect.values import Answer, Run, Seen, Symptom
from farm.guest.shell import visible
from farm.host.process import as_typed

# Lines and characters of a crash report that are shown.
_LINES, _CHARACTERS = 200, 20_000


@dataclass(frozen=True)
class Commit:
    """A commit as people speak of it."""

    commit: str
    author: str
    date: str
    subject: str


@dataclass(frozen=True)
class Row:
    """One revision in the table of steps."""

    commit: str
    subject: str
    answer: str
    # Probability that the answer is right, as far as it was known then.
    confidence: float
    # What was seen, and why it was answered so.
    seen: str
    why: str
    # Wall time.
    seconds: float
    # Run directories, relative to the bisection's.
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """All that there is to tell."""

    # The commit that brought the bug, or mended it; several when revisions around it could not be judged.
    culprits: tuple[Commit, ...]
    fix: bool
    # Probability that the culprit is among them.
    confidence: float
    symptom: Symptom
    # Runs that showed the bug, of those on revisions that have it.
    seen: int
    runs: int
    proof: Proof
    steps: tuple[Row, ...]
    good: str
    bad: str
    # Commands, ready to paste.
    reproduce: tuple[str, ...]
    regzbot: tuple[str, ...]
    # The crash report, "" when the failure has none.
    crash: str
    directory: str
    # What the steps are about.
    what: str = "Revision"

    @property
    def title(self) -> str:
        """The answer in a line."""
        what = "mended" if self.fix else "brought"
        if len(self.culprits) == 1:
            one = self.culprits[0]
            return f'{one.commit[:12]} ("{one.subject}") {what} it'
        return f"one of {len(self.culprits)} commits {what} it"


def make(request: Request, directory: Path, commits: tuple[Commit, ...], verdict: Verdict, *,
         evidence: Evidence, journal: Journal) -> Report:
    """Collect it from what was written down."""
    assert journal.symptom is not None
    rate = evidence.rate
    subject = request.subject
    options = [*subject.build_options, *subject.run_options]
    one = commits[0].commit
    # Of several, some may be impossible to judge and some free of the bug: the end is known to show it.
    revisions = [one, *evidence.history.before([one])[:1]] if len(commits) == 1 else [request.bad]
    reproduce = [as_typed(["farm", "run", *subject.testcases, "--tree", str(subject.tree), "--rev", rev, *options])
                 for rev in revisions]
    return Report(
        culprits=commits, fix=request.settings.fix, confidence=verdict.confidence, symptom=journal.symptom,
        seen=rate.seen, runs=rate.seen + rate.missed, proof=verdict.proof,
        steps=tuple(_row(commit, evidence, journal) for commit in journal.steps),
        good=request.good, bad=request.bad, reproduce=tuple(reproduce),
        regzbot=_regzbot(request, commits, journal.symptom, verdict),
        crash=crash_of(directory, journal.runs, [one.commit for one in commits]), directory=str(directory))


def _row(commit: str, evidence: Evidence, journal: Journal) -> Row:
    answer = journal.steps[commit].answer
    # What later sights of the bug withdrew is shown as what it turned out to be.
    withdrawn = answer is Answer.NO_BUG and evidence.has_bug(commit)
    return row(journal, commit, evidence.history.subjects.get(commit, ""),
               "bug (withdrawn: no bug)" if withdrawn else answer.value)


def row(journal: Journal, name: str, subject: str, answer: str) -> Row:
    """The row of what the journal knows by that name."""
    step = journal.steps[name]
    runs = [run for run in journal.runs if run.commit == name]
    return Row(
        commit=name, subject=subject, answer=answer, confidence=step.confidence, seen=strategy.tally(runs, others=True),
        why=step.why,
        seconds=max((run.build_seconds for run in runs), default=0.0) + sum(run.run_seconds for run in runs),
        runs=tuple(dict.fromkeys(run.directory for run in runs if run.directory)))


def _regzbot(request: Request, commits: tuple[Commit, ...], symptom: Symptom, verdict: Verdict) -> tuple[str, ...]:
    """Lines for the regression tracker (Documentation/process/handling-regressions.rst, regzbot's commands)."""
    if verdict.proof.confirmed is False:
        return ()  # a tracker is no place for a guess
    if request.settings.fix:
        return (f"#regzbot fix: {commits[0].commit[:12]}",) if len(commits) == 1 else ()
    introduced = commits[0].commit if len(commits) == 1 else f"{request.good[:12]}..{request.bad[:12]}"
    return (f"#regzbot introduced: {introduced}", f"#regzbot title: {' '.join(symptom.title.split())}")


def crash_of(directory: Path, runs: Iterable[Run], preferred: list[str]) -> str:
    """The crash report by which a run showed the bug, of the culprit if it has one; "" when there is none."""
    shown = [run for run in runs if run.seen is Seen.BUG and run.directory]
    for run in sorted(shown, key=lambda run: run.commit not in preferred):
        texts = [path.read_text(encoding="utf-8", errors="replace")
                 for path in sorted((directory / run.directory).glob("*/reports/*.txt"))]
        # A run may hold other reports too, noise among them; the first line is the title. Decoded ones come first.
        title = run.cause.title if run.cause else run.title
        for text in sorted(texts, key=lambda text: text.partition("\n")[0] != title):
            lines = text.splitlines()[:_LINES]
            return visible("\n".join(lines)[:_CHARACTERS], _LINES, _CHARACTERS)
    return ""


def to_json(report: Report) -> dict[str, Any]:
    """The report as data."""
    return {**asdict(report), "title": report.title}


def render(report: Report) -> dict[str, str]:
    """Name of the file -> its text."""
    return render_as("report", report, to_json(report))


def render_as(name: str, report: object, data: Mapping[str, Any]) -> dict[str, str]:
    """`report.html`, `.txt` and `.json` by the templates of that name, with `data` for the last."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(Path(__file__).parent / "templates")), undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(("html.j2",)), trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True)
    environment.filters.update(visible=visible, duration=duration, percent=lambda share: f"{share:.1%}")
    texts = {f"report.{kind}": environment.get_template(f"{name}.{kind}.j2").render(report=report)
             for kind in ("html", "txt")}
    return {**texts, "report.json": json.dumps(data, indent=1) + "\n"}
