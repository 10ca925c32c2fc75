"""Reading make's output."""

import pytest

from farm.kernel.buildlog import first_error, host_failure, step


@pytest.mark.parametrize(("line", "expected"), [
    ("  CC      fs/xfs/xfs_log.o", ("CC", "fs/xfs/xfs_log.o", True)),
    ("  CC [M]  drivers/md/dm-flakey.o", ("CC", "drivers/md/dm-flakey.o", True)),
    ("  HOSTCC  scripts/kconfig/conf.o", ("HOSTCC", "scripts/kconfig/conf.o", True)),
    ("  UPD     include/generated/utsrelease.h", ("UPD", "include/generated/utsrelease.h", False)),
])
def test_steps(line: str, expected: tuple[str, str, bool]) -> None:
    found = step(line)
    assert found is not None
    assert (found.tool, found.file, found.is_object) == expected


@pytest.mark.parametrize("line", [
    "make[1]: Entering directory '/x'", "#", "Kernel: arch/x86/boot/bzImage is ready  (#1)", "", "  lower  case",
    "fs/a.c:1:2: warning: unused",
])
def test_other_lines_are_no_steps(line: str) -> None:
    assert step(line) is None


COMPILER = """\
  CC      drivers/md/dm-crypt.o
/c/work/drivers/md/dm-crypt.c: In function 'crypt_map':
/c/work/drivers/md/dm-crypt.c:3417:2: warning: unused variable 'x' [-Wunused-variable]
/c/work/drivers/md/dm-crypt.c:3419:9: error: 'nonsense' undeclared (first use in this function)
 3419 |         nonsense = 1; // No space left on device
make[5]: *** [/c/work/scripts/Makefile.build:229: drivers/md/dm-crypt.o] Error 1
/c/work/fs/later.c:1:1: error: later
make: *** [Makefile:224: __sub-make] Error 2
"""


class TestFirstError:
    def test_the_compiler_s_first_error_with_file_and_line(self) -> None:
        assert first_error(COMPILER.splitlines(), ["/c/work/"]) == (
            "drivers/md/dm-crypt.c:3419: 'nonsense' undeclared (first use in this function)")

    @pytest.mark.parametrize(("log", "expected"), [
        ("a.c:5:10: fatal error: nope.h: No such file or directory", "a.c:5: nope.h: No such file or directory"),
        ("ld: vmlinux.o: in function `f':\nld: drivers/a.o:a.c:(.text+0x5): undefined reference to `g'",
         "drivers/a.o:a.c:(.text+0x5): undefined reference to `g'"),
        ("ld: b.o: multiple definition of `f'; a.o: first defined here",
         "b.o: multiple definition of `f'; a.o: first defined here"),
        ('ERROR: modpost: "f" [drivers/md/x.ko] undefined!', '"f" [drivers/md/x.ko] undefined!'),
        ("make[3]: *** No rule to make target 'fs/gone.o', needed by 'fs/built-in.a'.  Stop.",
         "No rule to make target 'fs/gone.o', needed by 'fs/built-in.a'"),
        ("  LD      vmlinux\nld: final link failed: bad value", "ld: final link failed: bad value"),
        ("make[2]: *** [scripts/x:1: foo] Error 127", "scripts/x:1: foo: Error 127"),
        ("/c/work/Makefile:5: *** missing separator.  Stop.", "Makefile:5: missing separator"),
        ("all fine", ""),
    ])
    def test_other_errors(self, log: str, expected: str) -> None:
        assert first_error(log.splitlines(), ["/c/work/"]) == expected


class TestHostFailure:
    @pytest.mark.parametrize(("line", "expected"), [
        ("/tmp/x.s: fatal error: error writing to x: No space left on device", "disk"),
        ("gcc: fatal error: Killed signal terminated program cc1", "memory"),
        ("fs/a.c:1:1: error: no", ""),
    ])
    def test_by_line(self, line: str, expected: str) -> None:
        assert host_failure([line]) == expected

    def test_quoted_source_says_nothing(self) -> None:
        assert host_failure(COMPILER.splitlines()) == ""
