"""Whom an error blames."""

import inspect
from pathlib import Path

import pytest

from farm import errors

TREE = {
    errors.UserError: errors.FarmError,
    errors.MissingFeatureError: errors.UserError,
    errors.RevisionError: errors.UserError,
    errors.InfrastructureError: errors.FarmError,
    errors.InternalError: errors.InfrastructureError,
    errors.KernelError: errors.FarmError,
    errors.BuildError: errors.KernelError,
    errors.GuestError: errors.KernelError,
    errors.BootError: errors.GuestError,
    errors.CrashError: errors.GuestError,
    errors.HangError: errors.GuestError,
    errors.VerificationError: errors.GuestError,
}


def test_the_tree_is_complete() -> None:
    defined = {
        value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__
    }
    assert defined == {*TREE, errors.FarmError}


@pytest.mark.parametrize(("error", "parent"), TREE.items(), ids=lambda value: value.__name__)
def test_each_error_blames_as_drawn(error: type[Exception], parent: type[Exception]) -> None:
    assert error.__bases__ == (parent,)


def test_the_docstring_draws_every_error_that_has_a_blame_of_its_own() -> None:
    for error in TREE:
        if error is not errors.GuestError:
            assert error.__name__ in (errors.__doc__ or "")


def test_infrastructure_is_never_the_kernels_fault() -> None:
    assert not issubclass(errors.InfrastructureError, errors.KernelError)
    assert not issubclass(errors.KernelError, errors.InfrastructureError)


def test_a_build_error_carries_its_place() -> None:
    error = errors.BuildError("it does not compile", first="a.c:1: no", log=Path("log"))
    assert (str(error), error.first, error.log) == ("it does not compile", "a.c:1: no", Path("log"))


def test_reports_are_kept_in_order() -> None:
    assert errors.CrashError("it crashed", ["first", "second"]).reports == ("first", "second")
    assert errors.HangError("it hung").reports == ()
