"""What the kernel under test has to bring for a stack, by what `dmsetup targets` says."""

import pytest

from farm.errors import MissingFeatureError
from farm.stack import parse_stack
from farm.stack.features import FEATURES, check_features, wanted

INLINE = parse_stack("data / integrity:mode=inline")
# Debian's 6.1 and 6.12.
OLD = "striped          v1.6.0\nlinear           v1.4.0\nintegrity        v1.10.0\n"
NEW = "striped          v1.6.0\nintegrity        v1.14.0\ncrypt            v1.28.0\n"


def test_most_stacks_need_nothing_special():
    assert wanted(parse_stack("data / integrity:mode=journal / crypt / xfs")) == ()
    assert wanted(INLINE) == FEATURES


@pytest.mark.parametrize("version", ["v1.14.0", "v1.12.0", "v2.0.0"])
def test_a_kernel_that_has_it(version):
    check_features(INLINE, NEW.replace("v1.14.0", version))


@pytest.mark.parametrize(("targets", "there"), [
    (OLD, "v1.10.0"), (NEW.replace("v1.14.0", "v1.11.9"), "v1.11.9"), ("linear  v1.4.0\n", "missing"), ("", "missing"),
    (NEW.replace("v1.14.0", "vX.Y"), "vX.Y"),
])
def test_a_kernel_that_lacks_it_is_told_what_was_seen(targets, there):
    with pytest.raises(MissingFeatureError, match=rf"lacks dm-integrity's inline mode, .* is {there}, and v1\.12\.0"):
        check_features(INLINE, targets)
