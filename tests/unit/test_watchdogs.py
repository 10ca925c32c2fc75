"""The order of the watchdogs at every pace."""

import pytest

from farm.deadline import Pace
from farm.watchdogs import NO_PROGRESS, watchdog_parameters


@pytest.mark.parametrize("factor", [0.5, 1.0, 5.0, 12.0, 20.0, 100.0])
def test_watchdogs_fire_in_order(factor):
    values = dict(parameter.split("=") for parameter in watchdog_parameters(Pace(factor)))
    rcu = int(values["rcupdate.rcu_cpu_stall_timeout"])
    workqueue = int(values["workqueue.watchdog_thresh"])
    soft = 2 * int(values["sysctl.kernel.watchdog_thresh"])
    hung = int(values["sysctl.kernel.hung_task_timeout_secs"])
    assert rcu <= workqueue <= soft <= max(hung, 6)
    assert soft <= 120
    assert hung <= NO_PROGRESS * max(factor, 1)
