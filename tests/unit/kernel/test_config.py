"""Configuration symbols: fragments, overrides, and the comparison with the final .config."""

import pytest

from farm.errors import UserError
from farm.kernel.config import Wanted, differences, effective, parse_config, parse_fragment, parse_override, unmentioned


class TestFragments:
    def test_every_form_of_a_line(self) -> None:
        text = '# words\n\nCONFIG_A=y\nCONFIG_B="x y"\nCONFIG_C=0x10  # optional\n# CONFIG_D is not set\n'
        assert parse_fragment(text, name="f") == [
            Wanted("A", "y", "f:3"), Wanted("B", '"x y"', "f:4"), Wanted("C", "0x10", "f:5", optional=True),
            Wanted("D", "n", "f:6"),
        ]

    def test_lines_are_written_back_as_kconfig_wants_them(self) -> None:
        assert [one.line for one in parse_fragment("CONFIG_A=y  # optional\n# CONFIG_D is not set\n")] == [
            "CONFIG_A=y", "# CONFIG_D is not set"]

    def test_a_place_by_symbol_wins_over_the_rendered_line(self) -> None:
        assert parse_fragment("CONFIG_A=y\n", {"A": "t.j2:7"})[0].place == "t.j2:7"

    @pytest.mark.parametrize("line", ["CONFIG_A", "A=y", "CONFIG_A = y", "{{ x }}"])
    def test_a_line_that_kconfig_would_ignore_is_refused(self, line: str) -> None:
        with pytest.raises(UserError, match=r"f: `.*` is no configuration line"):
            parse_fragment(line, name="f")


class TestOverrides:
    @pytest.mark.parametrize(("text", "line"), [
        ("KASAN=y", "CONFIG_KASAN=y"),
        ("CONFIG_KASAN=n", "# CONFIG_KASAN is not set"),
        ("DM_CRYPT=m", "CONFIG_DM_CRYPT=m"),
        ("NR_CPUS=16", "CONFIG_NR_CPUS=16"),
        ("MAGIC=0x1f", "CONFIG_MAGIC=0x1f"),
        ("LOCALVERSION=-mine", 'CONFIG_LOCALVERSION="-mine"'),
        ('LOCALVERSION="-5"', 'CONFIG_LOCALVERSION="-5"'),
        ('CMDLINE=a "b" \\', 'CONFIG_CMDLINE="a \\"b\\" \\\\"'),
        ("CMDLINE=a=b", 'CONFIG_CMDLINE="a=b"'),
    ])
    def test_values(self, text: str, line: str) -> None:
        assert parse_override(text).line == line

    @pytest.mark.parametrize("text", ["KASAN", "KASAN=", "=y", "KA SAN=y", "A=x\ny"])
    def test_other_forms_are_refused(self, text: str) -> None:
        with pytest.raises(UserError, match="SYMBOL=value"):
            parse_override(text)


class TestComparison:
    FINAL = parse_config('CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_N=0x10\nCONFIG_S="s"\n')

    def compare(self, text: str) -> list[tuple[str, str, bool]]:
        wanted = effective(parse_fragment(text))
        return [(one.wanted.symbol, one.got, one.mentioned) for one in differences(wanted, self.FINAL)]

    def test_what_came_through_is_silent(self) -> None:
        assert self.compare('CONFIG_A=y\n# CONFIG_C is not set\n# CONFIG_GONE is not set\nCONFIG_S="s"\n') == []

    def test_numbers_are_compared_as_numbers(self) -> None:
        assert self.compare("CONFIG_N=16\n") == []
        assert self.compare("CONFIG_N=17\n") == [("N", "0x10", True)]

    def test_what_was_dropped_or_changed(self) -> None:
        assert self.compare("CONFIG_B=y\nCONFIG_C=y\nCONFIG_GONE=y\n# CONFIG_A is not set\n") == [
            ("B", "m", True), ("C", "n", True), ("GONE", "n", False), ("A", "y", True)]

    def test_the_last_word_counts(self) -> None:
        assert self.compare("CONFIG_C=y\n# CONFIG_C is not set\n") == []

    def test_symbols_that_the_final_configuration_does_not_mention(self) -> None:
        wanted = effective(parse_fragment("CONFIG_A=y\n# CONFIG_TYPO is not set\n"))
        assert [one.symbol for one in unmentioned(wanted, self.FINAL)] == ["TYPO"]
