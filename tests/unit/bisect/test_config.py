"""The whole search among configurations but for kernels: tools with dependencies, and a judge who reads the .config."""

import json
import random
import re
from dataclasses import replace
from functools import cache

import pytest

from farm.bisect.config import request as requests
from farm.bisect.config import session
from farm.bisect.config.candidates import FLAVOR, Candidates, read
from farm.bisect.config.driver import ConfigDriver
from farm.bisect.config.report import make, render
from farm.bisect.config.request import ConfigRequest
from farm.bisect.config.session import ConfigSession
from farm.bisect.state import Journal
from farm.bisect.values import Answer, Build, Run, Seen, Settings
from farm.errors import UserError
from farm.host.workdir import Workdir
from farm.kernel.config import OFF, parse_config
from farm.kernel.flavors import compose
from farm.verdict import Cause

PANIC = Cause("panic", "kernel panic: no in f", "f", "s")
NAMES = [f"OPTION_{number:02}" for number in range(24)]


@cache
def composed(candidate):
    """The symbols of a candidate's flavor. Read once, as a kernel is built once: its name is the hash of them."""
    (fragment,) = compose(FLAVOR, (), [candidate])
    assert all(one.optional for one in fragment.wanted)
    return {one.symbol: one.value for one in fragment.wanted}


class Tools:
    """Kconfig in small: an option without what it depends on goes, one that selects another brings it."""

    def __init__(self, depends, selects):
        self.depends, self.selects, self.calls = depends, selects, []

    def solve(self, base, changes):
        self.calls.append(tuple(changes))
        symbols = {**parse_config(base.read_text()), **changes}
        symbols.update({self.selects[one]: "y" for one in self.selects if symbols.get(one) == "y"})
        while gone := [one for one, value in symbols.items()
                       if value != OFF and symbols.get(self.depends.get(one, one), OFF) == OFF]:
            for one in gone:
                del symbols[one]
        return symbols

    def nearest(self, symbols):
        return None


class Judge:
    """Shows the bug on every configuration that has all the options of a cause."""

    at_once = 1

    def __init__(self, directory, causes, *, rate=1.0, seed=1, die_at=0, special=lambda symbols: None):
        self.directory, self.causes, self.rate, self.special = directory, causes, rate, special
        self.random, self.die_at, self.builds, self.runs = random.Random(seed), die_at, [], []

    def build(self, name, *, ahead=False):
        self.builds.append(name)
        return Build(digest=f"kernel {name}")

    def run(self, name, build, symptom):
        self.runs.append(name)
        if len(self.runs) == self.die_at:
            raise KeyboardInterrupt
        symbols = composed(self.directory / "configs" / name)
        shows = any(all(symbols.get(one) == "y" for one in cause) for cause in self.causes)
        seen = self.special(symbols) or (
            Seen.BUG if shows and self.random.random() < self.rate else Seen.NO_BUG)
        cause = {Seen.BUG: PANIC, Seen.NO_BOOT: Cause("boot", "no boot")}.get(seen)
        return Run(name, seen, cause.title if cause else "", cause, build.digest, 1.0, 1.0)

    def stop_build(self, name):
        pass

    def stop_run(self, name):
        pass

    def close(self):
        pass


@pytest.fixture
def place(tmp_path):
    (tmp_path / "good.config").write_text("CONFIG_BOTH=y\n" + "".join(f"# CONFIG_{one} is not set\n" for one in NAMES))
    (tmp_path / "bad.config").write_text("CONFIG_BOTH=y\n" + "".join(f"CONFIG_{one}=y\n" for one in NAMES))
    return tmp_path


def candidates(place, depends=None, selects=None):
    tools = Tools(depends or {}, selects or {})
    return Candidates(place, tools, place / "good.config", place / "bad.config"), tools


def search(place, causes, found=None, settings=None, **how):
    found = found or candidates(place)[0]
    journal, judge, said = Journal(place), Judge(place, causes, **how), []
    driver = ConfigDriver(judge, found, journal, settings=settings or Settings(), say=said.append)
    return driver.run(), judge, journal, "\n".join(said), driver


@pytest.mark.parametrize("cause", [("OPTION_07",), ("OPTION_03", "OPTION_19"), ("OPTION_00", "OPTION_11", "OPTION_23")])
def test_the_options_that_bring_the_bug(place, cause):
    result, judge, _, said, _ = search(place, [cause])
    assert result.options == cause
    assert result.confidence >= 0.95
    assert result.proof.confirmed is True
    assert len(judge.builds) == len(set(judge.builds))
    assert "24 options left, at least 5 steps" in said


