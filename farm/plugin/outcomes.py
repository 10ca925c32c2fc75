"""From exceptions to outcomes: whom a failure blames, and how it is shown."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import FarmError, GuestError, HangError, InternalError, KernelError
from farm.model import Finding, Outcome, Verdict
from farm.plugin.blame import internal_error
from farm.plugin.session import SESSION_KEY
from farm.textform import printable
from farm.verdict import verdict_of

if TYPE_CHECKING:  # most sessions of pytest have no cell, and the controller of pytest-xdist never does
    from farm.plugin.cell import CellRun

CELL_KEY = pytest.StashKey["CellRun"]()
# Lines of a crash report shown below a failure; the whole report is in the run directory.
SHOWN_LINES = 40


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the cell say what really happened, and file the report under whoever is to blame.

    pytest calls what fails in a test's body a failure and everything else an error. Here the kernel fails and
    the host errs, in whichever phase it shows: a kernel that does not boot is a failure of the testcase though
    booting is set-up, and a host without memory is an error though the body noticed. So is a bug in the testcase.
    """
    cell = item.stash.get(CELL_KEY, None)
    error = call.excinfo.value if call.excinfo else None
    # Tests of other projects, which have nothing of the farm's, stay pytest's.
    ours = cell is not None or "farm_session" in getattr(item, "fixturenames", ())
    if error is not None and ours and call.when != "teardown":
        error = internal_error(error, item.path) or error
    if cell is not None and call.when in ("setup", "call") and (error is not None or call.when == "call"):
        cause = _concluded(cell, error, item.path)
        if cause is not None and cause is not error:
            call.excinfo = _raised(cause)
            error = cause
        item.user_properties[:] = [*item.user_properties, *cell.record.properties().items()]
    report = yield
    if isinstance(error, InternalError):
        _tell_of_bug(report, error, cell)
    elif isinstance(error, FarmError):
        report.longrepr = explanation(error, cell)
        report.outcome = "failed"
        if isinstance(error, KernelError):
            report.when = "call"
        elif report.when == "call":
            report.when = "setup"
    elif isinstance(error, OSError | MemoryError) and call.when == "call":
        report.when = "setup"
    return report


def _concluded(cell: "CellRun", error: BaseException | None, testcase: Path) -> BaseException | None:
    """What the cell ended with; whatever keeps it from finding that out, or writing it down, is that then.

    pytest takes an exception of a hook for its own end, and that of all testcases which are still to run.
    """
    try:
        return cell.conclude(error)
    except Exception as problem:  # a full disk, or a bug of the farm's
        cause = problem if isinstance(problem, FarmError) else internal_error(problem, testcase) or InternalError(
            f"The farm could not conclude the testcase: {problem!r}")
    if cell.record.outcome is Outcome.FAIL:
        cause.add_note(f"The testcase had failed by then: {cell.record.title}")
    cell.record.conclude(cause, time.monotonic())
    return cause


def _tell_of_bug(report: pytest.TestReport, error: InternalError, cell: "CellRun | None") -> None:
    """The traceback, by which a bug is found, stays as pytest shows it; whose bug it is stands below it."""
    report.when = "setup"
    report.sections.append(("farm", explanation(error, cell)))
    if crash := getattr(report.longrepr, "reprcrash", None):
        crash.message = str(error).splitlines()[0]


def _raised(cause: BaseException) -> pytest.ExceptionInfo[BaseException]:
    """pytest wants an exception that was raised, with its traceback."""
    try:
        raise cause
    except type(cause):
        return pytest.ExceptionInfo.from_current()


def explanation(error: FarmError, cell: "CellRun | None") -> str:
    """What the user reads below a failed testcase: the sentence, the report, where everything is."""
    lines = [line for said in (str(error), *getattr(error, "__notes__", ())) for line in said.splitlines()]
    raised = error.reports if isinstance(error, GuestError) else ()
    reports = [report for report in raised if isinstance(report, Finding)]
    if reports and reports[0].text:
        text = reports[0].text.rstrip("\n").split("\n")  # a form feed within a line is the guest's
        lines += ["", *text[:SHOWN_LINES]]
        if len(text) > SHOWN_LINES:
            lines.append(f"[{len(text) - SHOWN_LINES} more lines]")
    elif cell is not None and isinstance(error, HangError):
        lines += ["", *map(str, cell.evidence.stuck[:SHOWN_LINES])]
    if cell is not None:
        lines += ["", f"cell: {cell.record.directory.path}"]
    return "\n".join(printable(line) for line in lines)


@dataclass
class Row:
    """One line of the table of outcomes."""

    testcase: str
    outcome: Outcome
    # What happened, in a line.
    title: str = ""
    # Wall seconds, all phases.
    seconds: float = 0.0
    # The cell's directory, "" for a testcase that never became a cell.
    directory: str = ""
    # What was odd without failing it, in a line; "" for nothing.
    suspicions: str = ""


_OUTCOMES = {"skipped": Outcome.SKIP, "passed": Outcome.PASS}
_RANK = [Outcome.PASS, Outcome.SKIP, Outcome.ERROR, Outcome.FAIL]


class Outcomes:
    """Collects the outcomes of all testcases where the session is controlled, and prints the table."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.run_directory = Path()
        # True after Ctrl-C, for which pytest has the same exit status as for a file that it cannot load.
        self.interrupted = False

    def pytest_configure(self, config: pytest.Config) -> None:
        self.run_directory = config.stash[SESSION_KEY].run_directory

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = self.rows.setdefault(report.nodeid, Row(report.nodeid, Outcome.PASS))
        outcome = _OUTCOMES.get(report.outcome) or (Outcome.FAIL if report.when == "call" else Outcome.ERROR)
        row.seconds += report.duration
        properties = dict(report.user_properties)
        row.directory = str(properties.get("cell", row.directory))
        row.suspicions = str(properties.get("suspicions", row.suspicions))
        if _RANK.index(outcome) > _RANK.index(row.outcome):
            row.outcome, row.title = outcome, _first_line(report)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.interrupted = not isinstance(excinfo.value, pytest.Session.Interrupted)

    @property
    def verdict(self) -> Verdict:
        return verdict_of(row.outcome for row in self.rows.values())

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        rows = list(self.rows.values())
        if not any(row.directory for row in rows):
            return
        if config.option.shell:  # a session that ended well is no testcase that passed
            rows = [row for row in rows if row.outcome is not Outcome.PASS]
        if rows:
            self._table(terminalreporter, rows)
        terminalreporter.write_line(f"run directory: {self.run_directory}")

    def _table(self, terminalreporter: Any, rows: Sequence[Row]) -> None:
        terminalreporter.section("outcomes")
        width = max(len(row.testcase) for row in rows)
        colors = {Outcome.PASS: "green", Outcome.FAIL: "red", Outcome.ERROR: "red", Outcome.SKIP: "yellow"}
        for row in rows:
            terminalreporter.write(f"{row.outcome.value:<6}", **{colors[row.outcome]: True})
            terminalreporter.write(f"{row.testcase:<{width}} {row.seconds:7.1f} s  {row.title}".rstrip() + "\n")
        for row in rows:
            if row.suspicions:
                terminalreporter.write("warning: ", yellow=True)
                terminalreporter.write(printable(f"{row.testcase}: {row.suspicions}") + "\n")


def _first_line(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):  # a skip: (path, line, reason)
        said: object = report.longrepr[2]
    else:
        crash = getattr(report.longrepr, "reprcrash", None)
        said = crash.message if crash else report.longrepr
    return printable((str(said).splitlines() or [""])[0])


