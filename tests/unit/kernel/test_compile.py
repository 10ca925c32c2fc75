"""Running make, on small makefiles that print what the kernel's prints."""

import shutil
import subprocess
from pathlib import Path

import pytest

from farm.errors import BuildError, InfrastructureError
from farm.kernel.compile import State, compile_kernel, is_small
from farm.kernel.git import Repository
from farm.kernel.make import Make
from farm.kernel.values import Progress
from tests.unit.kernel.conftest import run_git

STEPS = "\t@echo '  CC      a.o'\n\t@echo '  CC      b.o'\n\t@echo '  UPD     c.h'\n\t@echo '  LD      vmlinux'\n"


def make_for(tmp_path: Path, recipe: str) -> Make:
    source, output = tmp_path / "work", tmp_path / "o" / "base"
    for directory in (source, output):
        directory.mkdir(parents=True, exist_ok=True)
    (source / "Makefile").write_text(f"all:\n{recipe}")
    return Make(source, output, tmp_path / "ccache", jobs=2)


def run(tmp_path: Path, recipe: str, commit: str = "old", repository: Path | None = None) -> list[Progress]:
    seen: list[Progress] = []
    make = make_for(tmp_path, recipe)
    (make.output / ".config").touch()
    where = Repository(repository or tmp_path)
    compile_kernel(make, ["all"], commit, where, log=tmp_path / "log", report=seen.append)
    return seen


class TestProgress:
    def test_it_counts_objects_and_ends_at_the_whole(self, tmp_path: Path) -> None:
        seen = run(tmp_path, STEPS)
        assert [(one.done, one.what) for one in seen[:4]] == [
            (1, "CC a.o"), (2, "CC b.o"), (2, "UPD c.h"), (3, "LD vmlinux")]
        assert seen[-1].done == seen[-1].total

    def test_the_last_build_tells_how_many_there_are(self, tmp_path: Path) -> None:
        run(tmp_path, STEPS)
        seen = run(tmp_path, STEPS)
        assert [(one.done, one.total) for one in seen] == [(1, 3), (2, 3), (2, 3), (2, 3), (3, 3)]

    def test_objects_that_stay_count_as_done(self, tmp_path: Path, user_tree: Path) -> None:
        git = user_tree / ".git"
        run(tmp_path, STEPS, "old", git)
        seen = run(tmp_path, "\t@echo '  CC      a.o'\n", "new", git)
        assert [(one.done, one.total) for one in seen] == [(2, 3), (3, 3)]
        assert run(tmp_path, STEPS, "old", git)[-1].total == 3

    def test_a_changed_header_or_configuration_compiles_much(self, tmp_path: Path, user_tree: Path) -> None:
        repository = Repository(user_tree / ".git")
        old, new = State("old", "b"), State("new", "b")
        assert is_small(old, new, repository)
        assert not is_small(None, new, repository)
        assert not is_small(State("old", "other"), new, repository)
        assert not is_small(State("gone", "b"), new, repository)
        (user_tree / "include").mkdir()
        (user_tree / "include" / "a.h").write_text("")
        run_git(user_tree, "add", "-A")
        run_git(user_tree, "commit", "-q", "-m", "header")
        assert not is_small(old, State("main", "b"), repository)


class TestFailure:
    def test_the_first_error_and_the_log_are_named(self, tmp_path: Path) -> None:
        tree = tmp_path / "work"
        recipe = f"\t@echo '{tree}/fs/a.c:7:3: error: no such thing'; echo more; false\n"
        with pytest.raises(BuildError) as caught:
            run(tmp_path, recipe)
        assert caught.value.first == "fs/a.c:7: no such thing"
        assert caught.value.log == tmp_path / "log"
        assert "more\n" in (tmp_path / "log").read_text()
        assert str(tmp_path / "log") in str(caught.value)

    def test_errors_on_standard_error_are_seen(self, tmp_path: Path) -> None:
        with pytest.raises(BuildError, match=r"x\.c:1: bad"):
            run(tmp_path, "\t@echo 'x.c:1:1: error: bad' >&2; false\n")

    def test_a_failure_without_a_known_line(self, tmp_path: Path) -> None:
        with pytest.raises(BuildError, match="Error 3"):
            run(tmp_path, "\t@exit 3\n")

    @pytest.mark.parametrize(("line", "message"), [
        ("as: x.o: No space left on device", "No space left below .* MiB free now"),
        ("gcc: fatal error: Killed signal terminated program cc1", "lack of memory; fewer --jobs than 2"),
    ])
    def test_a_host_that_ran_out_is_no_build_error(self, tmp_path: Path, line: str, message: str) -> None:
        with pytest.raises(InfrastructureError, match=message):
            run(tmp_path, f"\t@echo '{line}'; false\n")


class TestMake:
    def test_the_caller_s_environment_does_not_reach_the_build(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("KCFLAGS", "ARCH", "CROSS_COMPILE", "MAKEFLAGS", "LOCALVERSION", "KCONFIG_CONFIG"):
            monkeypatch.setenv(name, "-foreign")
        run(tmp_path, "\t@env\n")
        log = (tmp_path / "log").read_text()
        assert "-foreign" not in log
        assert "KBUILD_BUILD_TIMESTAMP=2000-01-01\n" in log
        assert f"CCACHE_DIR={tmp_path}/ccache\n" in log

    def test_file_names_in_objects_do_not_depend_on_the_cache_s_place_or_on_ccache(self, tmp_path: Path) -> None:
        seen = set()
        for place in ("one", "another"):
            make = make_for(tmp_path / place, STEPS)
            (make.source / "fs").mkdir()
            (make.source / "fs" / "a.c").write_text("const char *name = __FILE__;\n")
            for file in (make.source / "fs" / "a.c", Path("../../work/fs/a.c")):
                flags = [*make.prefix_maps(), f"-fmacro-prefix-map={make.source}/="]  # the last is the kernel's own
                subprocess.run(["gcc", "-c", "-g", *flags, str(file), "-o", "a.o"], cwd=make.output, check=True)
                content = (make.output / "a.o").read_bytes()
                assert str(tmp_path).encode() not in content
                assert b"\0fs/a.c\0" in content
                seen.add(subprocess.run(
                    ["readelf", "-p", ".rodata", "a.o"], cwd=make.output, check=True, capture_output=True).stdout)
        assert len(seen) == 1

    @pytest.mark.skipif(shutil.which("ccache") is None, reason="ccache is not installed: nothing is taken from it")
    def test_what_an_assembler_file_includes_is_never_an_old_one(self, tmp_path: Path) -> None:
        make = make_for(tmp_path, "")
        (make.source / "piggy.S").write_text('.incbin "vmlinux.bin.lz4"\n')
        for kernel in (b"the first kernel", b"another of 16 by"):
            (make.source / "vmlinux.bin.lz4").write_bytes(kernel)
            run(tmp_path, "\t@$(CC) -Wp,-MMD,.piggy.d -c piggy.S -o piggy.o\n")
            assert kernel in (make.source / "piggy.o").read_bytes()

    def test_it_works_without_ccache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make = make_for(tmp_path, STEPS)
        monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
        assert "CC=ccache gcc" in make.argv(["all"])
        monkeypatch.setattr("shutil.which", lambda name: None)
        assert not [word for word in make.argv(["all"]) if word.startswith("CC=")]
