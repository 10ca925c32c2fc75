"""Reading what Kconfig says of a symbol, and why a symbol was dropped."""

import pytest

from farm.kernel.config import Difference, Wanted
from farm.kernel.explain import Relations, parse, reason, unmet

# As scripts/kconfig of 6.12 prints it.
ANSWER = """\
@ DM_CRYPT
Symbol: DM_CRYPT [=n]
Type  : tristate
Defined at drivers/md/Kconfig:269
  Prompt: Crypt target support
  Depends on: MD [=y] && BLK_DEV_DM [=n] && (ENCRYPTED_KEYS [=y] || ENCRYPTED_KEYS [=y]=n) && \\
(TRUSTED_KEYS [=n] || TRUSTED_KEYS [=n]=n)
  Location:
    -> Device Drivers
      -> Multiple devices driver support (RAID and LVM) (MD [=y])
        -> Crypt target support (DM_CRYPT [=n])
Selects: CRC32 [=y] && CRYPTO [=y]


@ NO_SUCH
@ CRC32
Symbol: CRC32 [=y]
Type  : tristate
Defined at lib/Kconfig:173
  Prompt: CRC32/CRC32c functions
Selects: BITREVERSE [=y]
Selected by [y]:
  - EXT4_FS [=y] && BLOCK [=y]
  - EFI_PARTITION [=y] && BLOCK [=y]
Selected by [n]:
  - BTRFS_FS [=n] && BLOCK [=y]


@ NR_CPUS
Symbol: NR_CPUS [=8]
Type  : integer
Range : [2 512]
Defined at arch/x86/Kconfig:1012
  Prompt: Maximum number of CPUs
  Depends on: SMP [=y] && !MAXSMP [=n]
"""


class TestParse:
    def test_symbols_are_told_apart(self) -> None:
        assert list(parse(ANSWER)) == ["DM_CRYPT", "NO_SUCH", "CRC32", "NR_CPUS"]

    def test_an_undefined_symbol_is_none(self) -> None:
        assert parse(ANSWER)["NO_SUCH"] is None

    def test_a_dependency_over_two_lines(self) -> None:
        crypt = parse(ANSWER)["DM_CRYPT"]
        assert crypt is not None
        assert crypt.depends[0].endswith("&& (TRUSTED_KEYS [=n] || TRUSTED_KEYS [=n]=n)")

    def test_only_selectors_that_are_on(self) -> None:
        crc = parse(ANSWER)["CRC32"]
        assert crc is not None
        assert crc.selected_by == ["EXT4_FS [=y] && BLOCK [=y]", "EFI_PARTITION [=y] && BLOCK [=y]"]

    def test_range(self) -> None:
        cpus = parse(ANSWER)["NR_CPUS"]
        assert cpus is not None
        assert cpus.range == "[2 512]"


@pytest.mark.parametrize(("expression", "missing"), [
    ("A [=y] && B [=y]", []),
    ("A [=y] && B [=n] && C [=n]", ["B [=n]", "C [=n]"]),
    ("A [=m] && B [=y]", []),
    ("A [=n] || B [=y]", []),
    ("A [=n] || B [=n] && C [=y]", ["A [=n] || B [=n] && C [=y]"]),
    ("A [=y] && (B [=n] || C [=n])", ["(B [=n] || C [=n])"]),
    ("A [=y] && (B [=n] || C [=y])", []),
    ("!A [=n] && !B [=y]", ["!B [=y]"]),
    ("K [=n]=n && K [=n]!=n", ["K [=n]!=n"]),
    ("VERSION [=120200]>=110000 && VERSION [=120200]<110000", ["VERSION [=120200]<110000"]),
    ("X [=n]!=y", []),
    ("!(A [=y] && B [=y])", ["!(A [=y] && B [=y])"]),
])
def test_unmet(expression: str, missing: list[str]) -> None:
    assert unmet(expression) == missing


class TestReason:
    def difference(self, symbol: str, value: str, got: str) -> Difference:
        return Difference(Wanted(symbol, value, "f:1"), got, mentioned=got != "n")

    def test_an_unmet_dependency_is_named(self) -> None:
        said = reason(self.difference("DM_CRYPT", "y", "n"), parse(ANSWER)["DM_CRYPT"])
        assert said == "its dependency is not met: BLK_DEV_DM [=n]"

    def test_who_selects_what_should_be_off(self) -> None:
        said = reason(self.difference("CRC32", "n", "y"), parse(ANSWER)["CRC32"])
        assert said == "selected by EXT4_FS, EFI_PARTITION"

    def test_a_number_out_of_range(self) -> None:
        assert reason(self.difference("NR_CPUS", "1000", "512"), parse(ANSWER)["NR_CPUS"]) == "its range is [2 512]"

    def test_one_of_two_definitions_is_enough(self) -> None:
        relations = Relations(depends=["A [=n]", "B [=y]"])
        assert "its dependencies are met" in reason(self.difference("X", "y", "n"), relations)

    def test_nothing_is_made_up(self) -> None:
        assert reason(self.difference("X", "y", "n"), None) == ""
