"""What `farm test-patch` is asked to run by a report."""

import pytest

from farm.cli.testpatch import subject
from farm.errors import UserError
from farm.model import Finding

KASAN = """\
BUG: KASAN: slab-use-after-free in crypt_convert+0x1a/0x400
Read of size 8 at addr ffff888012345678 by task kworker/u8:1/22
Call Trace:
 <TASK>
 crypt_convert+0x1a/0x400
 kcryptd_crypt+0x33/0x400
 </TASK>
"""


@pytest.mark.parametrize(("text", "flavor"), [(KASAN, "kasan"), ("dm-crypt: a deadlock in crypt_convert()", "base")])
def test_a_report_is_tried_in_the_flavor_that_its_crash_report_asks_for(tmp_path, text, flavor):
    (tmp_path / "mail").write_text(text)
    place, meant = subject(None, str(tmp_path / "mail"))
    assert place.startswith("test_")
    assert meant.flavor == flavor
    assert meant.covers(Finding("kasan", "t", "crypt_convert")) is (flavor == "kasan")
    assert subject("test_swap.py", str(tmp_path / "mail"))[0] == "test_swap.py"


def test_a_testcase_alone_says_nothing_of_what_is_meant(tmp_path):
    assert subject("test_swap.py", None) == ("test_swap.py", None)
    (tmp_path / "mail").write_text("hello")
    with pytest.raises(UserError, match="names nothing by which a failure could be told"):
        subject("test_swap.py", str(tmp_path / "mail"))
