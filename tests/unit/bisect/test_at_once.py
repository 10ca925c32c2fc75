"""Runs of one revision that go on at the same time."""

import threading

from farm.bisect.state import Journal
from farm.bisect.values import Run, Seen, Settings
from farm.verdict import Cause
from tests.unit.bisect.histories import PANIC, KnowingJudge, bisect, line


def test_runs_that_are_certainly_needed_go_on_at_the_same_time(tmp_path):
    world = line(tmp_path, 4, 2)
    judge = KnowingJudge(world, 1, at_once=3)
    run, gates = judge.run, {commit: threading.Barrier(3) for commit in world.commits}

    def running(commit, build, symptom):
        gates[commit].wait(20)
        return run(commit, build, symptom)

    judge.run = running
    assert bisect(world, tmp_path / "b", judge, Settings(runs=3)).culprits == (world.culprit,)
    said = (tmp_path / "b/said.txt").read_text()
    assert f"judging {world.commits[0][:12]} commit 0, runs 1 to 3\n" in said


def test_a_bug_that_shows_leaves_the_runs_beside_it_alone(tmp_path):
    """Else the runs that miss it, which take longer, would be left out, and it would seem to show more often."""
    world = line(tmp_path, 4, 1, rate=0.4)
    judge = KnowingJudge(world, 1, at_once=3)
    middle = world.commits[2]
    judge.script = {world.commits[-1]: [Seen.BUG, Seen.NO_BUG, Seen.NO_BUG, Seen.BUG, Seen.NO_BUG, Seen.BUG],
                    middle: [Seen.NO_BUG, Seen.BUG, Seen.NO_BUG]}
    stopped = []
    judge.stop_run = stopped.append
    bisect(world, tmp_path / "b", judge)
    shown = [run.seen for run in Journal(tmp_path / "b").runs if run.commit == middle]
    assert (shown.count(Seen.BUG), shown.count(Seen.NO_BUG)) == (1, 2)
    assert stopped == []


def test_another_failure_beside_the_first_sight_of_the_bug_is_not_taken_for_it(tmp_path):
    world = line(tmp_path, 4, 2)
    judge = KnowingJudge(world, 1, at_once=3)
    both, run = threading.Barrier(3), judge.run

    def running(commit, build, symptom):
        if symptom is not None or commit != world.commits[-1]:
            return run(commit, build, symptom)
        place = both.wait(20)  # all three begin before anything is known
        cause = Cause("warning", "WARNING in g", "g", "t") if place == 0 else PANIC
        return Run(commit, Seen.BUG, cause.title, cause, build.digest)

    judge.run = running
    assert bisect(world, tmp_path / "b", judge).culprits == (world.culprit,)
    journal = Journal(tmp_path / "b")
    assert journal.symptom.kind == "panic"
    at_end = [run.seen for run in journal.runs if run.commit == world.commits[-1]]
    assert (at_end.count(Seen.OTHER), at_end.count(Seen.BUG)) == (1, 3)
