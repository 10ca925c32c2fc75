"""Classification of kernel consoles: pure, from bytes to findings."""

from farm.oops.parser import Parser, classify, findings
from farm.oops.patterns import KINDS

__all__ = ["KINDS", "Parser", "classify", "findings"]
