"""Memory pressure: a holder in the guest, and the balloon. Swap is a layer of the stack."""

from farm.pressure.apply import Pressure
from farm.pressure.plan import PRESSURES, Balloon, KeepFree

__all__ = ["PRESSURES", "Balloon", "KeepFree", "Pressure"]
