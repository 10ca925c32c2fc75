"""Setting stacks up and taking them down again, many times: what is left over adds up."""

import pytest

# Every cache under its own name, instead of one shared by all of its size.
pytestmark = pytest.mark.machine(memory="512M", append=["slab_nomerge"])


@pytest.mark.namespace("data", size="64M")
@pytest.mark.stack("data / linear / crypt")
def test_linear_and_crypt_leave_nothing_behind(stack, slab_growth):
    slab_growth(stack.cycle)


# zswap has a buffer of two pages for each CPU (mm/zswap.c, zswap_cpu_comp_prepare), which nothing else here allocates.
BUFFERS = "kmalloc-8k"
HOTPLUG = """
cd /sys/devices/system/cpu/cpu1 && for ((round = 0; round < $1; round++)); do
  echo 0 >online && echo 1 >online || exit 1
done
"""


@pytest.mark.machine(cpus=2)
@pytest.mark.namespace("swap", size="64M")
@pytest.mark.stack("swap / swap")
@pytest.mark.usefixtures("stack")
def test_cpus_that_come_and_go_leave_no_buffer_behind(target, slab_growth):
    target.run("echo Y >/sys/module/zswap/parameters/enabled")
    grown = slab_growth(lambda rounds: target.run(["bash", "-c", HOTPLUG, "bash", str(rounds)]))
    assert BUFFERS not in [growth.cache for growth in grown]


# zsmalloc has caches of its own for each pool (mm/zsmalloc.c, create_cache), and one pool is in use.
GONE = """
for ((tries = 50; tries; tries--)); do [ $(grep -c ^zspage /proc/slabinfo) != 1 ] || exit 0; sleep 0.2; done
exit 1
"""


@pytest.mark.machine(cpus=2)
@pytest.mark.namespace("swap", size="128M")
@pytest.mark.stack("swap / swap")
def test_a_pool_of_zswap_goes_with_its_last_page(stack, target, fio):
    allocator = target.run(["cat", "/sys/module/zswap/parameters/zpool"]).stdout.strip()
    if allocator != "zsmalloc":
        pytest.skip(f"zswap keeps its pages in {allocator}, which has no cache by which a pool could be seen")
    target.run("echo Y >/sys/module/zswap/parameters/enabled")
    # Random: no compressor makes it smaller, and such pages are refused.
    fio("/tmp", duration=0, size="32M", memory="16M", buffered=True)
    target.run("rm /tmp/farm-fio.* && echo zstd >/sys/module/zswap/parameters/compressor")
    stack.close()
    gone = target.run(["bash", "-c", GONE], check=False).status == 0
    assert gone, "the pool of the former compressor is still there"
