"""Memory pressure: a holder in the guest, the balloon, and allocations that fail. Swap is a layer of the stack."""

from farm.pressure.apply import Pressure
from farm.pressure.plan import PRESSURES, Balloon, FailPageAlloc, FailSlab, KeepFree

__all__ = ["PRESSURES", "Balloon", "FailPageAlloc", "FailSlab", "KeepFree", "Pressure"]
