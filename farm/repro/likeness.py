"""Which failure of a run is the one that a report is about. Pure.

A report with a crash report is matched by that: the kind, and the function or one of the other's trace, because the
compiler inlines differently in another version. One without speaks of kinds of failure in words; then one of those
counts when it touches what the report is about. Any other failure is told, and not taken for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from farm.model import Finding
from farm.oops import KINDS
from farm.repro.failures import FAILURES, Failure
from farm.repro.understanding import Understanding

# Frames of a trace that count; further out everything has to do with everything.
_FRAMES = 12
_PLACE = "a function that it names, or one of its subjects', in the trace"
# Not the kernel's own reports, or such as say nothing of what was wrong.
_VAGUE = frozenset({"oom", "other", "reboot"})


@dataclass(frozen=True)
class Likeness:
    """What counts as the failure of a report."""

    report: Understanding
    # Where it has no crash report: the failures it speaks of, most often first; none: whatever the kernel reports.
    spoken: tuple[Failure, ...] = ()

    def covers(self, seen: Finding) -> bool:
        """Whether a failure is the one that the report is about."""
        if self.report.findings:
            return any(_same_kind(one, seen) and self._same_place(one, seen) for one in self.report.findings)
        trace = _trace(seen)
        if self.spoken and not trace:
            return seen.kind in self.spoken[0].kinds
        if self.spoken:
            return any(seen.kind in one.kinds for one in self.spoken) and self._touches(trace)
        return seen.kind in KINDS and seen.kind not in _VAGUE and self._touches(trace)

    def _same_place(self, reported: Finding, seen: Finding) -> bool:
        here, there = _trace(seen), _trace(reported)
        if not here:
            return True  # nothing says where: a hang that the monitor found, say
        if there:
            return seen.function in there or reported.function in here
        # Cut off before it said where: the rest of the report has to tell.
        return self._touches(here) or not self._names_places

    @property
    def _names_places(self) -> bool:
        return bool(self.report.functions or self.report.subjects)

    def _touches(self, trace: Sequence[str]) -> bool:
        """Whether a trace has to do with the functions or the subjects of the report."""
        subjects = self.report.subjects
        return any(name in self.report.functions or any(name in one.functions or one.words.search(name)
                                                        for one in subjects) for name in trace)

    @property
    def text(self) -> str:
        """What counts, in a sentence."""
        if self.report.findings:
            names = dict.fromkeys(f"{one.kind} in {one.function}" if one.function else self._placeless(one)
                                  for one in self.report.findings)
            return f"kind and place of its crash report: {', '.join(names)}"
        if not self.spoken:
            return f"it names no kind of failure, so any crash report with {_PLACE}"
        kinds = dict.fromkeys(kind for one in self.spoken for kind in sorted(one.kinds))
        spoken = ", ".join(one.name for one in self.spoken)
        return (f"it speaks of {spoken}: {', '.join(kinds)}, with {_PLACE}; what has no trace counts as "
                f"{self.spoken[0].name}")

    def _placeless(self, one: Finding) -> str:
        if _trace(one):
            return f"{one.kind} in its trace"
        return f"{one.kind} with {_PLACE}" if self._names_places else f"{one.kind} anywhere, for it does not say where"


def likeness(report: Understanding) -> Likeness:
    """What counts for a report: its crash reports, else the failures that it speaks of."""
    known = {one.name: one for one in FAILURES}
    return Likeness(report, () if report.findings else tuple(known[name] for name in report.failures))


def _same_kind(reported: Finding, seen: Finding) -> bool:
    return reported.kind == seen.kind or bool(set(reported.alt_titles) & set(seen.alt_titles))


def _trace(one: Finding) -> list[str]:
    """The function of a report, and those of its trace that are no machinery, innermost first."""
    frames = [frame.function for frame in one.frames if not frame.generic][:_FRAMES]
    return [one.function, *frames] if one.function else frames
