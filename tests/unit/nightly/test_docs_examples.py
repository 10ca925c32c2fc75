"""The four examples of docs/nightly.md (cron, systemd, GitLab, Jenkins): what can be checked of them without those.

Their shell lines are run, with something else in the farm's place; their farm commands are understood by the farm; the
rest is held against the keywords of the GitLab and Jenkins manuals.
"""

import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from farm.cli import group

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "nightly.md").read_text()
# docs.gitlab.com, "CI/CD YAML syntax reference": keywords of a job, of artifacts, of a rule.
GITLAB: dict[str, Any] = {
    "rules": None, "timeout": None, "variables": None, "script": None, "tags": None, "needs": None, "cache": None,
    "before_script": None, "after_script": None, "image": None, "stage": None, "allow_failure": None, "retry": None,
    "artifacts": {"when": None, "paths": None, "expire_in": None, "name": None, "exclude": None,
                  "reports": {"junit": None}},
}
# jenkins.io, "Pipeline Syntax": which blocks a block may have, and which it must have.
CONDITIONS = frozenset({"always", "changed", "fixed", "regression", "aborted", "failure", "success", "unstable",
                        "unsuccessful", "cleanup"})
JENKINS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "": (frozenset({"pipeline"}), frozenset({"pipeline"})),
    "pipeline": (frozenset({"agent", "environment", "options", "parameters", "triggers", "tools", "stages", "post"}),
                 frozenset({"agent", "stages"})),
    "agent": (frozenset(), frozenset()), "triggers": (frozenset(), frozenset()),
    "environment": (frozenset(), frozenset()), "options": (frozenset(), frozenset()),
    "stages": (frozenset({"stage"}), frozenset({"stage"})),
    "stage": (frozenset({"agent", "environment", "options", "when", "tools", "steps", "post"}), frozenset({"steps"})),
    "steps": (frozenset({"script"}), frozenset()), "script": (frozenset({"if"}), frozenset()),
    "if": (frozenset(), frozenset()), "post": (CONDITIONS, frozenset()),
    **{one: (frozenset({"script"}), frozenset()) for one in CONDITIONS},
}
# What may stand in a block of statements: steps of the plugins that a Jenkins comes with, and Groovy's own.
STATEMENTS = {
    "agent": r"label '[^']+'", "triggers": r"cron\('[^']+'\)", "environment": r"[A-Z_]+ = '[^']*'",
    "script": r"def \w+ = sh\(returnStatus: true, script: '[^']+'\)", "if": r"(unstable|error)\('[^']+'\)",
    "always": r"(junit testResults: '[^']+'|archiveArtifacts artifacts: '[^']+')(, \w+: \w+)*",
}


def block(begin: str) -> str:
    """The indented block that begins with these words."""
    lines = TEXT[TEXT.index(f"\n    {begin}") + 1:].splitlines()
    end = next((number for number, line in enumerate(lines) if line and not line.startswith("    ")), len(lines))
    return "\n".join(line[4:] for line in lines[:end])


CRON = block("0 22 * * *  ").partition("*  ")[2].strip()
SERVICE = block("[Unit]\n    Description=Nightly kernel tests\n\n    [Service]")
SYSTEMD = re.findall(r"^ExecStart=/bin/sh -c '(.*)'$", SERVICE, re.MULTILINE)
JOB = yaml.safe_load(block("nightly:\n"))["nightly"]
PIPELINE = block("pipeline {")
JENKINS_LINES = re.findall(r"script: '([^']*)'", PIPELINE)
LINES = {"cron": [CRON], "systemd": SYSTEMD, "gitlab": JOB["script"], "jenkins": JENKINS_LINES}


def commands(line: str) -> list[list[str]]:
    """The arguments of each farm command in a line of shell."""
    found: list[list[str]] = []
    inside = False
    for word in shlex.shlex(line, posix=True, punctuation_chars=True):
        if set(word) <= set("();<>|&{}"):
            inside = False
        elif inside:
            found[-1].append(word)
        elif Path(word).name == "farm":
            found.append([])
            inside = True
    return found


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in LINES.items() for line in lines])
def test_every_command_and_option_is_understood(name: str, line: str) -> None:
    assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0
    asked = commands(line)
    assert asked
    for words in asked:
        context = click.Context(group, info_name="farm")
        name, command, rest = group.resolve_command(context, words)
        assert command is not None
        command.make_context(name, rest, parent=context)


def test_an_option_that_there_is_not_is_seen() -> None:
    assert commands('cd x && "$HOME/bin/farm" nightly plan.toml --again > log || { a; exec /b/farm doctor; }') == [
        ["nightly", "plan.toml", "--again"], ["doctor"]]
    context = click.Context(group, info_name="farm")
    name, command, rest = group.resolve_command(context, ["nightly", "plan.toml", "--again"])
    assert command is not None
    with pytest.raises(click.NoSuchOption):
        command.make_context(name, rest, parent=context)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with the plan's directory, and programs that write down what they are asked."""
    (tmp_path / "nightly" / "site").mkdir(parents=True)
    (tmp_path / "nightly/site/mail.txt").write_text("a mail")
    for place in ("farm/.venv/bin/farm", "bin/farm", "bin/sendmail"):
        program = tmp_path / place
        program.parent.mkdir(parents=True, exist_ok=True)
        status = "0" if program.name == "sendmail" else "$STATUS"
        program.write_text(f'#!/bin/sh\necho "{program.name} $*" >> {tmp_path}/asked\nexit {status}\n')
        program.chmod(0o755)
    return tmp_path


