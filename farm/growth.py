"""Slab caches that grow while something is set up and taken down over and over: a suspicion, not a failure.

A leak of one object a round shows as a straight line in /proc/slabinfo, whatever else goes on. So the rounds are cut
into parts of equal length, the counts are read after each, and a cache is suspected when it grows in every part, and
in every part alike: what fills up once, or goes up and down, does neither.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean, median

from farm.deadline import Pace
from farm.errors import UserError
from farm.guest.shell import Shell
from farm.model import Suspicion

# One part to warm up, and those that are measured: fewer let chance look like a line.
PARTS = 6
# Fewer rounds cannot tell one object a round from noise.
LEAST_ROUNDS = 5 * PARTS
# Objects a round that every part has to show, and how much more than the middle one a part may show.
LEAST_GROWTH = 0.75
MOST_UNEVEN = 2.0
# Base seconds for one reading.
READ_SECONDS = 20.0

# Caches whose objects the kernel frees in bulk, later than any run here lasts.
LAZY: Mapping[str, str] = {
    "vmap_area": "mm/vmalloc.c, lazy_max_pages: unmapped areas stay until 32 MiB of them have come together",
}

# A slab that a CPU allocates from counts as full (mm/slub.c, get_slabinfo), so it is given back first; what the reading
# itself uses is put on one again, for which reason the caller reads more than once and believes the least.
_READ = """\
sync
for number in 1 2 3; do
  echo 3 >/proc/sys/vm/drop_caches
  for cache in /sys/kernel/slab/*; do [ -L "$cache" ] || echo 1 >"$cache/shrink"; done
  cat /proc/slabinfo
done
"""


@dataclass(frozen=True)
class Sample:
    """The slab caches at one moment."""

    # Rounds done so far.
    rounds: int
    # Cache -> objects in use.
    objects: Mapping[str, int]


@dataclass(frozen=True)
class Growth:
    """A cache that grows."""

    cache: str
    # Objects for each round, over all parts.
    per_round: float
    # Objects in use after each part.
    objects: tuple[int, ...]

    def suspicion(self, rounds: int) -> Suspicion:
        return Suspicion(
            "slab-growth", f"slab cache {self.cache} grows by {self.per_round:.1f} objects a round",
            f"over {rounds} rounds: {', '.join(map(str, self.objects))}")


def parse_slabinfo(text: str) -> dict[str, int]:
    """Objects in use by cache; of several readings in one text the least."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, *numbers = line.split()[:2] or ("",)
        if numbers and numbers[0].isdecimal() and len(numbers[0]) < 20 and name != "slabinfo":
            found[name] = min(int(numbers[0]), found.get(name, int(numbers[0])))
    return found


def growing(samples: Sequence[Sample]) -> list[Growth]:
    """The caches that grow in every part, the fastest first."""
    found = []
    for cache in samples[0].objects.keys() - LAZY.keys():
        rates = [(later.objects.get(cache, 0) - sooner.objects.get(cache, 0)) / (later.rounds - sooner.rounds)
                 for sooner, later in pairwise(samples)]
        if min(rates) >= LEAST_GROWTH and max(rates) <= MOST_UNEVEN * median(rates):
            objects = tuple(sample.objects.get(cache, 0) for sample in samples)
            found.append(Growth(cache, mean(rates), objects))
    return sorted(found, key=lambda growth: (-growth.per_round, growth.cache))


class SlabGrowth:
    """Repeats something and watches the slab caches of the guest meanwhile."""

    def __init__(self, shell: Shell, *, rounds: int, pace: Pace, suspect: Callable[[Suspicion], None]) -> None:
        """`suspect` is called for each cache that grows. Raises UserError for too few rounds."""
        if rounds < LEAST_ROUNDS:
            raise UserError(f"--rounds {rounds}: at least {LEAST_ROUNDS} are needed to tell a leak from noise.")
        self._shell = shell
        self._rounds = rounds
        self._pace = pace
        self._suspect = suspect

    def __call__(self, repeat: Callable[[int], object]) -> list[Growth]:
        """Repeat something, `repeat` being called with a number of rounds to do; the caches that grew."""
        marks = [round(self._rounds * part / PARTS) for part in range(PARTS + 1)]
        samples = []
        for sooner, later in pairwise(marks):
            repeat(later - sooner)
            samples.append(self._sample(later))
        found = growing(samples)
        for growth in found:
            self._suspect(growth.suspicion(self._rounds))
        return found

    def _sample(self, rounds: int) -> Sample:
        answer = self._shell.run(_READ, deadline=self._pace.deadline(READ_SECONDS))
        return Sample(rounds, parse_slabinfo(answer.stdout))
