"""What a testcase announced, and which reports that covers: pure, the monitor feeds it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from farm.model import Extent, Finding

# What may accompany an announced verification error: the block layer completes the request with an error,
# and a file system above may complain about it (block/blk-core.c, blk_status_to_str and its callers).
COMPANIONS = frozenset({"io-error", "fs-shutdown"})
# Reports or places shown in a sentence.
_SHOWN = 4


def nowhere() -> tuple[Extent, ...]:
    """The places of a corruption of which nobody knows where it is."""
    return ()


@dataclass
class Expectation:
    """A corruption that the testcase made and announced."""

    # The layer that has to report it.
    layer: str
    # Where, by the layers that may say so; asked when reports are judged, because devices get their names when a
    # stack opens. Without an extent for the layer its reports are taken from anywhere.
    places: Callable[[], Sequence[Extent]] = nowhere
    # The reports by that layer, in the order seen.
    reported: list[Finding] = field(default_factory=list)
    # What came along: errors of whoever had asked for the data.
    companions: list[Finding] = field(default_factory=list)

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The places at which the layer may report."""
        return tuple(dict.fromkeys(extent for extent in self.places() if self.layer in extent.layers))

    def takes(self, finding: Finding) -> bool:
        """True when a report may belong here; whether its place is right is judged at the end."""
        if finding.kind == "verification" and finding.layer == self.layer:
            self.reported.append(finding)
        # A verification error without a layer is the block layer's word for an error that some layer reported.
        elif finding.kind in COMPANIONS or (finding.kind == "verification" and not finding.layer):
            self.companions.append(finding)
        else:
            return False
        return True

    @property
    def seen(self) -> list[Finding]:
        """The reports that were announced: by the layer, at the place."""
        extents = self.extents
        return [one for one in self.reported if not extents or any(extent.meets(one) for extent in extents)]

    @property
    def strangers(self) -> list[Finding]:
        """Reports that were not: by the layer from elsewhere, and errors on devices that have no part in it.

        A device number (`254:0`) is not resolved.
        """
        seen = self.seen
        devices = {extent.device for extent in self.places()}
        return [one for one in self.reported if one not in seen] + [
            one for one in self.companions if devices and ":" not in one.device
            and not any(Extent(device).meets(one) for device in devices)]

    def __str__(self) -> str:
        places = _some([str(extent) for extent in self.extents], " or ")
        return f"{self.layer} on {places}" if places else self.layer


def told(findings: Sequence[Finding]) -> str:
    """Reports for a sentence: who, where."""
    return _some([f"{one.layer or one.kind} on {_place(one)}" for one in findings], "; ") or "nothing"


def _some(words: Sequence[str], between: str) -> str:
    more = len(words) - _SHOWN
    return between.join([*words[:_SHOWN], *([f"{more} more"] if more > 0 else [])])


def _place(finding: Finding) -> str:
    device = finding.device or "a device it does not name"
    return str(Extent(device, finding.sector, max(1, finding.sectors))) if finding.sector >= 0 else device