def ran(home: Path, line: str, status: int) -> tuple[int, list[str]]:
    done = subprocess.run(["sh", "-c", line], check=False, cwd=home / "nightly", env={
        "HOME": str(home), "PATH": f"{home}/bin:{os.environ['PATH']}", "STATUS": str(status)})
    return done.returncode, (home / "asked").read_text().splitlines()


@pytest.mark.parametrize(("status", "mails"), [(0, 0), (1, 1), (2, 0)])
def test_cron_sends_a_mail_of_new_failures_only(home: Path, status: int, mails: int) -> None:
    assert ran(home, CRON, status) == (
        0, ["farm nightly plan.toml", *["sendmail -i me@example.org"] * mails])


@pytest.mark.parametrize("status", [0, 1, 2])
@pytest.mark.parametrize("name", ["gitlab", "jenkins"])
def test_ci_gets_the_status(home: Path, name: str, status: int) -> None:
    line, = LINES[name]
    assert ran(home, line, status) == (status, ["farm nightly plan.toml"])


def test_the_files_are_those_of_the_plan() -> None:
    reports = tomllib.loads((DOCS / "nightly.toml").read_text())["reports"]
    named = {*re.findall(r"site/[\w.]+", f"{CRON}\n{PIPELINE}"), JOB["artifacts"]["reports"]["junit"]}
    assert named <= set(reports.values())
    assert set(JOB["artifacts"]["paths"]) == {reports["site"]}
    assert f"artifacts: '{reports['site']}/**'" in PIPELINE


def unknown(job: Any, keywords: Any, place: str = "") -> list[str]:
    """The keys of a job that GitLab has no keyword for."""
    if keywords is None or not isinstance(job, dict):
        return []
    return [found for key, value in job.items() for found in (
        unknown(value, keywords[key], f"{place}.{key}") if key in keywords else [f"{place}.{key}"])]


def test_the_gitlab_job_has_keywords_of_gitlab() -> None:
    assert unknown(JOB, GITLAB) == []
    assert unknown({"script": [], "artefacts": {}, "artifacts": {"reports": {"xunit": 1}}}, GITLAB) == [
        ".artefacts", ".artifacts.reports.xunit"]


def objections(text: str) -> list[str]:
    """What the declarative grammar has against a Jenkinsfile written with a block or a statement on each line."""
    found: list[str] = []
    blocks: list[tuple[str, set[str]]] = [("", set())]

    def begin(name: str) -> None:
        inside, seen = blocks[-1]
        if name not in JENKINS[inside][0]:
            found.append(f"{name} in {inside or 'the file'}")
        seen.add(name)
        blocks.append((name if name in JENKINS else "script", set()))

    def end() -> None:
        name, seen = blocks.pop()
        found.extend(f"{name} without {one}" for one in sorted(JENKINS[name][1] - seen))

    for line in filter(None, map(str.strip, text.splitlines())):
        opened = re.fullmatch(r"(\w+) ?(?:\((.*?)\) )?\{(?: (.*) \})?", line)
        if line == "}":
            if len(blocks) == 1:
                return [*found, "a brace too many"]
            end()
        elif opened:
            begin(opened[1])
            if opened[3] is not None:
                found.extend(_statement(blocks[-1][0], opened[3]))
                end()
        else:
            found.extend(_statement(blocks[-1][0], line))
    found.extend(f"{name} is not closed" for name, _ in blocks[1:])
    return found


def _statement(inside: str, line: str) -> list[str]:
    return [] if re.fullmatch(STATEMENTS.get(inside, r"(?!)"), line) else [f"{line!r} in {inside or 'the file'}"]


def test_the_jenkinsfile_is_declarative() -> None:
    assert objections(PIPELINE) == []


@pytest.mark.parametrize(("old", "new", "said"), [
    ("    agent { label 'farm' }\n", "", "pipeline without agent"),
    ("triggers {", "trigger {", "trigger in pipeline"),
    ("always {", "ever {", "ever in post"),
    ("label 'farm'", "label farm", "'label farm' in agent"),
    ("steps {", "step {", "step in stage"),
    ("cron('0 22 * * *')", "cron '0 22 * * *'", "\"cron '0 22 * * *'\" in triggers"),
])
def test_what_is_not_declarative_is_seen(old: str, new: str, said: str) -> None:
    assert old in PIPELINE
    assert objections(PIPELINE.replace(old, new))[0] == said


def test_braces_are_counted() -> None:
    assert objections(PIPELINE.rstrip().removesuffix("}")) == ["pipeline is not closed"]
    assert "a brace too many" in objections(PIPELINE + "\n}")
