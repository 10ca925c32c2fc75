"""The digest of where tasks stood, from what was collected."""

from pathlib import Path

from farm.evidence.stacks import digest, stacks
from tests.unit.oops.test_tasks import CPUS, WRITERS


def test_both_answers_are_read(tmp_path: Path) -> None:
    (tmp_path / "sysrq-w.txt").write_text(WRITERS)
    (tmp_path / "sysrq-l.txt").write_text(CPUS)
    assert [one.state for one in stacks(tmp_path)] == ["blocked", "blocked", "running", "running"]


def test_answers_that_are_not_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "sysrq-l.txt").write_text("not collected: no answer within 8 s\n")
    assert stacks(tmp_path) == ()


def test_the_file_has_each_stack_once_in_a_form_that_can_be_decoded(tmp_path: Path) -> None:
    (tmp_path / "sysrq-w.txt").write_text(WRITERS)
    said = digest(stacks(tmp_path))
    assert said.startswith("blocked in crypt_map: fio (412)\n    __schedule+0x3fe/0xa80\n    schedule+0x27/0xf0\n")
    assert "\n\nblocked: kworker/u8:1 (48)\n    __schedule+0x3fe/0xa80\n" in said


def test_a_file_without_any_says_so() -> None:
    assert digest(()) == "no task was blocked, and no CPU in the kernel\n"
