"""What a process may use, read from made-up hosts."""

import os
from pathlib import Path

import pytest

from farm.host import capacity

CPUS = len(os.sched_getaffinity(0))
MEMINFO = "MemTotal: 8192000 kB\nMemFree: 100 kB\nMemAvailable: 4096000 kB\nHugePages_Total: 0\nodd line\n"


def host(root: Path, files: dict[str, str], meminfo: str = MEMINFO) -> Path:
    for name, text in {"proc/meminfo": meminfo, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_host_without_control_groups(tmp_path: Path) -> None:
    assert capacity.measure(host(tmp_path, {})) == capacity.Capacity(CPUS, 8000, 4000)


def test_an_old_kernel_without_available(tmp_path: Path) -> None:
    assert capacity.measure(host(tmp_path, {}, "MemTotal: 2048 kB\nMemFree: 1024 kB\n")).available_mib == 1


def test_no_limit_does_not_count(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/user\n", "sys/fs/cgroup/user/memory.max": "max\n",
             "sys/fs/cgroup/user/cpu.max": "max 100000\n"}
    assert capacity.measure(host(tmp_path, files)) == capacity.Capacity(CPUS, 8000, 4000)


def test_the_tightest_group_around_counts(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/a/b\n"}
    for group, limit, used, cache in (("a", 2000, 500, 100), ("a/b", 3000, 10, 0)):
        files |= {f"sys/fs/cgroup/{group}/memory.max": str(limit << 20),
                  f"sys/fs/cgroup/{group}/memory.current": str(used << 20),
                  f"sys/fs/cgroup/{group}/memory.stat": f"anon 5\ninactive_file {cache << 20}\n"}
    measured = capacity.measure(host(tmp_path, files))
    assert (measured.memory_mib, measured.available_mib) == (2000, 1600)


def test_version_one(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "8:cpu,cpuacct:/box\n4:memory:/box\n0::/\n",
             "sys/fs/cgroup/memory/box/memory.limit_in_bytes": str(1000 << 20),
             "sys/fs/cgroup/memory/box/memory.usage_in_bytes": str(1200 << 20),
             "sys/fs/cgroup/memory/box/memory.stat": "cache 1\n",
             "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "150000", "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000"}
    assert capacity.measure(host(tmp_path, files)) == capacity.Capacity(1, 1000, 0)


@pytest.mark.parametrize(("quota", "cpus"), [("50000 100000", 1), ("100000 100000", 1), ("99900000 100000", CPUS)])
def test_a_cpu_quota_leaves_at_least_one(tmp_path: Path, quota: str, cpus: int) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": quota}
    assert capacity.measure(host(tmp_path, files)).cpus == cpus


@pytest.mark.parametrize("rubbish", ["", "\0", "x y z", "9" * 40, "-1"])
def test_rubbish_in_a_limit_does_not_count(tmp_path: Path, rubbish: str) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": rubbish,
             "sys/fs/cgroup/memory.current": rubbish, "sys/fs/cgroup/memory.stat": rubbish}
    assert capacity.measure(host(tmp_path, files)).memory_mib == 8000


def test_this_host() -> None:
    measured = capacity.measure()
    assert 0 < measured.available_mib <= measured.memory_mib
    assert measured.cpus >= 1
