"""Setting stacks up and taking them down again, many times: what is left over adds up."""

import pytest

# Every cache under its own name, instead of one shared by all of its size.
pytestmark = pytest.mark.machine(memory="512M", append=["slab_nomerge"])


@pytest.mark.namespace("data", size="64M")
@pytest.mark.stack("data / linear / crypt")
def test_linear_and_crypt_leave_nothing_behind(stack, slab_growth):
    slab_growth(stack.cycle)
