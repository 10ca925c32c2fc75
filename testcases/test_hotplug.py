"""Report 004: CPUs that come and go, whoever asks for it."""

import pytest

pytestmark = [pytest.mark.machine(cpus=2), pytest.mark.usefixtures("second_cpu")]

# A CPU is sent where it is already, off and on line; the last number in `states` is that of a CPU on line.
SENT = """
online=$(tail -n 1 /sys/devices/system/cpu/hotplug/states) && online=${online%%:*}
for cpu in 1 0; do
  cd /sys/devices/system/cpu/cpu$cpu/hotplug || exit 1
  if [ $cpu = 1 ]; then echo 0 >target && echo $online >target || exit 1; fi
  # Linux 6.1 was never told where its first CPU is, and warns when it is (docs/found.md).
  [ "$(cat target)" != $online ] || echo $online >target || exit 1
done
for round in {1..20}; do sync; sleep 0.1; done
[ "$(taskset -c 1 cat /sys/devices/system/cpu/cpu1/hotplug/state)" = $online ]
"""


def test_a_cpu_may_be_sent_where_it_is(target):
    """It is not on its way off then, so that threads of the kernel can run there (kernel/cpu.c, target_store)."""
    target.run(["bash", "-c", SENT])