def test_what_dependencies_drop_is_never_built_and_what_they_drag_along_is_told(place):
    depends = dict(zip(NAMES[13:], NAMES[12:], strict=False))
    found, _ = candidates(place, depends, {"OPTION_05": "DRAGGED"})
    result, judge, journal, said, driver = search(place, [("OPTION_05", "OPTION_14")], found)
    assert result.options == ("OPTION_05", "OPTION_12", "OPTION_13", "OPTION_14")
    assert result.candidate.dragged == (("DRAGGED", "y"),)
    assert "dropped, what they depend on is off: OPTION_" in said
    assert "changed with them: DRAGGED=y" in said
    # Sets that come to one configuration are one configuration.
    asked = list((place / "configs").glob("*/candidate.config.j2"))
    assert len(judge.builds) == len(set(judge.builds)) <= len(asked) < len(
        (place / "configs/solved.jsonl").read_text().splitlines())
    report = make(result, found, journal, rate=driver.rate, commands=[["farm", "run"]], directory=place)
    assert any("CONFIG_DRAGGED=y" in note for note in report.notes)


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_it_goes_on_after_every_interruption_and_repeats_nothing(place, rate):
    runs, solved = [], []
    for attempt in range(100):
        found, tools = candidates(place)
        try:
            how = {"rate": rate, "seed": attempt, "die_at": 3}
            result, judge, journal, *_ = search(place, [("OPTION_03", "OPTION_19")], found, **how)
            break
        except KeyboardInterrupt:
            runs += [one.commit for one in Journal(place).runs[len(runs):]]
        finally:
            solved += tools.calls
    assert result.options == ("OPTION_03", "OPTION_19")
    assert [run.commit for run in journal.runs] == [*runs, *judge.runs]
    assert attempt > 2
    assert len([one for one in solved if one]) == len({one for one in solved if one})


def test_a_bug_that_shows_in_three_runs_of_ten(place):
    right = 0
    for seed in range(4):
        directory = place / str(seed)
        directory.mkdir()
        for name in ("good.config", "bad.config"):
            (directory / name).write_text((place / name).read_text())
        result, *_ = search(directory, [("OPTION_03", "OPTION_19")], rate=0.3, seed=seed)
        right += result.options == ("OPTION_03", "OPTION_19")
        assert float(re.search(r"by luck: ([\d.]+)%", result.proof.text)[1]) <= 5
    assert right >= 4


def test_a_second_cause_is_told(place):
    result, *_ = search(place, [("OPTION_02",), ("OPTION_20",)])
    assert result.options == ("OPTION_02",)
    assert result.proof.confirmed is False
    assert "other options bring it too" in result.proof.text


def test_an_option_without_which_nothing_boots_is_not_accused_silently(place):
    def special(symbols):
        switched = [one for one in NAMES if symbols.get(one) == "y"]
        return Seen.NO_BOOT if switched and "OPTION_04" not in switched else None

    found, _ = candidates(place)
    result, _, journal, _, driver = search(place, [("OPTION_09",)], found, special=special)
    assert result.options == ("OPTION_04", "OPTION_09")
    assert result.unsure == ("OPTION_04",)
    report = make(result, found, journal, rate=driver.rate, commands=[], directory=place)
    assert any("Nothing can be judged without CONFIG_OPTION_04" in note for note in report.notes)


def test_ends_that_do_not_behave(place):
    with pytest.raises(UserError, match=r"--bad-config \w{12} does not show the bug: 15 of 15 runs: no bug"):
        search(place, [])
    (place / "steps.jsonl").unlink()
    with pytest.raises(UserError, match=r"--good-config \w{12} should be free of the bug and is not"):
        search(place, [("BOTH",)], settings=Settings(runs=1))


def test_two_files_that_come_to_the_same(place):
    (place / "bad.config").write_text("CONFIG_BOTH=y\nCONFIG_GONE=y\n")
    with pytest.raises(UserError, match="come to the same configuration"):
        candidates(place, {"GONE": "NOWHERE"})


