"""Storage stacks: layers as data, the rules of what may lie on what, plans, and their execution in the guest."""

from farm.stack.assembly import Assembly, StackError
from farm.stack.layers import LAYERS, Stack, parse_stack
from farm.stack.locate import Spot
from farm.stack.plan import Base
from farm.stack.rules import RULES, check, check_stack

__all__ = ["LAYERS", "RULES", "Assembly", "Base", "Spot", "Stack", "StackError", "check", "check_stack", "parse_stack"]
