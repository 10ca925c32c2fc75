"""The whole search but for kernels: random histories of real git, judged by someone who knows where the bug is."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from farm.bisect.state import Journal
from farm.bisect.values import Answer, Build, Run, Seen, Settings
from farm.errors import InfrastructureError, UserError
from farm.verdict import Cause
from tests.unit.bisect.histories import PANIC, KnowingJudge, bisect, line, random_world
from tests.unit.host.owners import eventually


def found(directory, seed, *, rate=1.0, fix=False, jobs=1, at_once=1):
    """Whether the search in a random history named the right commit, and how many runs it took."""
    world = random_world(directory / str(seed), seed, rate=rate, fix=fix)
    judge = KnowingJudge(world, seed, at_once=at_once)
    verdict = bisect(world, directory / str(seed) / "bisection", judge, Settings(fix=fix, jobs=jobs))
    return verdict.culprits == (world.culprit,), len(judge.runs), verdict


def many(directory, seeds, **how):
    with ThreadPoolExecutor(2) as pool:  # git does the work, in processes of its own
        return list(pool.map(lambda seed: found(directory, seed, **how), seeds))


def test_the_right_commit_is_named_in_every_history(tmp_path):
    results = many(tmp_path, range(20))
    assert [seed for seed, (right, _, _) in enumerate(results) if not right] == []
    # Each end, six steps and the last word: a bug that always shows costs little more than plain bisection.
    assert sum(runs for _, runs, _ in results) / len(results) < 14
    assert all(verdict.confidence >= 0.95 for _, _, verdict in results)


def test_a_bug_that_shows_in_three_runs_of_ten_is_named_in_nineteen_histories_of_twenty(tmp_path):
    results = many(tmp_path, range(20), rate=0.3)
    assert sum(right for right, _, _ in results) >= 19


@pytest.mark.parametrize("rate", [1.0, 0.4])
def test_the_commit_that_mended_a_bug(tmp_path, rate):
    assert all(right for right, _, _ in many(tmp_path, range(4), rate=rate, fix=True))


def test_several_at_once_find_the_same(tmp_path):
    assert all(right for right, _, _ in many(tmp_path, range(4), jobs=3))


def test_three_at_once_cut_what_is_left_into_four(tmp_path):
    world = line(tmp_path, 65, 40)
    judge = KnowingJudge(world, 1)
    bisect(world, tmp_path / "b", judge, Settings(jobs=3))
    first = {world.commits.index(commit) for commit in judge.runs[4:7]}
    assert first <= {15, 16, 17, 31, 32, 33, 47, 48, 49}


@pytest.mark.parametrize(("jobs", "first"), [(1, {16, 8, 24}), (2, {11, 21}), (3, {8, 16, 24})])
def test_the_first_revisions_are_built_while_the_ends_are_run(tmp_path, jobs, first):
    world = line(tmp_path, 33, 20)
    judge = KnowingJudge(world, 1)
    at_first_step: list[set[str]] = []
    run = judge.run

    def noting(commit, build, symptom):
        if commit == world.commits[0]:  # the other end has told by then whom to suspect
            # Builds are quick here: wait for the thread that builds ahead.
            assert eventually(lambda: len(set(judge.builds)) >= 2 + len(first))
            at_first_step.append({world.commits.index(one) for one in judge.builds})
        return run(commit, build, symptom)

    judge.run = noting
    assert bisect(world, tmp_path / "b", judge, Settings(jobs=jobs)).culprits == (world.culprit,)
    assert at_first_step == [{32, 0, *first}]


def test_what_an_answer_made_superfluous_is_not_built_again(tmp_path):
    world = line(tmp_path, 33, 5)
    judge, first, second = KnowingJudge(world, 1), world.commits[11], world.commits[21]
    build, run, begun, stopped = judge.build, judge.run, threading.Event(), threading.Event()
    later = []

    def building(commit, *, ahead):
        if stopped.is_set():
            later.append(commit)
        if commit != second:
            return build(commit)
        if not ahead:
            begun.set()
            assert stopped.wait(20)
        return Build(seen=Seen.STOPPED)

    def running(commit, build, symptom):
        # The one thread that builds is free for the second.
        assert commit == world.commits[-1] or eventually(lambda: first in judge.builds)
        assert commit != first or begun.wait(20)
        return run(commit, build, symptom)

    judge.build, judge.run = building, running
    judge.stop_build = lambda commit: stopped.set() if begun.is_set() else None
    assert bisect(world, tmp_path / "b", judge, Settings(jobs=2)).culprits == (world.culprit,)
    assert later
    assert second not in later


def test_revisions_that_cannot_be_judged_are_gone_round(tmp_path):
    world = line(tmp_path, 40, 30)
    for place, seen in ((20, Seen.NO_BUILD), (19, Seen.NO_BOOT), (25, Seen.OTHER), (33, Seen.NO_BUILD)):
        world.special[world.commits[place]] = seen
    assert bisect(world, tmp_path / "b", KnowingJudge(world, 1)).culprits == (world.culprit,)
    steps = Journal(tmp_path / "b").steps
    assert {step.answer for commit, step in steps.items() if commit in world.special} == {Answer.SKIP}


def test_a_cluster_around_the_culprit_is_named_whole(tmp_path):
    world = line(tmp_path, 20, 10)
    for place in (8, 9, 10):
        world.special[world.commits[place]] = Seen.NO_BUILD
    verdict = bisect(world, tmp_path / "b", KnowingJudge(world, 1))
    assert set(verdict.culprits) == {world.commits[place] for place in (8, 9, 10, 11)}
    assert verdict.proof.confirmed is None


@pytest.mark.parametrize(("rate", "jobs", "at_once"), [(1.0, 1, 1), (0.4, 1, 1), (0.4, 1, 3), (1.0, 3, 1)])
def test_it_goes_on_after_every_interruption_and_repeats_nothing(tmp_path, rate, jobs, at_once):
    world = line(tmp_path, 40, 27, rate=rate)
    runs, settings = [], Settings(jobs=jobs)
    for attempt in range(100):
        judge = KnowingJudge(world, attempt, die_at=random.Random(attempt).randint(2, 4), at_once=at_once)
        try:
            verdict = bisect(world, tmp_path / "b", judge, settings)
            break
        except KeyboardInterrupt:
            runs += judge.ended
    assert verdict.culprits == (world.culprit,)
    journal = Journal(tmp_path / "b")
    recorded = [run.commit for run in journal.runs if not run.copy]
    assert sorted(recorded) == sorted([*runs, *judge.ended])
    assert recorded == [*runs, *judge.ended] or jobs > 1 or at_once > 1
    if rate == 1.0:
        inner = [run.commit for run in journal.runs[:-3] if run.commit not in (world.commits[0], world.commits[-1])]
        assert len(inner) == len(set(inner)) or jobs > 1


def test_a_change_that_never_reached_the_kernel_is_not_run(tmp_path):
    world = line(tmp_path, 33, 20)
    # All that changed from 8 to the commit before the culprit were comments: one kernel, judged once.
    world.harmless = {world.commits[place] for place in range(9, 20)}
    judge = KnowingJudge(world, 1)
    assert bisect(world, tmp_path / "b", judge).culprits == (world.culprit,)
    inside = {commit for commit in judge.runs if commit in world.harmless}
    assert len(inside - {world.commits[19]}) == 1  # which was run again in the end, to be sure
    journal = Journal(tmp_path / "b")
    copied = {run.commit for run in journal.runs if run.copy}
    assert copied
    assert all(step.why.startswith("same kernel") for commit, step in journal.steps.items() if commit in copied)


def test_what_never_reached_the_kernel_after_the_commit_that_mended_does_not_compete_with_it(tmp_path):
    world = line(tmp_path, 17, 6, fix=True)
    # 6 mended it, and the kernel of 7 and 8 is the same: had one of them mended it, that of 6 would have the bug.
    world.harmless = {world.commits[7], world.commits[8]}
    judge = KnowingJudge(world, 1)
    verdict = bisect(world, tmp_path / "b", judge, Settings(fix=True))
    assert verdict.culprits == (world.culprit,)
    assert verdict.confidence > 0.95
    assert len(judge.runs) < 15


def test_another_crash_is_not_the_bug(tmp_path):
    world = line(tmp_path, 16, 12)
    middle = world.commits[7]
    world.special[middle] = Seen.OTHER
    judge = KnowingJudge(world, 1)
    assert bisect(world, tmp_path / "b", judge).culprits == (world.culprit,)
    step = Journal(tmp_path / "b").steps[middle]
    assert (step.answer, step.why) == (Answer.SKIP, "another failure: WARNING in g")
    assert judge.runs.count(middle) == 2


@pytest.mark.parametrize(("place", "seen", "words"), [
    (-1, Seen.NO_BUG, ["--bad", "does not show the bug", "15 of 15 runs: no bug"]),
    (-1, Seen.NO_BUILD, ["--bad", "cannot be judged", "does not compile"]),
    (-1, Seen.UNASKED, ["--bad", "cannot be judged: 1 of 1 runs: nothing judged", "has no such stack"]),
    (0, Seen.OTHER, ["--good", "cannot be judged: 2 of 2 runs: another failure", "WARNING in g"]),
    (0, Seen.NO_BUILD, ["--good", "cannot be judged: 1 of 1 runs: no build", "does not compile"]),
    (0, Seen.BUG, ["--good", "should be free of the bug and is not", "kernel panic: no in f"]),
])
def test_an_end_that_does_not_behave_is_said_with_what_was_seen(tmp_path, place, seen, words):
    world = line(tmp_path, 8, 4)
    world.special[world.commits[place]] = seen
    with pytest.raises(UserError) as error:
        bisect(world, tmp_path / "b", KnowingJudge(world, 1))
    for word in words:
        assert word in str(error.value)
    if place == -1:  # what it showed was no failure
        assert Journal(tmp_path / "b").symptom is None


def test_the_bug_is_what_the_bad_end_shows_most_often(tmp_path):
    world = line(tmp_path, 16, 12)
    judge = KnowingJudge(world, 1)
    judge.script = {world.commits[-1]: [Seen.OTHER]}
    assert bisect(world, tmp_path / "b", judge).culprits == (world.culprit,)
    journal = Journal(tmp_path / "b")
    assert (journal.symptom.kind, journal.symptom.function) == ("panic", "f")
    seen = [run.seen for run in journal.runs if run.commit == world.commits[-1]]
    assert (seen[0], set(seen[1:])) == (Seen.OTHER, {Seen.BUG})


def test_a_good_end_that_showed_the_bug_late_is_not_forgotten(tmp_path):
    world = line(tmp_path, 16, 12)
    bisect(world, tmp_path / "b", KnowingJudge(world, 1))
    journal, first = Journal(tmp_path / "b"), world.commits[0]
    journal.add_run(Run(first, Seen.BUG, "kernel panic: no in f", PANIC))
    with pytest.raises(UserError, match="should be free of the bug and is not"):
        bisect(world, tmp_path / "b", KnowingJudge(world, 1))


def test_a_host_that_fails_again_and_again_stops_it(tmp_path):
    world = line(tmp_path, 16, 12)
    middle = world.commits[7]
    world.special[middle] = Seen.HOST
    with pytest.raises(InfrastructureError, match="failed 3 times"):
        bisect(world, tmp_path / "b", KnowingJudge(world, 1))
    assert middle not in Journal(tmp_path / "b").steps


def test_a_build_that_the_host_fails_is_tried_as_often_as_a_run_and_each_attempt_is_told(tmp_path):
    world = line(tmp_path, 16, 12)
    judge, middle, failed = KnowingJudge(world, 1), world.commits[7], []
    build = judge.build

    def failing(commit, *, ahead):
        if ahead:
            return Build(seen=Seen.STOPPED)
        if commit != middle:
            return build(commit)
        failed.append(commit)
        return Build(error="disk full", seen=Seen.HOST)

    judge.build = failing
    with pytest.raises(InfrastructureError, match=r"failed 3 times on .*: disk full"):
        bisect(world, tmp_path / "b", judge)
    assert len(failed) == 3
    assert (tmp_path / "b/said.txt").read_text().count(f"the host failed on {middle[:12]}") == 3


def test_a_lucky_run_is_withdrawn_when_the_bug_shows_after_all(tmp_path):
    world = line(tmp_path, 12, 3)
    judge = KnowingJudge(world, 1)
    judge.lucky = {world.commits[5]: 1}
    assert bisect(world, tmp_path / "b", judge).culprits == (world.culprit,)
    journal = Journal(tmp_path / "b")
    seen = [run.seen for run in journal.runs if run.commit == world.commits[5]]
    assert seen == [Seen.NO_BUG, Seen.BUG]
    assert journal.steps[world.commits[5]].answer is Answer.BUG


def test_only_commits_of_a_path(tmp_path):
    world = line(tmp_path, 50, 28)  # 28 is a multiple of 7: it touches file0
    judge = KnowingJudge(world, 1)
    verdict = bisect(world, tmp_path / "b", judge, Settings(paths=("file0",)))
    assert verdict.culprits == (world.culprit,)
    inner = set(judge.runs) - {world.commits[0], world.commits[-1]}
    assert all(world.commits.index(commit) % 7 == 0 for commit in inner)


def test_a_rate_that_nothing_but_luck_speaks_for_is_asked_again_at_the_end_with_the_bug(tmp_path):
    world = line(tmp_path, 40, 12, rate=0.3)
    judge = KnowingJudge(world, 4)
    judge.sure = {world.commits[place]: 3 for place in (19, 39)}  # it looks as if it always showed
    judge.lucky = {world.commits[place]: 2 for place in (14, 16, 17, 18)}
    verdict = bisect(world, tmp_path / "b", judge)
    assert verdict.culprits == (world.culprit,)
    assert judge.runs.count(world.commits[39]) > 3


def test_what_does_not_compile_can_be_the_bug(tmp_path):
    world = line(tmp_path, 24, 17, build_cause=Cause("build", "a.c:1: error", signature="build:a"))
    world.special = dict.fromkeys(world.commits[17:], Seen.NO_BUILD) | dict.fromkeys(world.commits[9:12], Seen.OTHER)
    judge = KnowingJudge(world, 1)
    assert bisect(world, tmp_path / "b", judge).culprits == (world.culprit,)
    assert judge.runs == []  # what compiles has not this bug


@pytest.mark.parametrize(("fix", "place", "doubtful"), [(False, 20, 19), (True, 7, 7)])
def test_the_runs_that_test_an_answer_count_for_its_doubts(tmp_path, fix, place, doubtful):
    world = line(tmp_path, 64, place, fix=fix)
    judge = KnowingJudge(world, 1)
    verdict = bisect(world, tmp_path / "b", judge)
    assert (verdict.culprits, verdict.proof.confirmed) == ((world.culprit,), True)
    assert verdict.confidence >= 0.95
    assert judge.runs.count(world.commits[doubtful]) == 1
    assert len(Journal(tmp_path / "b").proofs) == 1


@pytest.mark.parametrize(("fix", "rate"), [(False, 1.0), (True, 1.0), (False, 0.4)])
def test_what_cannot_be_reverted_is_compared_with_its_parent_by_new_runs(tmp_path, fix, rate):
    world = line(tmp_path, 24, 15, fix=fix, rate=rate)
    judge = KnowingJudge(world, 1)
    verdict = bisect(world, tmp_path / "b", judge, reverts=False)
    assert (verdict.culprits, verdict.proof.confirmed) == ((world.culprit,), True)
    assert min(judge.runs.count(world.commits[place]) for place in (14, 15)) >= 2
    assert "were run again instead" in verdict.proof.text


def test_a_parent_that_shows_the_bug_when_it_is_compared_goes_back_to_the_search(tmp_path):
    world = line(tmp_path, 24, 15)
    judge = KnowingJudge(world, 1)
    judge.lucky = {world.commits[17]: 1, world.commits[18]: 1, world.commits[19]: 1}
    verdict = bisect(world, tmp_path / "b", judge, reverts=False)
    assert (verdict.culprits, verdict.proof.confirmed) == ((world.culprit,), True)


def test_a_culprit_that_cannot_be_judged_again_is_not_confirmed(tmp_path):
    world = line(tmp_path, 8, 4)
    judge = KnowingJudge(world, 1)
    settings = Settings(runs=1)
    assert bisect(world, tmp_path / "b", judge, settings).proof.confirmed is True
    world.special[world.commits[3]] = Seen.OTHER
    verdict = bisect(world, tmp_path / "b", KnowingJudge(world, 1), settings, reverts=False)
    assert verdict.proof.confirmed is None


def test_it_says_what_is_built_and_run_and_how_sure_each_answer_is(tmp_path):
    world = line(tmp_path, 40, 30)
    judge = KnowingJudge(world, 1)
    build = judge.build
    # Only the good end is built before it is asked for.
    judge.build = lambda commit, *, ahead: (
        Build(seen=Seen.STOPPED) if ahead and commit != world.commits[0] else build(commit))
    bisect(world, tmp_path / "b", judge)
    said = (tmp_path / "b/said.txt").read_text()
    assert f"building {world.commits[0][:12]} commit 0 meanwhile" in said
    for place in (39, 19):
        name = f"{world.commits[place][:12]} commit {place}"
        assert said.index(f"\nbuilding {name}\n") < said.index(f"\njudging {name}\n")
    assert f"bug: {world.commits[39][:12]}, 100.0% sure" in said


def test_a_bad_end_that_fails_in_two_ways_is_told(tmp_path):
    world = line(tmp_path, 12, 5)
    judge = KnowingJudge(world, 1)
    judge.script = {world.commits[-1]: [Seen.BUG, Seen.OTHER, Seen.BUG, Seen.OTHER]}
    assert bisect(world, tmp_path / "b", judge).culprits == (world.culprit,)
    said = (tmp_path / "b/said.txt").read_text()
    assert said.count("it also fails in another way, which is not searched: WARNING in g") == 1


@pytest.mark.parametrize("fix", [False, True])
def test_a_culprit_outside_of_the_paths_is_said_to_be_there(tmp_path, fix):
    world = line(tmp_path, 48, 45, fix=fix)  # the last that touches file0 is 42
    with pytest.raises(UserError, match="no commit that touches file0 makes the difference"):
        bisect(world, tmp_path / "b", KnowingJudge(world, 1), Settings(paths=("file0",), fix=fix))
