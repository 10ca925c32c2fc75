"""JUnit XML of a run, for CI systems. Pure."""

import re
from xml.etree import ElementTree as ET

from farm.model import Outcome
from farm.report.values import NightReport
from farm.results.values import Change, VerdictRow

# What XML 1.0 has no way to write.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: NightReport) -> str:
    """A suite for each place of the matrix, a case for each series.

    Only new failures that nobody knows of are failures: a CI system turns red for those alone. The others say what
    they are in their output.
    """
    root = ET.Element("testsuites", name=report.run.plan)
    suites: dict[str, ET.Element] = {}
    for one in report.verdicts:
        place = one.series.place
        if place not in suites:
            suites[place] = ET.SubElement(root, "testsuite", name=clean(place))
        _case(suites[place], report, one)
    for suite in root:
        suite.set("tests", str(len(suite)))
        for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            suite.set(attribute, str(len(suite.findall(f"testcase/{kind}"))))
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _case(suite: ET.Element, report: NightReport, one: VerdictRow) -> None:
    cells = report.cells_of(one)
    file, _, name = one.series.testcase.rpartition("::")
    case = ET.SubElement(suite, "testcase", classname=clean(f"{one.series.place}.{file}".rstrip(".")), name=clean(name),
                         time=f"{sum(cell.seconds for cell in cells):.1f}")
    if one.change is Change.NEW and not one.known:
        ET.SubElement(case, "failure", message=clean(one.title), type=clean(one.signature)).text = clean(one.why)
    elif one.change in (Change.UNKNOWN, Change.NEVER):
        broken = any(cell.outcome is Outcome.ERROR for cell in cells)
        ET.SubElement(case, "error" if broken else "skipped", message=clean(one.why))
    said = [f"{one.change.value}: {one.why}" if one.why else one.change.value, one.title, one.known]
    ET.SubElement(case, "system-out").text = clean("\n".join(filter(None, said)))


def clean(text: str) -> str:
    """Without what XML cannot hold: a console may print anything."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
