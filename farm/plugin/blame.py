"""Bugs blame no kernel: what a testcase ends with that is neither a check of its own nor the farm's word."""

import unittest
from collections.abc import Sequence
from pathlib import Path
from traceback import walk_tb
from types import FrameType

import pytest

import farm
from farm.errors import FarmError, InternalError
from farm.textform import printable

# With the line in it.
Frame = tuple[FrameType, int]

_PACKAGE = Path(farm.__file__).parent
# What `farm.verdict` and pytest know whom to blame for.
_KNOWN = (
    FarmError, OSError, MemoryError, KeyboardInterrupt, unittest.SkipTest,
    pytest.fail.Exception, pytest.skip.Exception, pytest.exit.Exception,
)
# What is wrong with the code, whatever a guest answers. Others may be the kernel's: int() of what had to be a number.
_BUGS = (NameError, AttributeError, TypeError, ImportError, SyntaxError)
_OF_THE_TESTCASE = "Mend the testcase."
_OF_THE_FARM = "See in `pytest --fixtures` what a testcase may ask of the farm, or report it with the traceback."


def internal_error(error: BaseException, testcase: Path) -> InternalError | None:
    """What to say of a bug, of the testcase in this file or of the farm; None for an exception that is no bug."""
    if not _is_bug(error, testcase):
        return None
    frame = (*_deciding(error, testcase), *_frames(error))[0]
    whose, advice, place = (
        ("farm", _OF_THE_FARM, f"farm/{_file(frame).relative_to(_PACKAGE)}") if _is_farm([frame], testcase) else
        ("testcase", _OF_THE_TESTCASE, _file(frame).name))
    said = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
    internal = InternalError(
        f"The {whose}'s own code broke at {place}:{frame[1]}: {printable(said)}\n"
        f"This says nothing of the kernel. {advice}")
    internal.__cause__ = error
    return internal


def _is_bug(error: BaseException, testcase: Path) -> bool:
    if isinstance(error, BaseExceptionGroup):  # one in it that blames somebody is enough
        return all(_is_bug(one, testcase) for one in error.exceptions)
    if isinstance(error, _KNOWN):
        return False
    if isinstance(error, AssertionError):  # of a function of the testcase's that the farm calls: it is its check
        return _is_farm(_frames(error)[:1], testcase)
    return isinstance(error, _BUGS) or _is_farm(_deciding(error, testcase)[:1], testcase)


def _deciding(error: BaseException, testcase: Path) -> list[Frame]:
    """The frames of farm and testcase: a library fails by what it was given."""
    return [one for one in _frames(error) if _is_farm([one], testcase) or _file(one) == testcase]


def _frames(error: BaseException) -> list[Frame]:
    """Where it was raised, with the line, and who had called that: innermost first. None for what was never raised."""
    return list(walk_tb(error.__traceback__))[::-1]


def _file(frame: Frame) -> Path:
    return Path(frame[0].f_code.co_filename)


def _is_farm(frames: Sequence[Frame], testcase: Path) -> bool:
    """Whether any is the farm's. Testcases that come with it are installed in its `data`, and are none of it."""
    files = [_file(one) for one in frames]
    return any(one.is_relative_to(_PACKAGE) and not one.is_relative_to(_PACKAGE / "data") and one != testcase
               for one in files)