def test_strings_of_a_config_are_no_templates(place):
    for name, end in (("good.config", ""), ("bad.config", "CONFIG_EVIL=\"{{ 7 * 7 }}{% raw %}{# x #}\"\n")):
        (place / name).write_text((place / name).read_text() + end)
    result, *_ = search(place, [("OPTION_07",)])
    assert result.options == ("OPTION_07",)
    (fragment,) = compose(FLAVOR, (), [place / "configs" / candidates(place)[0].get(frozenset({"EVIL"})).name])
    assert {one.symbol: one.value for one in fragment.wanted}["EVIL"] == '"{{ 7 * 7 }}{% raw %}{# x #}"'


@pytest.mark.parametrize(("text", "said"), [
    ("int main;\n", "no configuration line"), ("# nothing\n", "sets no symbol")])
def test_files_that_are_no_config(tmp_path, text, said):
    (tmp_path / "x").write_text(text)
    with pytest.raises(UserError, match=said):
        read(tmp_path / "x")


def test_reports_are_whole_and_harmless(place):
    found, _ = candidates(place)
    result, _, journal, _, driver = search(place, [("OPTION_03", "OPTION_19")], found)
    report = make(result, found, journal, rate=driver.rate, commands=[["farm", "run", "a b"]], directory=place)
    texts = render(report)
    assert set(texts) == {"report.html", "report.txt", "report.json"}
    for text in texts.values():
        assert "OPTION_19" in text
        assert "farm run" in text
    data = json.loads(texts["report.json"])
    assert [one["option"] for one in data["options"]] == ["OPTION_03", "OPTION_19"]
    assert {row["answer"] for row in data["steps"]} == {"bug", "no bug"}
    assert "the good configuration" in texts["report.txt"]
    assert data["proof"]["confirmed"] is True


def test_a_request_is_read_as_it_was_written(tmp_path):
    request = ConfigRequest(
        testcases=("/a/test_b.py",), run_options=("--seed=1",), source="/linux", rev="0" * 40,
        patches=(tmp_path / "p",), good="CONFIG_A=y\n", bad="CONFIG_B=y\n", settings=Settings(runs=2))
    (tmp_path / "request.json").write_text(json.dumps(request.to_json()))
    assert requests.load(tmp_path) == request
    assert requests.holds_config(tmp_path)
    assert request.build_options == ["--tree=/linux", f"--rev={'0' * 40}", f"--patch={tmp_path / 'p'}"]
    assert request.name.startswith("config-test_b-")
    (tmp_path / "request.json").write_text('{"kind": "config"}')
    with pytest.raises(UserError, match="no search that can be read"):
        requests.load(tmp_path)


def test_the_directory_of_somebody_else_is_not_written_to(tmp_path):
    (tmp_path / "good.config").write_text("CONFIG_THEIRS=y\n")
    request = ConfigRequest(("/t/test_a.py",), (), "debian:linux-source-6.12", None, (), "a", "b", Settings())
    with pytest.raises(UserError, match=r"no bisection's, and not empty: it has good\.config"):
        ConfigSession(request, tmp_path, Workdir(tmp_path / "cache"), lambda _: None).run()
    assert (tmp_path / "good.config").read_text() == "CONFIG_THEIRS=y\n"


def test_what_was_solved_for_another_request_is_no_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "Solver", lambda request, workdir: Tools({}, {}))
    request = ConfigRequest(
        testcases=("/a/test_b.py",), run_options=(), source="/linux", rev=None, patches=(), good="CONFIG_A=y\n",
        bad="CONFIG_A=y\n", settings=Settings())
    with pytest.raises(UserError, match="come to the same configuration"):
        ConfigSession(request, tmp_path / "b", Workdir(tmp_path / "cache"), print).run()
    with pytest.raises(UserError, match="holds another bisection"):
        ConfigSession(replace(request, bad="CONFIG_B=y\n"), tmp_path / "b", Workdir(tmp_path / "cache"), print).run()


def test_a_sight_of_the_bug_is_not_lost_with_the_process_that_saw_it(place):
    result, _, journal, *_ = search(place, [("OPTION_03", "OPTION_19")])
    assert result.options == ("OPTION_03", "OPTION_19")
    # One of the two shows it by itself after all, seen in the last moment of a process.
    alone = candidates(place)[0].get(frozenset({"OPTION_03"})).name
    assert journal.steps[alone].answer is Answer.NO_BUG
    journal.add_run(Run(alone, Seen.BUG, PANIC.title, PANIC, f"kernel {alone}", 1.0, 1.0))
    result, *_ = search(place, [("OPTION_03",)])
    assert result.options == ("OPTION_03",)
