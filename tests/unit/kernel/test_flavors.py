"""Composing flavors from templates."""

from pathlib import Path

import pytest

from farm.errors import UserError
from farm.kernel.config import Fragment, effective
from farm.kernel.flavors import compose, load

SHIPPED = {"base", "lockdep", "kasan", "kmemleak", "debuginfo", "trace", "debug"}


def values(fragments: list[Fragment]) -> dict[str, str]:
    return {symbol: one.value for symbol, one in effective(w for f in fragments for w in f.wanted).items()}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    directory = tmp_path / "mine"
    directory.mkdir()
    (directory / "flavors.toml").write_text(
        '[mine]\ndescription = "mine"\nextends = ["base"]\nfragments = ["own"]\nvariables = { size = 3 }\n')
    (directory / "own.config.j2").write_text("# {{ flavor }}\nCONFIG_OWN={{ size }}\nCONFIG_NR_CPUS={{ max_cpus }}\n")
    return directory


class TestShipped:
    def test_the_flavors_of_the_issue_exist_and_render(self) -> None:
        assert set(load()) == SHIPPED
        for name in SHIPPED:
            assert compose(name, ())

    def test_debug_has_all_detectors_and_debug_information(self) -> None:
        debug = values(compose("debug", ()))
        for symbol in ("KASAN", "PROVE_LOCKING", "DEBUG_ATOMIC_SLEEP", "UBSAN", "DEBUG_KMEMLEAK", "DEBUG_VM",
                       "DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT"):
            assert debug[symbol] == "y"

    def test_max_cpus_is_a_variable(self) -> None:
        assert values(compose("base", ()))["NR_CPUS"] == "8"


class TestUsers:
    def test_a_flavor_of_one_s_own_extends_a_shipped_one(self, mine: Path) -> None:
        got = values(compose("mine", (), [mine]))
        assert (got["OWN"], got["NR_CPUS"], got["DM_CRYPT"]) == ("3", "8", "y")

    def test_a_flavor_may_be_built_in_the_directory_of_another(self, mine: Path) -> None:
        assert load([mine])["mine"].output == "mine"
        text = (mine / "flavors.toml").read_text()
        (mine / "flavors.toml").write_text(text + 'output = "base"\n')
        assert load([mine])["mine"].output == "base"
        (mine / "flavors.toml").write_text(text + 'output = "../base"\n')
        with pytest.raises(UserError, match=r"mine.output: String should match"):
            load([mine])

    def test_places_name_file_and_line(self, mine: Path) -> None:
        own = compose("mine", (), [mine])[-1]
        assert [one.place for one in own.wanted] == [f"{mine}/own.config.j2:2", f"{mine}/own.config.j2:3"]

    def test_a_fragment_of_one_s_own_replaces_a_shipped_one(self, mine: Path) -> None:
        (mine / "dm.config.j2").write_text("CONFIG_MD=y\n")
        got = values(compose("base", (), [mine]))
        assert "DM_CRYPT" not in got

    def test_overrides_come_last(self) -> None:
        assert values(compose("base", ("NR_CPUS=4", "CONFIG_KASAN=y")))["NR_CPUS"] == "4"


class TestMistakes:
    def test_unknown_flavor(self) -> None:
        with pytest.raises(UserError, match=r"no flavor fast. Known are base, debug, "):
            compose("fast", ())

    def test_undefined_variable_names_file_line_and_variable(self, mine: Path) -> None:
        (mine / "own.config.j2").write_text("CONFIG_A=y\n\nCONFIG_B={{ siez }}\n")
        with pytest.raises(UserError, match=r"own\.config\.j2:3: 'siez' is undefined"):
            compose("mine", (), [mine])

    def test_template_syntax_names_file_and_line(self, mine: Path) -> None:
        (mine / "own.config.j2").write_text("CONFIG_A=y\n{% if %}\n")
        with pytest.raises(UserError, match=r"own\.config\.j2:2: "):
            compose("mine", (), [mine])

    def test_missing_template(self, mine: Path) -> None:
        (mine / "own.config.j2").unlink()
        with pytest.raises(UserError, match=r"mine needs own\.config\.j2"):
            compose("mine", (), [mine])

    @pytest.mark.parametrize(("toml", "message"), [
        ("[x]\ndescription = 'd'\nfragmnets = []\n", r"flavors.toml: x.fragmnets: Extra inputs are not permitted"),
        ("[x]\n", r"x.description: Field required"),
        ("[x\n", "is not TOML"),
        ("[x]\ndescription = 'd'\nextends = ['y']\n", "there is no flavor y"),
        ("[x]\ndescription = 'd'\nextends = ['x']\n", r"extends itself \(x -> x\)"),
    ])
    def test_wrong_tables(self, mine: Path, toml: str, message: str) -> None:
        (mine / "flavors.toml").write_text(toml)
        with pytest.raises(UserError, match=message):
            compose("x", (), [mine])

    def test_a_directory_that_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="there is no such directory"):
            compose("base", (), [tmp_path / "gone"])

    def test_a_directory_with_nothing_to_offer(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="has neither"):
            compose("base", (), [tmp_path])
