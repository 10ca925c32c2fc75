"""Which slab caches count as growing, on plain numbers; real kernels are in tests/e2e."""

import pytest

from farm.deadline import Pace
from farm.errors import UserError
from farm.growth import Sample, SlabGrowth, growing, parse_slabinfo
from farm.guest.shell import CommandResult

SLABINFO = """\
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> : slabdata
dm_io                 40     42    128   32    1 : tunables    0    0    0 : slabdata      0      0      0
kmalloc-16           541    768     16  256    1 : tunables    0    0    0 : slabdata      3      3      0
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> : slabdata
dm_io                 42     42    128   32    1 : tunables    0    0    0 : slabdata      0      0      0
kmalloc-16           539    768     16  256    1 : tunables    0    0    0 : slabdata      3      3      0
"""


def samples(*objects: int, every: int = 10) -> list[Sample]:
    return [Sample(every * (index + 1), {"cache": count, "other": 7}) for index, count in enumerate(objects)]


def test_of_several_readings_the_least_counts():
    assert parse_slabinfo(SLABINFO) == {"dm_io": 40, "kmalloc-16": 539}


def test_damaged_lines_are_passed_over():
    assert parse_slabinfo("\n\ndm_io\nkmalloc-8 x\n") == {}


@pytest.mark.parametrize(("objects", "rate"), [
    ((540, 550, 560, 570, 580, 590), 1),
    ((540, 552, 560, 571, 580, 590), 1),
    ((0, 160, 320, 480, 640, 800), 16),
])
def test_a_line_is_growth(objects, rate):
    (growth,) = growing(samples(*objects))
    assert growth.cache == "cache"
    assert growth.per_round == pytest.approx(rate)
    assert f"grows by {rate:.1f} objects a round" in growth.suspicion(60).title


@pytest.mark.parametrize("objects", [
    (540, 540, 540, 540, 540, 540),
    (540, 796, 796, 796, 796, 796),  # one slab more, once
    (540, 560, 540, 560, 540, 560),
    (540, 545, 550, 555, 560, 565),  # half an object a round
    (540, 549, 558, 900, 910, 920),  # a step and some noise
    (540, 550, 560, 570, 580, 580),  # it ended
])
def test_anything_else_is_not(objects):
    assert growing(samples(*objects)) == []


def test_what_the_kernel_frees_late_is_not_suspected():
    assert growing([Sample(10 * n, {"vmap_area": 160 * n}) for n in range(1, 7)]) == []


class Leaky:
    """A shell of a guest that keeps one object of a cache in each round."""

    def __init__(self):
        self.objects = 40
        self.rounds = []

    def repeat(self, rounds):
        self.rounds.append(rounds)
        self.objects += rounds

    def run(self, argv, *, deadline=None, input=None, check=True):
        return CommandResult(("sh",), 0, f"dm_io {self.objects}  100 128\nkmalloc-8 1024 1024 8\n", "", 0.0)


def test_all_rounds_are_done_in_equal_parts_and_what_grew_is_suspected():
    guest, suspicions = Leaky(), []
    found = SlabGrowth(guest, rounds=100, pace=Pace(), suspect=suspicions.append)(guest.repeat)
    assert sum(guest.rounds) == 100
    assert max(guest.rounds) - min(guest.rounds) <= 1
    assert [growth.cache for growth in found] == ["dm_io"]
    assert [one.kind for one in suspicions] == ["slab-growth"]
    assert "dm_io grows by 1.0 objects a round" in suspicions[0].title


def test_too_few_rounds_are_refused():
    with pytest.raises(UserError, match=r"--rounds 7: at least 30"):
        SlabGrowth(Leaky(), rounds=7, pace=Pace(), suspect=print)
