"""All rows, and the search for the one that a line begins a report of."""

from farm.oops.checks import CHECKS
from farm.oops.faults import FAULTS
from farm.oops.patterns import Pattern
from farm.oops.sanitizers import SANITIZERS

PATTERNS: tuple[Pattern, ...] = (*SANITIZERS, *FAULTS, *CHECKS)


# Word -> positions of the rows that need it.
_ROWS = {
    word: tuple(index for index, pattern in enumerate(PATTERNS) if word in pattern.words)
    for word in sorted({word for pattern in PATTERNS for word in pattern.words})
}


def match_line(text: str) -> tuple[Pattern, dict[str, str]] | None:
    """The row of which a line of text begins a report, and the groups of its expression."""
    rows = sorted({index for word, indexes in _ROWS.items() if word in text for index in indexes})
    for index in rows:
        match = PATTERNS[index].regex.search(text)
        if match:
            return PATTERNS[index], {key: value or "" for key, value in match.groupdict().items()}
    return None
