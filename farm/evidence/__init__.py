"""Evidence: what a maintainer asks for, collected after a failure and before the guest is killed.

Collecting never changes the verdict: what cannot be had says why in its own file, and all of it together has a
deadline.
"""

from farm.evidence.collect import TOTAL_SECONDS, collect
from farm.evidence.decode import Places, decode
from farm.evidence.memory import memory
from farm.evidence.stacks import stacks

__all__ = ["TOTAL_SECONDS", "Places", "collect", "decode", "memory", "stacks"]
