"""The site, clicked through in a real browser, without a network."""

import re
import tarfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from farm.host.tools import TOOLS
from farm.report.evidence import cell_directory, pack
from farm.report.plot import plot
from farm.report.site import Site
from farm.results import queries
from farm.results.database import Database
from tests.unit.report import nights

CHROMIUM = next(tool for tool in TOOLS if tool.name == "chromium")


class Links(HTMLParser):
    """Collects what a page refers to, and what it would run."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]


def test_every_link_leads_somewhere_and_nothing_needs_a_network(site):
    pages = sorted(site.parent.glob("*.html"))
    assert len(pages) > 50
    for page in pages:
        found = Links(page)
        assert not found.tags & {"script", "img", "iframe", "link", "object"}, page
        for link in found.links:
            assert not re.match(r"[a-z]+:|//", link), (page, link)
            assert link.startswith("#") or (site.parent / link.partition("#")[0]).is_file(), (page, link)


def test_a_download_holds_the_cell_and_nothing_from_elsewhere(tmp_path):
    cell = tmp_path / "cell"
    (cell / "evidence").mkdir(parents=True)
    (cell / "console.log").write_text("hello")
    (cell / "evidence" / "vmcore").touch()
    (cell / "passwd").symlink_to("/etc/passwd")
    with (cell / "evidence" / "huge").open("wb") as file:
        file.truncate(17 << 20)
    pack(cell, tmp_path / "cell.tar.gz")
    with tarfile.open(tmp_path / "cell.tar.gz") as archive:
        assert archive.getnames() == ["cell/console.log", "cell/evidence/vmcore"]


@pytest.mark.parametrize("directory", ["../other", "/etc", "", ".", "link"])
def test_a_record_cannot_point_out_of_its_run(tmp_path, directory):
    (tmp_path / "run").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "run" / "link").symlink_to(tmp_path / "other")
    cell = nights.CellRow(nights.PLACES[0], nights.Outcome.FAIL, directory=directory)
    assert cell_directory(str(tmp_path / "run"), cell) is None


def test_a_plan_without_runs_has_a_page(tmp_path):
    with Database(f"sqlite:///{tmp_path}/r.db") as database:
        page = Site(tmp_path / "site", database, "nightly", 30).write()
    assert "No run is recorded yet" in page.read_text()


def test_a_plot_of_one_run_and_of_none():
    cell = nights.CellRow(nights.PLACES[0], nights.Outcome.PASS, seconds=33.0)
    assert plot([]) is None
    assert plot([("one", nights.CellRow(nights.PLACES[0], nights.Outcome.ERROR))]) is None
    made = plot([("one", cell)])
    assert [text for _, text in made.grid] == ["0 s", "10 s", "20 s", "30 s", "40 s"]
    assert made.grid[4][0] < made.points[0].y < made.grid[3][0]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    if CHROMIUM.find() is None:
        pytest.skip("this host has no chromium: `make deps` installs Debian's")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=str(CHROMIUM.find()),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        yield started
        started.close()


@pytest.fixture
def visit(browser, site) -> Iterator:
    """Opens the first page; whatever goes wrong in the browser fails the test."""
    troubles, contexts = [], []

    def visit(**options):
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        # A download leaves the page where it was, which a browser calls a failed request.
        page.on("requestfailed", lambda request: troubles.append(request.url)
                if not request.url.endswith(".tar.gz") else None)
        page.goto(site.as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert troubles == []


def test_from_the_heat_map_to_the_decoded_crash_and_its_download(visit, tmp_path):
    page = visit()
    assert page.title() == "nightly: runs"
    assert page.locator(".heat thead a").count() == nights.NIGHTS
    assert page.get_by_text("look at this").is_visible()
    page.locator(".heat tbody tr", has_text="test_xfs_on_crypt").locator("a.still").first.click()
    assert page.locator("h1").inner_text() == "kernel panic: dm-crypt: cannot write today in crypt_map"
    facts = page.locator("dl").inner_text()
    assert "first seen" in facts
    assert "20261113-230000-000c" in facts
    page.locator("dl a", has_text="20261114-230000-000d").click()
    assert page.locator("h1").inner_text() == "Run 20261114-230000-000d"
    page.get_by_role("link", name="crash report").first.click()
    assert "crypt_map+0x294/0x2d0 (drivers/md/dm-crypt.c:3514)" in page.locator("pre").first.inner_text()
    assert "[    9.9] the last line" in page.locator("pre").last.inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download what the cell left").click()
    with tarfile.open(download.value.path()) as archive:
        assert any(name.endswith("reports/01-panic.decoded.txt") for name in archive.getnames())


def test_from_a_testcase_to_its_history_and_durations(visit):
    page = visit()
    page.get_by_role("link", name="test_slow.py::test_slow").first.click()
    assert page.locator("h1").inner_text() == "test_slow.py::test_slow"
    assert page.locator("h2").count() == 4
    assert page.locator("svg").first.locator("circle").count() == nights.NIGHTS
    assert "s" in page.locator("svg").first.locator("circle title").first.text_content()
    page.get_by_role("link", name="All runs").click()
    assert page.title() == "nightly: runs"


def test_hostile_text_stays_text(visit):
    page = visit()
    page.locator(".card", has_text="test_hostile").first.get_by_role("link").last.click()
    assert "<script>document.title='owned'</script>" in page.locator("h1").inner_text()
    assert "owned" not in page.evaluate("document.title").replace("'owned'", "")
    assert page.locator("main script, main b").count() == 0


def test_it_works_by_keyboard(visit):
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "20261114-230000-000d"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/run-*.html")


@pytest.mark.parametrize("start", ["index.html", "run-14.html", "testcase", "signature", "crash-14"])
def test_it_fits_a_phone(visit, site, start):
    page = visit(viewport={"width": 360, "height": 740})
    page.goto(min(site.parent.glob(f"{start}*")).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


LUMINANCE = """element => {
  const channels = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(
    value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const weights = [0.2126, 0.7152, 0.0722];
  const light = colour => channels(colour).reduce((sum, value, index) => sum + value * weights[index], 0);
  const style = getComputedStyle(element);
  const [low, high] = [light(style.color), light(style.backgroundColor)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_signs_are_legible_in_light_and_dark(visit, scheme):
    page = visit(color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(20, 23, 26)") is (scheme == "dark")
    for style in ("pass", "new", "still", "fixed", "flaky", "none"):
        assert page.locator(f".sign.{style}").first.evaluate(LUMINANCE) >= 4.5, style  # WCAG AA


def test_the_newest_night_is_the_first_column(visit, database):
    page = visit()
    page.locator(".heat thead a").first.click()
    assert page.locator("h1").inner_text() == f"Run {queries.find_run(database, 'latest').name}"
