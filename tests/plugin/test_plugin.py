"""The plugin in sessions of its own, as far as that needs no guest; tests/e2e has the rest."""

import pytest

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FARM_CACHE", str(tmp_path / "cache"))


def test_help_shows_every_option(pytester):
    result = pytester.runpytest("--help")
    for flag in ("--tree", "--rev", "--kernel-image", "--patch", "--flavor", "--accel", "--seed", "--runs-dir"):
        result.stdout.fnmatch_lines([f"*{flag}*"])


@pytest.mark.parametrize(("option", "said"), [
    ("--duration=nan", "nan is not between 0.1 and 86400"), ("--rounds=0", "0 is not between 1 and 1000000"),
    ("--seed=x", "'x' is not a number")])
def test_a_number_that_cannot_be_is_a_sentence(pytester, option, said):
    result = pytester.runpytest(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{option.partition('=')[0]}: {said}*"])


def test_markers_are_documented(pytester):
    result = pytester.runpytest("--markers")
    for name in ("machine(", "namespace(", "stack(", "duration(", "flavor(", "tolerate("):
        result.stdout.fnmatch_lines([f"@pytest.mark.{name}*"])


def test_fixtures_are_documented(pytester):
    result = pytester.runpytest("--fixtures")
    for name in ("target", "stack", "stacks", "disk", "expect", "fio", "stress", "churn", "pressure", "seed", "kernel",
                 "slab_growth"):
        result.stdout.re_match_lines([rf"{name}( \[session scope\])? --"])
    result.stdout.no_fnmatch_line("*no docstring available*farm*")


BLAME = """
    import pytest
    from farm.errors import BootError, CrashError, InfrastructureError, UserError

    @pytest.fixture
    def boots():
        raise BootError("The kernel panicked while it booted.")

    def test_crash():
        raise CrashError("WARNING in crypt_map")

    def test_boot(boots):
        pass

    def test_host():
        raise InfrastructureError("QEMU ended by signal 9 (SIGKILL).")

    def test_disk():
        raise OSError(28, "No space left on device")

    def test_request():
        raise UserError("--patch x: no such file.")

    def test_assertion():
        assert 1 == 2

    def test_pass():
        pass
"""


def test_the_kernel_fails_and_the_host_errs_in_whichever_phase(pytester):
    pytester.makepyfile(BLAME)
    result = pytester.runpytest("-v")
    result.assert_outcomes(failed=3, errors=3, passed=1)
    for line in ("*test_crash FAILED*", "*test_boot FAILED*", "*test_host ERROR*", "*test_disk ERROR*",
                 "*test_request ERROR*", "*test_assertion FAILED*", "*test_pass PASSED*"):
        result.stdout.fnmatch_lines([line])


def test_a_farm_error_is_shown_as_its_sentence_without_a_traceback(pytester):
    pytester.makepyfile(BLAME)
    result = pytester.runpytest("-k", "crash or host")
    result.stdout.fnmatch_lines(["WARNING in crypt_map"])
    result.stdout.no_fnmatch_line("*raise CrashError*")


def test_guest_output_cannot_steer_the_terminal(pytester):
    pytester.makepyfile(r"""
        from farm.errors import CrashError

        def test_crash():
            raise CrashError("WARNING in \x1b[2Jevil")
    """)
    result = pytester.runpytest("--color=no")
    assert "\x1b" not in result.stdout.str()
    result.stdout.fnmatch_lines(["WARNING in \\x1b*evil"])


def test_the_reason_of_a_skip_cannot_steer_it_either(pytester):
    pytester.makepyfile(r"""
        import pytest

        def test_it(record_property):
            record_property("cell", "/runs/1")
            pytest.skip("target integrity is v1\x1b[2J\nevil")
    """)
    result = pytester.runpytest("--color=no")
    assert "\x1b" not in result.stdout.str()
    result.stdout.re_match_lines([r"skip .* target integrity is v1\\x1b\[2J$"])


def test_junit_tells_failures_from_errors(pytester):
    pytester.makepyfile(BLAME)
    pytester.runpytest("--junitxml=out.xml")
    text = (pytester.path / "out.xml").read_text()
    assert 'errors="3" failures="3"' in text


def test_wrong_flavor_is_a_skip_with_its_reason(pytester):
    pytester.makepyfile("""
        import pytest

        @pytest.mark.flavor("kmemleak", "debug")
        def test_leak():
            raise AssertionError
    """)
    result = pytester.runpytest("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*made for flavor kmemleak or debug, not base*"])


