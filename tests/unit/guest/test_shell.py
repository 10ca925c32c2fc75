"""Commands as sentences and records tell them."""

import pytest

from farm.guest.shell import CommandError, CommandResult, brief, visible
from farm.pressure import FailSlab
from farm.pressure.plan import faults_argv


@pytest.mark.parametrize(("command", "said"), [
    (["mount", "-t", "xfs", "/dev/a b"], "mount -t xfs '/dev/a b'"),
    ("modprobe brd", "sh -c 'modprobe brd'"),
    ("modprobe brd\nls /dev", "sh -c 'modprobe brd …'"),
    (["bash", "-c", "# Why.\nfirst\n", "farm-outer", "1", "bash", "-c", "second\nthird", "farm-inner"],
     "bash -c … farm-outer 1 bash -c … farm-inner"),
    ("\n\n", "sh -c ''"),
])
def test_a_sentence_names_a_command_and_does_not_recite_it(command, said):
    assert brief(command) == said


def test_what_fails_in_a_script_of_the_farm_stands_in_the_first_two_lines():
    argv = tuple(faults_argv(FailSlab("crypt_mop"), "start"))
    error = CommandError(CommandResult(argv, 1, "", "the kernel has no function crypt_mop\n", 0.1))
    assert str(error).splitlines() == [
        "`bash -c … farm-faults failslab start 2 crypt_mop '' Y` failed in the guest with status 1:",
        "the kernel has no function crypt_mop"]


@pytest.mark.parametrize(("said", "shown"), [
    ("one\r\ntwo\n", "one\ntwo"), ("one\n\n", "one\n"), ("", ""), ("\n", ""), ("one\r\n", "one"),
    ("a\x0bb\x0cc\x1cd\x85e\u2028f\rg", r"a\x0bb\x0cc\x1cd\x85e\u2028f\x0dg"),
])
def test_one_line_of_a_guest_stays_one(said, shown):
    assert visible(said) == shown


def test_only_the_end_of_what_a_guest_said_is_shown():
    assert visible("first\nsecond\nthird\n", lines=2) == "second\nthird"
    assert visible("x" * 5000) == "x" * 2000