@pytest.mark.parametrize(("marks", "sentence"), [
    ('machine(memory="lots")', "*lots*is not a size*"),
    ('machine(cpus="two")', "*cpus='two' is no number*"),
    ('machine(append="quiet splash")', "*append*a list of parameters, not 'quiet splash'*"),
    ('machine(disks=2)', "*machine takes cpus, memory and append, not disks*"),
    ('namespace("data", colour="red")', "*namespace*colour*"),
    ('namespace("data", pi=1)', "*pi-needs-metadata*"),
    ('stack("data / ext4")', "*data*"),
    ('stack("data / ext3")', "*ext3*ext4*"),
])
def test_what_cannot_be_is_refused_before_anything_is_built(pytester, marks, sentence):
    pytester.makepyfile(f"""
        import pytest

        @pytest.mark.{marks}
        def test_it(stack):
            raise AssertionError
    """)
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([sentence])
    assert not (pytester.path / "runs").exists()
    assert not (pytester.path.parent / "cache/trees").exists()


def test_a_session_without_cells_leaves_nothing(pytester):
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*run directory*")
    assert not (pytester.path / "runs").exists()


def test_a_suspicion_is_a_warning(pytester):
    pytester.makepyfile("""
        def test_it(record_property):
            record_property("cell", "/runs/1")
            record_property("suspicions", "slab cache kmalloc-16 grows")
    """)
    result = pytester.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["warning: *::test_it: slab cache kmalloc-16 grows"])


def test_workers_blame_alike(pytester):
    pytester.makepyfile(BLAME)
    result = pytester.runpytest_subprocess("-n", "2", "-p", "no:hypothesispytest")  # it imports all of Hypothesis
    result.assert_outcomes(failed=3, errors=3, passed=1)


BROKEN = """
    import pytest
    from farm.pressure import Pressure
    from farm.workload import Fio, FioRunner

    HOLD = "keep-free:free=64M"

    class Shell:
        def stream(self, command):
            assert command == []

    class Another(FioRunner):
        spec_type = type("Another", (Fio,), {})

    def test_name(seed):
        undefined

    def test_farm(seed):
        with Pressure(None, None, memory_bytes=1)(HOLD):
            pass

    def test_assertion_of_the_farm(seed):
        Another(None, seed=1, duration=1)("/tmp")

    def test_several(seed):
        raise ExceptionGroup("", [NameError("undefined"), ExceptionGroup("", [TypeError("key")])])

    def test_check(seed):
        assert seed is None

    def test_answer(seed):
        int("of a guest: rubbish")

    def test_fail(seed):
        pytest.fail("wrong data")

    def test_check_that_the_farm_calls(seed):
        with Pressure(Shell(), None, memory_bytes=1)(HOLD):
            pass

    def test_check_among_several(seed):
        raise ExceptionGroup("", [NameError("undefined"), AssertionError("wrong data")])

    def test_without_the_farm():
        undefined
"""


def test_a_bug_of_the_testcase_or_of_the_farm_is_no_failure_of_the_kernel(pytester, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # or the summary is cut
    pytester.makepyfile(BROKEN)
    result = pytester.runpytest("-v", "-rE")
    result.assert_outcomes(failed=6, errors=4)
    for name in ("name", "farm", "assertion_of_the_farm", "several"):
        result.stdout.fnmatch_lines([f"*::test_{name} ERROR*"])
    result.stdout.fnmatch_lines([
        "E  *NameError: name 'undefined' is not defined",  # the traceback stays
        "The testcase's own code broke at *.py:15: NameError: name 'undefined' is not defined",
        "This says nothing of the kernel. Mend the testcase.",
        "The farm's own code broke at farm/pressure/apply.py:*: AttributeError: 'NoneType' object has no *'stream'",
        "This says nothing of the kernel. *`pytest --fixtures`*",
        "The farm's own code broke at farm/workload/runner.py:*: AssertionError",
        "ERROR *::test_name - The testcase's own code broke at*",
    ])


def test_workers_tell_of_a_bug_alike(pytester, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # or the summary is cut
    pytester.makepyfile(BROKEN)
    result = pytester.runpytest_subprocess("-n", "2", "-rE", "-k", "farm", "-p", "no:hypothesispytest")
    result.assert_outcomes(failed=2, errors=2)
    result.stdout.fnmatch_lines(["ERROR *::test_farm - The farm's own code broke at farm/pressure/apply.py:*"])
